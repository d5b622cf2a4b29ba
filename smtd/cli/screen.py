"""The whole terminal as one page that is redrawn in place, and restored at the end. No slow imports.

Whatever ends the program (an error, Ctrl-C, SIGTERM, SIGHUP) leaves the terminal as it was, except SIGKILL.
Ctrl-Z restores it until the program continues.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import termios
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, NoReturn

#: Another page without a cursor, and back.
_ENTER, _LEAVE = "\033[?1049h\033[?25l", "\033[?25h\033[?1049l"
#: To the first cell; to the end of the line; to the end of the page.
_HOME, _REST_OF_LINE, _REST_OF_PAGE = "\033[H", "\033[K", "\033[J"
_ENDING = (signal.SIGTERM, signal.SIGHUP)
_NOTED = (signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT)
#: Indices of the settings of a terminal.
_LOCAL, _CONTROL = 3, 6


class Screen:
    """A context manager: while it is entered, `draw` shows a page and `wait` returns what was pressed.

    SIGTERM and SIGHUP raise SystemExit, Ctrl-C raises KeyboardInterrupt. Only the main thread may use it,
    except for `wake`.
    """

    def __init__(self) -> None:
        self._settings: list[Any] | None = None
        self._handlers: dict[int, Any] = {}
        self._bell, self._ring = socket.socketpair()
        self._keys_end = not os.isatty(0)
        self._drawn = ""
        for end in (self._bell, self._ring):
            end.setblocking(False)

    def __enter__(self) -> Screen:
        for number in (*_ENDING, *_NOTED):
            self._handlers[number] = signal.signal(number, _end if number in _ENDING else _note)
        self._handlers[signal.SIGINT] = signal.getsignal(signal.SIGINT)
        try:
            signal.set_wakeup_fd(self._ring.fileno(), warn_on_full_buffer=False)
            self._begin()
        except BaseException:
            self._restore()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def wake(self) -> None:
        """Make `wait` return."""
        with suppress(OSError):  # full: it returns anyway; or the screen is closed
            self._ring.send(b"\0")

    def draw(self, lines: Sequence[str]) -> None:
        """Show *lines*, which must be narrower than the page, in place of the last ones."""
        page = _HOME + "\r\n".join(line + _REST_OF_LINE for line in lines) + _REST_OF_PAGE
        if page != self._drawn:
            self._drawn = page
            _write(page)

    def wait(self, seconds: float) -> bytes:
        """Return what was pressed (nothing after *seconds*, a new size, or `wake`)."""
        bell = self._bell.fileno()
        sources = [bell] if self._keys_end else [bell, 0]
        ready, _, _ = select.select(sources, [], [], seconds)
        if bell in ready:
            for number in self._bell.recv(4096):
                self._heed(number)
        if 0 not in ready:
            return b""
        with suppress(OSError):
            if pressed := os.read(0, 1024):
                return pressed
        self._keys_end = True
        return b""

    def _heed(self, number: int) -> None:
        """Act on a signal; 0 is none."""
        if number == signal.SIGTSTP:
            self._leave()
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTSTP)
            signal.signal(signal.SIGTSTP, _note)
            self._begin()
        elif number == signal.SIGCONT:
            self._begin()
        elif number == signal.SIGWINCH:
            self._drawn = ""

    def _begin(self) -> None:
        self._drawn = ""
        if not self._keys_end:
            if self._settings is None:
                self._settings = termios.tcgetattr(0)
            settings = [*self._settings]
            settings[_LOCAL] &= ~(termios.ECHO | termios.ICANON)
            settings[_CONTROL] = [*settings[_CONTROL]]
            settings[_CONTROL][termios.VMIN], settings[_CONTROL][termios.VTIME] = 1, 0
            termios.tcsetattr(0, termios.TCSADRAIN, settings)
        _write(_ENTER)

    def _leave(self) -> None:
        _write(_LEAVE)
        if self._settings is not None:
            with suppress(termios.error):  # the terminal has gone
                termios.tcsetattr(0, termios.TCSADRAIN, self._settings)

    def _restore(self) -> None:
        for number in (signal.SIGINT, *_ENDING):  # nothing interrupts this
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)
        self._leave()
        for noted, handler in self._handlers.items():
            signal.signal(noted, handler)
        self._bell.close()
        self._ring.close()


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _note(number: int, frame: FrameType | None) -> None:
    """Do nothing: the number of the signal wakes `Screen.wait`."""
