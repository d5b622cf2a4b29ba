"""`smtd-ctl status --watch`: what a person sees, presses, and gets back."""

from __future__ import annotations

import re
import signal
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from smtd.output.layout import columns
from tests.build import full, record
from tests.daemon.process import DaemonProcess, daemon_process, pair_of, synced
from tests.daemon.sqlite_stores import put
from tests.terminal.screen import Terminal, on_terminal

LOCAL = 3  # the index of the modes of a terminal that have ECHO
WATCH = ["-m", "smtd.cli.ctl", "status", "--watch"]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    """A daemon with one pair, in sync."""
    put(tmp_path / "left.sqlite", full("run"))
    with daemon_process(tmp_path, pair_of(tmp_path / "left.sqlite", tmp_path / "right.sqlite")) as made:
        made.wait_event(synced)
        yield made


@contextmanager
def watching(daemon: DaemonProcess, *, width: int = 80, height: int = 24) -> Iterator[Terminal]:
    """Yield a terminal on which the status of *daemon* is shown."""
    variables = {**daemon.variables(), "TZ": "XYZ-5:30"}
    with on_terminal(WATCH, daemon.directory, variables, width=width, height=height) as terminal:
        before = terminal.settings()
        terminal.wait_for(lambda seen: seen.is_other and "last events" in seen.seen)
        yield terminal
        assert terminal.settings() == before
        assert (terminal.is_other, terminal.has_cursor) == (False, True)
        assert terminal.seen.strip() == ""  # the page of the shell is as it was


def fits(terminal: Terminal, width: int, height: int) -> bool:
    """Say whether all that is shown is within a terminal of that size."""
    lines = terminal.page.lines
    return len(lines) <= height and max(map(columns, lines)) < width


def test_watch_shows_a_clock_and_the_last_events(daemon: DaemonProcess, tmp_path: Path) -> None:
    """The clock goes on by itself, in the local time zone; an event shows when it happens."""
    clock = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d XYZ  q quits")
    with watching(daemon) as terminal:
        first = clock.search(terminal.seen)
        assert first
        terminal.wait_for(lambda seen: "pair: synced: right 1 created" in seen.seen)
        assert re.search(r"\d\d:\d\d:\d\d  pair: synced: right 1 created", terminal.seen)
        terminal.wait_for(
            lambda seen: (found := clock.search(seen.seen)) is not None and found[0] != first[0]
        )

        put(tmp_path / "right.sqlite", full("more"))

        terminal.wait_for(lambda seen: "pair: synced: left 1 created" in seen.seen)
        terminal.wait_for(lambda seen: "2 in sync" in seen.seen)
        terminal.press(b"q")
        assert terminal.ended() == 0


def test_watch_draws_without_flicker(daemon: DaemonProcess) -> None:
    """It never clears the page, and is one page high."""
    with watching(daemon, height=10) as terminal:
        terminal.wait_for(lambda seen: seen.raw.count(b"\x1b[H") > 2)
        terminal.press(b"q")
        terminal.ended()

    assert b"\x1b[2J" not in terminal.raw
    frames = terminal.raw.split(b"\x1b[H")[1:]
    assert max(frame.count(b"\n") for frame in frames) < 10


def test_watch_follows_a_resize(daemon: DaemonProcess) -> None:
    """From a table to blocks and back, without a line that the terminal breaks."""
    with watching(daemon, width=300) as terminal:
        terminal.wait_for(lambda seen: "last cycle  next cycle" in seen.seen)

        terminal.resize(40, 12)
        terminal.wait_for(lambda seen: "pair: idle\n  1 in sync" in seen.seen and fits(seen, 40, 12))
        terminal.resize(300, 30)
        terminal.wait_for(lambda seen: "last cycle  next cycle" in seen.seen)
        terminal.press(b"Q")
        assert terminal.ended() == 0


def test_watch_scrolls_what_is_higher_than_the_terminal(daemon: DaemonProcess) -> None:
    """By j and k; what is shown is named."""
    with watching(daemon, width=40, height=8) as terminal:
        terminal.wait_for(lambda seen: "lines 1 to " in seen.seen)
        assert "pair: idle" in terminal.seen

        terminal.press(b"j")
        terminal.wait_for(lambda seen: "pair: idle" not in seen.seen and "right " in seen.seen)
        terminal.press(b"k")
        terminal.wait_for(lambda seen: "pair: idle" in seen.seen)
        terminal.press(b"q")
        assert terminal.ended() == 0


