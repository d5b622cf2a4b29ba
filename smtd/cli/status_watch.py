"""`smtd-ctl status --watch` on a terminal: a clock, the status, and the last events, until q is pressed.

Threads ask the daemon, so that keys and new sizes of the terminal never wait for it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from smtd.cli import streams
from smtd.cli.client import PATIENCE
from smtd.cli.screen import Screen
from smtd.cli.socket_path import any_socket_path
from smtd.cli.status_table import is_left, status_lines
from smtd.control.client import Result, ask, result
from smtd.errors import SmtdError
from smtd.output.event_text import event_text
from smtd.output.layout import wrapped
from smtd.output.local_time import local_clock, local_now
from smtd.text import shown

#: Seconds between two requests for the status, and until a lost daemon is asked again.
INTERVAL = 1.0
#: Events that are kept, and the share of the page that they may take.
EVENTS, SHARE = 50, 3
_UP, _DOWN = (b"k", b"\x1b[A", b"\x1b[5~"), (b"j", b"\x1b[B", b"\x1b[6~", b" ")


class StatusFeed:
    """What the daemon says: its last status, its last events, and why it does not answer (empty: it does)."""

    def __init__(self, arguments: Any, found: Result, wake: Callable[[], None]) -> None:
        self.status = found
        self.events: deque[Result] = deque(maxlen=EVENTS)
        self.problem = ""
        self._socket = arguments.socket
        self._pairs = arguments.pairs
        self._wake = wake
        self._ended = threading.Event()

    def start(self) -> None:
        """Ask the daemon from now on, until `end`."""
        for work in (self._ask_status, self._follow):
            threading.Thread(target=work, daemon=True).start()

    def end(self) -> None:
        """Ask no more."""
        self._ended.set()

    def _ask_status(self) -> None:
        while not self._ended.wait(INTERVAL):
            try:
                asked = {"verb": "status", "pairs": self._pairs}
                self.status = result(any_socket_path(self._socket), asked, PATIENCE)
                self.problem = ""
            except SmtdError as exc:
                self.problem = str(exc)
            self._wake()

    def _follow(self) -> None:
        asked: dict[str, Any] = {"verb": "events", "follow": True, "since": 0, "last": EVENTS}
        while not self._ended.is_set():
            try:
                for event in ask(any_socket_path(self._socket), asked):
                    asked["since"] = event["id"]
                    self.events.append(event)
                    self._wake()
            except SmtdError:
                pass  # the status says why
            self._ended.wait(INTERVAL)


def run(arguments: Any, found: Result) -> int:
    """Show the status, *found* first, until the user quits; return the exit code of the last status."""
    with Screen() as screen:
        feed = StatusFeed(arguments, found, screen.wake)
        feed.start()
        first = 0
        try:
            while not streams.is_lost():
                size = streams.terminal_size(1)
                lines, first = page(feed, size.columns - 1, size.lines, first)
                screen.draw(lines)
                pressed = screen.wait(INTERVAL)
                if b"q" in pressed.lower():
                    break
                step = (pressed in _DOWN) - (pressed in _UP)
                first += step * (size.lines // 2)
        finally:
            feed.end()
    return int(is_left(feed.status["pairs"]))


def page(feed: StatusFeed, width: int, height: int, first: int) -> tuple[list[str], int]:
    """Return *height* lines at most, none wider than *width*, with the status from line *first* on.

    Also return *first*, moved so that it shows as much as possible.
    """
    pairs = sorted(feed.status["pairs"], key=lambda pair: not is_left([pair]))
    names = {pair["pair"] for pair in pairs}
    head = wrapped(f"smtd {feed.status['version']}  {local_now()}  q quits", width)
    if feed.problem:
        head += wrapped(shown(feed.problem), width)
    events = [
        line
        for event in list(feed.events)  # a thread adds to it
        if event.get("pair", "") in names | {""}
        for line in wrapped(f"{local_clock(event['at'])}  {shown(event_text(event))}", width, " " * 10)
    ]
    body = status_lines(pairs, width=width, colour=True)
    spare = max(0, height - len(head) - len(body) - 3)
    events = _last(events, max(spare, height // SHARE - 1))
    foot = ["", "last events", *events] if events else []
    room = max(1, height - len(head) - 1 - len(foot))
    if len(body) > room:
        room = max(1, room - 1)
        first = max(0, min(first, len(body) - room))
        more = f"lines {first + 1:,} to {first + room:,} of {len(body):,}; j and k scroll"
        body = [*body[first : first + room], wrapped(more, width)[0]]
    else:
        first = 0
    return [*head, "", *body, *foot][:height], first


def _last(lines: list[str], most: int) -> list[str]:
    return lines[-most:] if most > 0 else []
