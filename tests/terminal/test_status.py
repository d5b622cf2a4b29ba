"""`smtd-ctl status` on terminals of all widths, with a real daemon."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from smtd.output.layout import columns
from tests.build import PROJECT, RUNNING, full, record
from tests.daemon.process import DaemonProcess, daemon_process, pair_of, synced, wait_until
from tests.daemon.sqlite_stores import put
from tests.terminal.screen import on_terminal

#: The most pairs that are tried.
MANY = 200


def squeezed(text: str) -> str:
    """Return *text* without blanks and line breaks: what is left however it is laid out."""
    return re.sub(r"\s+", "", text)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """A daemon with 200 pairs: one has a conflict and a running record, all others lack a store."""
    directory = tmp_path_factory.mktemp("many")
    left, right = directory / "left.sqlite", directory / "right.sqlite"
    running = record("running", tags=RUNNING, duration=None, timestamp=datetime.now(timezone.utc))
    put(left, full("run"), record("both", version="1"), running)
    put(right, record("both", version="2"))
    text = pair_of(left, right)
    for number in range(1, MANY):
        text += (
            f'[stores.s{number}]\nlocation = "/nowhere/at/all/in-a-long-directory/project-{number}.sqlite"\n'
        )
        text += f'[pairs.away-{number:03}]\nleft = "s{number}"\nright = "left"\n'
    with daemon_process(directory, text) as made:
        made.wait_event(lambda event: synced(event) and event["pair"] == "pair")
        wait_until(
            lambda: all(pair["problem"] for pair in made.ctl("status", "away-*", "--json").json["pairs"])
        )
        yield made


@pytest.mark.parametrize("width", [40, 60, 80])
def test_status_stacks_on_a_narrow_terminal(many: DaemonProcess, width: int) -> None:
    """Nothing is cut, and no line is left for the terminal to break."""
    words = ["-m", "smtd.cli.ctl", "status"]
    with on_terminal(words, many.directory, many.variables(), width=width) as terminal:
        assert terminal.ended() == 1

    assert [line for line in terminal.page.lines if columns(line) > width] == []
    seen = squeezed(terminal.seen)
    for pair in many.ctl("status", "--json").json["pairs"]:
        assert squeezed(f"{pair['pair']}: ") in seen
        assert squeezed(pair["left"]["location"]) in seen
        if pair["problem"]:
            assert squeezed(pair["problem"]) in seen
    broken = [line for line in terminal.page.lines if re.search(r"(^|\s)(unreacha|recor|conflic)$", line)]
    assert broken == []


def seen_at(daemon: DaemonProcess, width: int) -> str:
    """Return the status of two pairs on a terminal of *width* columns."""
    words = ["-m", "smtd.cli.ctl", "status", "pair", "away-007"]
    with on_terminal(words, daemon.directory, daemon.variables(), width=width) as terminal:
        assert terminal.ended() == 1
    return terminal.seen


@pytest.mark.parametrize("width", [78, 300])
def test_status_says_what_waits_why_and_when_it_is_tried_next(many: DaemonProcess, width: int) -> None:
    """Whether it is a table or stacked."""
    seen = seen_at(many, width)

    assert "1 conflict: both sides changed version; see smtd conflicts pair" in seen
    assert re.search(r"1 hold: running \(until .* \S+\);\s+see smtd holds pair", seen)
    # Not while the next try is under way.
    wait_until(
        lambda: re.search(r"; next try in \d+ (s|min)", " ".join(seen_at(many, width).split())) is not None
    )


def test_block_of_a_pair_has_what_its_row_has(many: DaemonProcess) -> None:
    """Below the name of the pair."""
    block = seen_at(many, 78).split("\n\n")[0]

    assert re.match(
        r"pair: idle\n"
        r"  1 in sync, 1 conflict, 1 held\n"
        r"  last cycle \d+ (s|min) ago, next in \d+ (s|min)\n"
        r"  left .*left\.sqlite \(3\)\n"
        r"  right .*right\.sqlite \(2\)\n",
        block,
    )


def test_status_keeps_its_table_for_a_script(many: DaemonProcess) -> None:
    """A pipe has no width."""
    heading, *rows = many.ctl("status").out.splitlines()

    assert heading.split()[:2] == ["pair", "state"]
    assert len([row for row in rows if re.match(r"away-\d+  ", row)]) == MANY - 1


def test_status_of_records_made_to_hurt_is_text(tmp_path: Path) -> None:
    """Names with wide letters, marks of direction and control characters take the columns they show."""
    evil = "x\x1b[2J\u202e漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字"
    put(tmp_path / "left.sqlite", record(evil, version="1"), project=f"{PROJECT}{evil}")
    put(tmp_path / "right.sqlite", record(evil, version="2"), project=f"{PROJECT}{evil}")
    words = ["-m", "smtd.cli.ctl"]
    with daemon_process(tmp_path, pair_of(tmp_path / "left.sqlite", tmp_path / "right.sqlite")) as daemon:
        daemon.wait_event(synced)
        for verb in ("status", "conflicts", "holds", "history"):
            with on_terminal([*words, verb], tmp_path, daemon.variables(), width=40) as terminal:
                terminal.ended()
            assert b"\x1b[2J" not in terminal.raw
            assert "\u202e" not in terminal.seen
