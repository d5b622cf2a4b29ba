"""What `smtd-ctl` shows about records and cycles, to people who read."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtd.records.record import Record
from tests.build import PROJECT, change, full, record
from tests.daemon.process import DaemonProcess, daemon_process, pair_of, synced
from tests.daemon.sqlite_stores import put, write
from tests.terminal.screen import on_terminal

#: Five megabytes of what a run may print: colours, a cleared screen, reversed text, a line without an end.
LOUD = "\x1b[31mred\x1b[2J\u202e\r" * 250_000
ZONE = "XYZ-5:30"
#: Records that take longer to sync than the first report of progress.
MANY = 3000


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    """A daemon whose pair has had its first cycle."""
    put(tmp_path / "left.sqlite", full("run"), record("a", version="1111", outcome="bad"))
    put(tmp_path / "right.sqlite", record("a", version="2222"))
    with daemon_process(tmp_path, pair_of(tmp_path / "left.sqlite", tmp_path / "right.sqlite")) as made:
        made.wait_event(synced)
        yield made


def read(daemon: DaemonProcess, *words: str, zone: str = ZONE) -> str:
    """Return what `smtd-ctl` prints in another time zone."""
    line = [sys.executable, "-m", "smtd.cli.ctl", *words]
    variables = {**daemon.variables(), "TZ": zone}
    done = subprocess.run(line, env=variables, cwd=daemon.directory, capture_output=True, check=False)
    return done.stdout.decode() + done.stderr.decode()


def test_history_is_grouped_by_cycle(daemon: DaemonProcess, tmp_path: Path) -> None:
    """With its time, its pair and its counts; then its records, the newest cycle first."""
    first = daemon.events()[-1]["id"]
    write(tmp_path / "right.sqlite", *[full(f"new-{number}") for number in range(3)])
    daemon.wait_event(synced, after=first)

    newest, oldest = read(daemon, "history").split("\n\n")

    heading, *lines = newest.splitlines()
    stamp = r"cycle \d+  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d XYZ  pair: "
    assert re.fullmatch(f"{stamp}3 created on the left", heading)
    assert len(lines) == 3
    assert f"  create {PROJECT}/new-0 on the left: new on the right" in lines
    assert re.fullmatch(f"{stamp}1 created on the right", oldest.splitlines()[0])
    assert "may have more" not in newest + oldest
    assert re.search(
        r"cycle \d+ may have more records, .*--limit N\n$", read(daemon, "history", "--limit", "2")
    )


def test_times_are_local_for_people_and_utc_for_scripts(daemon: DaemonProcess) -> None:
    """In status, history, explain and list; an error has local times, too."""
    (entry,) = daemon.ctl("history", "--json").json["history"]
    assert entry["at"].endswith("+00:00")
    hour = (int(entry["at"][11:13]) + 5 + (int(entry["at"][14:16]) >= 30)) % 24

    for words in (["history"], ["explain", "pair", PROJECT, "run"]):
        assert re.search(rf" {hour:02}:\d\d:\d\d XYZ", read(daemon, *words)), words
    assert f'"at": "{entry["at"]}"' in read(daemon, "history", "--json")
    early = read(daemon, "restore", "pair", PROJECT, "run", "--at", "2020-01-02T03:04:05")
    assert "from 2020-01-02 03:04:05 XYZ" in early
    listed = subprocess.run(
        [sys.executable, "-m", "smtd", "list", "left.sqlite"],
        env={**daemon.variables(), "TZ": ZONE},
        cwd=daemon.directory,
        capture_output=True,
        check=True,
    )
    assert b" XYZ" in listed.stdout


def test_record_is_shown_with_what_differs_first(daemon: DaemonProcess) -> None:
    """Then the rest."""
    lines = read(daemon, "show", "pair", PROJECT, "a").splitlines()

    assert lines[0].startswith("the sides differ in ")
    assert "version" in lines[0]
    first, rest = lines[: lines.index("the same:")], lines[lines.index("the same:") :]
    assert [line for line in first if line.startswith("version")] == [
        "version (left): 1111",
        "version (right): 2222",
    ]
    assert {"outcome (left): bad", "outcome (right): "} <= {*first}
    assert any(line.startswith("reason: ") for line in rest)
    assert not any("(left)" in line or "(right)" in line for line in rest)


def loud(label: str, end: str) -> Record:
    """Return a record with five megabytes of hostile output that ends with *end*."""
    return change(record(label, version=end), stdout_stderr=LOUD + end)


@pytest.mark.slow
def test_five_megabytes_of_output_show_where_they_differ(tmp_path: Path) -> None:
    """On some lines, as text, at once; and so in every command that names the record."""
    put(tmp_path / "left.sqlite", loud("loud", "the left end"))
    put(tmp_path / "right.sqlite", loud("loud", "the right end"))
    with daemon_process(tmp_path, pair_of(tmp_path / "left.sqlite", tmp_path / "right.sqlite")) as daemon:
        daemon.wait_event(synced)
        verbs = [
            *(["status"], ["conflicts"], ["holds"], ["history"], ["sync", "plan"], ["verify", "--deep"]),
            *(["show", "pair", PROJECT, "loud"], ["explain", "pair", PROJECT, "loud"]),
        ]
        for words in verbs:
            with on_terminal(
                ["-m", "smtd.cli.ctl", *words], tmp_path, daemon.variables(), width=60
            ) as terminal:
                terminal.ended()
            assert [
                each for each in (b"\x1b[2J", b"\x1b[31mred", "\u202e".encode()) if each in terminal.raw
            ] == []
            assert len(terminal.raw) < 20_000, words
        shown = daemon.ctl("show", "pair", PROJECT, "loud").out
        listed = daemon.smtd("list", tmp_path / "left.sqlite").out
    start = len(LOUD) + len("the ") - 40
    for side in ("left", "right"):
        assert f"stdout_stderr ({side}): … {start:,} equal characters, then\n" in shown
        assert f"the {side} end\n" in shown
    assert "loud" in listed


def test_long_output_is_shown_from_the_line_that_differs(tmp_path: Path) -> None:
    """Thousands of lines that both versions have are counted, not shown."""
    same = "".join(f"step {number}\n" for number in range(5000))
    for side in ("left", "right"):
        run = change(record("run", version=side), stdout_stderr=f"{same}ended on the {side}\nrest")
        put(tmp_path / f"{side}.sqlite", run)
    with daemon_process(tmp_path, pair_of(tmp_path / "left.sqlite", tmp_path / "right.sqlite")) as daemon:
        daemon.wait_event(synced)
        shown = daemon.ctl("show", "pair", PROJECT, "run").out

    for side in ("left", "right"):
        heading = f"stdout_stderr ({side}): … {len(same):,} equal characters, then"
        assert f"{heading}\n    ended on the {side}\n    rest\n" in shown


def test_sync_on_a_terminal_counts_what_it_does(tmp_path: Path, daemon: DaemonProcess) -> None:
    """`smtd sync` without a daemon; at the end the bar is gone."""
    put(tmp_path / "a.sqlite", *[record(f"run-{number}") for number in range(MANY)])
    words = ["-m", "smtd", "sync", "a.sqlite", "b.sqlite", "--state", "another"]

    with on_terminal(words, tmp_path, daemon.variables(), width=100) as terminal:
        assert terminal.ended() == 0

    assert re.search(rb"applying[^\n]* [1-9][\d,]*/3,000", terminal.raw)
    assert "applying" not in terminal.seen
    assert f"{MANY:,} records of {PROJECT} in sync" in terminal.seen.replace("3000", "3,000")


@pytest.mark.slow
def test_wait_for_the_daemon_counts_what_it_does(tmp_path: Path, daemon: DaemonProcess) -> None:
    """`smtd-ctl sync now`; at the end the line is gone."""
    daemon.ctl("pause", "pair")
    put(tmp_path / "left.sqlite", *[record(f"run-{number}") for number in range(MANY)])
    words = ["-m", "smtd.cli.ctl", "sync", "now"]

    with on_terminal(words, tmp_path, daemon.variables(), width=100) as terminal:
        assert terminal.ended() == 1  # the conflict is left

    assert re.search(rb"pair: applying [\d,]+/3,000", terminal.raw)
    assert b"\r\x1b[Kpair: left " in terminal.raw


@pytest.mark.slow
def test_wait_for_a_decision_counts_what_it_does(tmp_path: Path, daemon: DaemonProcess) -> None:
    """`smtd-ctl deletes reject`, which brings thousands of records back."""
    labels = [f"run-{number}" for number in range(MANY)]
    write(tmp_path / "left.sqlite", *map(record, labels))
    daemon.ctl("sync", "now")
    write(tmp_path / "left.sqlite", deleted=labels)
    daemon.ctl("sync", "now")
    words = ["-m", "smtd.cli.ctl", "deletes", "reject", "pair"]

    with on_terminal(words, tmp_path, daemon.variables(), width=100) as terminal:
        assert terminal.ended() == 1  # the conflict is left

    assert re.search(rb"pair: applying [\d,]+/3,000", terminal.raw)
    assert f"{MANY} created" in terminal.seen
    assert "applying" not in terminal.seen
    assert f"{MANY} created" in terminal.seen
