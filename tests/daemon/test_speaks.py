"""The daemon and `smtd-ctl` say what happened and what was done, in one line each, and nothing else."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from smtd.cli import ctl, waiting
from smtd.daemon.pair_log import PairLog
from smtd.engine.report import Conflict, Held, Hold, PairReport, SideReport
from smtd.merge.reasons import Code, because
from smtd.merge.sides import Side
from tests.build import full
from tests.command import has_terminals
from tests.daemon.process import DaemonProcess, daemon_process, pair_of, synced, wait_until
from tests.daemon.sqlite_stores import put
from tests.dialog import at_terminal

RUNNING = Held("P", "run", Hold.RUNNING, because(Code.RUNNING))


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="smtd")
    return caplog


def report(
    *, conflicts: Sequence[Conflict] = (), held: Sequence[Held] = (), created: int = 0, updated: int = 0
) -> PairReport:
    """Return the report of a cycle that wrote this to the right side."""
    right = SideReport("/r", created, updated)
    return PairReport("lab", SideReport("/l"), right, conflicts=[*conflicts], held=[*held])


def conflict(label: str) -> Conflict:
    return Conflict("P", label, ("parameters",))


def test_cycle_that_wrote_is_one_line_with_counts_and_direction(lines: pytest.LogCaptureFixture) -> None:
    """One that wrote nothing is none."""
    found = report(created=3, updated=1)
    found.left.deleted = 2

    PairLog("lab").succeeded(found)
    PairLog("lab").succeeded(report())

    assert lines.messages == ["pair lab synced: 2 deleted on the left; 3 created, 1 updated on the right"]


def test_conflict_is_logged_when_it_is_new(lines: pytest.LogCaptureFixture) -> None:
    """Once, however many cycles find it; again if it returns. All of a cycle are one line."""
    log = PairLog("lab")
    for labels in ("a", "a", "abcde", "", "a"):
        log.succeeded(report(conflicts=[conflict(label) for label in labels]))

    see = "; see smtd conflicts lab"
    assert lines.messages == [
        f"pair lab has 1 new conflict: P/a{see}",
        f"pair lab has 4 new conflicts: P/b, P/c, P/d and 1 more{see}",
        f"pair lab has 1 new conflict: P/a{see}",
    ]
    assert {each.levelno for each in lines.records} == {logging.WARNING}


def test_hold_is_logged_when_it_is_new_with_its_reason(lines: pytest.LogCaptureFixture) -> None:
    """Not again if only the numbers in its reason change. A run that is not over is no warning."""
    log = PairLog("lab")
    for count in (30, 31):
        gone = because(Code.MANY_GONE, Side.LEFT, count, 100)
        log.succeeded(report(held=[RUNNING, Held("P", "gone", Hold.DELETION, gone)]))

    assert lines.messages == [
        "pair lab holds 1 record, P/run: running; see smtd holds lab",
        "pair lab holds 1 record, P/gone: deletion held: 30 of 100 records disappeared from the left store"
        " within minutes; see smtd holds lab",
    ]
    assert [each.levelno for each in lines.records] == [logging.INFO, logging.WARNING]


def test_offline_pair_is_one_line_with_what_waits_and_the_next_try(lines: pytest.LogCaptureFixture) -> None:
    """Not one more for each try in vain; then it has recovered."""
    log = PairLog("lab")
    log.waits(1, 5.0)
    log.offline("the disk is away")
    log.waits(3, 240.0)
    log.waits(4, 300.0)
    log.offline("the disk is away")
    log.waits(None, 2.0)
    log.recovered()

    assert lines.messages == [
        "pair lab is offline: the disk is away; 3 records changed since the last sync; next try in 4 min",
        "pair lab is offline: the disk is away; next try in 2 s",
        "pair lab has recovered",
    ]


def test_nothing_to_say_is_said() -> None:
    """But of a pair that had no cycle yet nobody knows."""
    idle = {"pair": "a", "state": "idle", "last_cycle": "2026-11-30T00:00:00+00:00"}
    away = {"pair": "b", "state": "offline", "last_cycle": None}
    unknown = "b: not known yet: it has not been synced since smtd started (offline)"

    assert [*waiting.nothing_waits("holds", [idle])] == ["No holds."]
    assert [*waiting.nothing_waits("holds", [idle, away])] == ["No holds.", unknown]
    assert [*waiting.nothing_waits("holds", [away])] == [unknown]
    assert [*waiting.nothing_waits("holds", [])] == [*ctl.done("pause", {"pairs": [], "changed": []})]


def test_verbs_say_what_was_done_and_so_does_the_log(tmp_path: Path) -> None:
    """A pair that pauses, is offline and comes back: each is one line; no cycle in vain is any."""
    left, right = tmp_path / "left.sqlite", tmp_path / "right.sqlite"
    put(left, full("run"))
    with daemon_process(tmp_path, pair_of(left, right)) as daemon:
        daemon.wait_event(synced)
        said = [
            daemon.ctl(*words).out
            for words in (
                *(["holds"], ["pause", "pair"], ["pause", "*"], ["resume", "pair"], ["resume", "pair"]),
                *(["history", "--label", "other"], ["reload"], ["stop"]),
            )
        ]
        daemon.ended()
        log = [line.split(" INFO ")[1] for line in daemon.log.read_text("utf-8").splitlines()]

    assert said == [
        *("No holds.\n", "pair: paused\n", "pair: was paused already\n"),
        *("pair: resumed\n", "pair: was not paused\n"),
        "No history: smtd has written nothing that matches.\n",
        *("configuration reloaded; no pair has changed\n", "smtd is stopping\n"),
    ]
    assert log == [
        "pair pair synced: 1 created on the right",
        "pair pair is paused; smtd resume pair ends that",
        "pair pair is resumed",
        "configuration reloaded: no pair has changed",
        "stopped",
    ]


@pytest.mark.slow
def test_log_of_an_offline_pair_says_what_waits(tmp_path: Path) -> None:
    """And the status as well."""
    left, right = tmp_path / "left.sqlite", tmp_path / "right.sqlite"
    put(left, full("run"))
    with daemon_process(tmp_path, pair_of(left, right)) as daemon:
        daemon.wait_event(synced)
        right.rename(tmp_path / "away")
        put(left, full("more"))
        wait_until(lambda: " is offline: " in daemon.log.read_text("utf-8"))
        status = daemon.ctl("status").out

    (line,) = [line for line in daemon.log.read_text("utf-8").splitlines() if " is offline: " in line]
    waits = r"; [01] records? changed since the last sync; next try (in \d+ s|now)"
    assert_matches(line, rf".* WARNING pair pair is offline: {right} is missing, .*{waits}")
    assert_matches(status, rf"(?s).*\npair: {right} is missing, .*{waits}\n")


def assert_matches(text: str, pattern: str) -> None:
    assert re.fullmatch(pattern, text), text


if has_terminals():

    @pytest.mark.slow
    def test_run_on_a_terminal_says_what_runs_and_how_to_stop_it(tmp_path: Path) -> None:
        """The version, the configuration, the pairs, the socket and the page."""
        put(tmp_path / "left.sqlite", full("run"))
        made = DaemonProcess(tmp_path, pair_of(tmp_path / "left.sqlite", tmp_path / "right.sqlite"))
        words = ["-c", str(made.config), "run"]
        with at_terminal(words, made.variables(), tmp_path) as terminal:
            wait_until(lambda: made.socket.exists())
            terminal.answers(b" stop\r\n", b"")
            terminal.interrupt()
            assert terminal.end() == 0
        made.close()

        shown = terminal.shown.decode().replace("\r\n", "\n")
        assert_matches(
            shown,
            rf"smtd \S+\n  configuration  {made.config}\n  pairs          pair: left <-> right\n"
            rf"  socket         {made.socket}\n"
            rf"  page           smtd --socket {made.socket} web opens it in a browser\n"
            rf"  stop           Ctrl-C, or smtd --socket {made.socket} stop\n(?s:.*) INFO stopped\n",
        )