def test_watch_shows_no_keys_and_gives_them_back(daemon: DaemonProcess) -> None:
    """While it runs, what is typed does not show; afterwards it does."""
    with watching(daemon) as terminal:
        assert not terminal.settings()[LOCAL] & termios.ECHO
        terminal.press(b"xyz")
        terminal.press(b"q")
        assert terminal.ended() == 0
        assert terminal.settings()[LOCAL] & termios.ECHO
    assert "xyz" not in terminal.seen


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_watch_restores_the_terminal_when_it_is_ended(
    daemon: DaemonProcess, number: signal.Signals, code: int
) -> None:
    """By Ctrl-C, or by a signal; without a traceback."""
    with watching(daemon) as terminal:
        if number == signal.SIGINT:
            terminal.press(b"\x03")
        else:
            terminal.process.send_signal(number)
        assert terminal.ended() == code
    assert b"Traceback" not in terminal.raw


def test_watch_gives_the_terminal_back_while_it_is_stopped(daemon: DaemonProcess) -> None:
    """Ctrl-Z shows the page of the shell; when the program continues, it shows the status again."""
    shell = 'set -m; "$@"; echo "stopped: $?"; read -r; fg > /dev/null; echo "ended: $?"'
    words = ["-c", shell, "bash", sys.executable, *WATCH]
    with on_terminal(words, daemon.directory, daemon.variables(), program="bash") as terminal:
        terminal.wait_for(lambda seen: seen.is_other and "last events" in seen.seen)
        terminal.press(b"\x1a")
        terminal.wait_for(lambda seen: "stopped: 148" in seen.seen)
        assert (terminal.is_other, terminal.has_cursor) == (False, True)
        assert terminal.settings()[LOCAL] & termios.ECHO

        terminal.press(b"\n")
        terminal.wait_for(lambda seen: seen.is_other and "last events" in seen.seen)
        assert not terminal.settings()[LOCAL] & termios.ECHO
        terminal.press(b"q")
        terminal.ended()
    assert "ended: 0" in terminal.seen
    assert (terminal.is_other, terminal.has_cursor) == (False, True)


def test_watch_outlives_the_daemon(daemon: DaemonProcess) -> None:
    """It says that no daemon answers, and continues when one does."""
    with watching(daemon) as terminal:
        daemon.stop()
        terminal.wait_for(lambda seen: "no daemon answers at" in seen.seen)
        daemon.start()
        terminal.wait_for(lambda seen: "no daemon answers at" not in seen.seen)
        terminal.wait_for(lambda seen: seen.seen.count("started: 1 pair") == 2)
        terminal.press(b"q")
        assert terminal.ended() == 0
    assert b"Traceback" not in terminal.raw


def test_watch_shows_hostile_names_as_text(tmp_path: Path) -> None:
    """A file name cannot clear the page, ring a bell, or turn the text round."""
    evil = "/nowhere/\x1b[2J\x07\u202eturned.sqlite"
    put(tmp_path / "left.sqlite", full("run"))
    with daemon_process(tmp_path, pair_of(evil, tmp_path / "left.sqlite")) as made:
        made.wait_event(lambda event: event["event"] in ("offline", "halted"))
        with watching(made, height=60) as terminal:
            terminal.wait_for(lambda seen: seen.seen.count("\\x1b[2J") > 1)
            terminal.press(b"q")
            assert terminal.ended() == 1
    assert [each for each in (b"\x1b[2J", b"\x07", "\u202e".encode()) if each in terminal.raw] == []


def test_watch_of_a_pair_that_does_not_exist_is_an_error(daemon: DaemonProcess) -> None:
    """It never touches the terminal."""
    with on_terminal([*WATCH, "nobody"], daemon.directory, daemon.variables()) as terminal:
        assert terminal.ended() == 2

    assert "there is no pair nobody" in terminal.seen
    assert b"\x1b[?1049h" not in terminal.raw


def three_seconds(daemon: DaemonProcess) -> None:
    """Let a second program that repeats the status print it three times."""
    with daemon.start_ctl("status", "--watch", "--json") as clock:
        assert clock.stdout is not None
        assert [clock.stdout.readline() for _ in range(3)]
        clock.send_signal(signal.SIGINT)


@pytest.mark.slow
def test_watch_without_a_terminal_prints_a_line_for_each_change(
    daemon: DaemonProcess, tmp_path: Path
) -> None:
    """And nothing while nothing changes; it ends with the daemon."""
    with daemon.start_ctl("status", "--watch") as process:
        assert process.stdout is not None
        first = process.stdout.readline().decode()
        three_seconds(daemon)
        put(tmp_path / "left.sqlite", record("both", version="1"))
        lines = [process.stdout.readline().decode()]
        while "2 in sync" not in lines[-1]:
            lines.append(process.stdout.readline().decode())
        daemon.stop()
        rest = process.stdout.read().decode()

        assert process.wait(10) == 3
    stamp = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S+  "
    assert re.fullmatch(f"{stamp}pair: idle: 1 in sync\n", first)
    assert re.fullmatch(f"{stamp}pair: idle: 2 in sync\n", lines[-1])
    texts = [line.split("  ", 1)[1] for line in (first, *lines)]
    assert [text for text, before in zip(texts[1:], texts, strict=False) if text == before] == []
    assert rest == ""
