"""A program on a terminal of its own, and what a person sees there."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from smtd.output.layout import columns
from tests.daemon.process import PATIENCE
from tests.forkserver import client

_PART = re.compile(r"\x1b\[(\??)([\d;]*)([A-Za-z])|\r|\n|[^\x1b\r\n]+")
_PREFIX = re.compile(r"\x1b\[?\??[\d;]*$")


class Page:
    """What was written to a terminal of *width* columns; it understands only what smtd may use."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.lines = [""]
        self._row = 0
        self._column = 0
        #: Whether a line was wider than the terminal, which breaks it anywhere.
        self.overflowed = False

    def write(self, text: str) -> None:
        """Write *text*, which is on one line, over what is there."""
        line = self.lines[self._row].ljust(self._column)
        self.lines[self._row] = line[: self._column] + text + line[self._column + len(text) :]
        self._column += len(text)
        self.overflowed |= columns(self.lines[self._row]) > self.width

    def obey(self, final: str, number: str) -> None:
        """Move, or erase."""
        if final == "H":
            self._row = self._column = 0
        elif final == "A":
            self._row = max(0, self._row - int(number or 1))
        elif final == "K":
            self.lines[self._row] = "" if number == "2" else self.lines[self._row][: self._column]
        elif final == "J":
            self.obey("K", number)
            del self.lines[self._row + 1 :]
        else:
            assert final == "m", f"an unknown sequence ends with {final}"

    def end_line(self) -> None:
        """Go to the next line."""
        self._row += 1
        if self._row == len(self.lines):
            self.lines.append("")

    def go_back(self) -> None:
        """Go to the beginning of the line."""
        self._column = 0


class Terminal:
    """A running program with a terminal of *width* and *height*; `seen` is its current page."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int, width: int, height: int) -> None:
        self.process = process
        self._descriptor = descriptor
        self._main, self._other = Page(width), Page(width)
        #: Whether it shows another page than the shell's, and a cursor.
        self.is_other, self.has_cursor = False, True
        #: All that was written, raw.
        self.raw = b""
        self._rest = ""
        self.height = height

    @property
    def page(self) -> Page:
        """The page that is shown."""
        return self._other if self.is_other else self._main

    @property
    def seen(self) -> str:
        """The text of the page that is shown."""
        return "\n".join(self.page.lines)

    def settings(self) -> list[Any]:
        """Return the settings of the terminal, such as whether it shows what is typed."""
        return termios.tcgetattr(self._descriptor)

    def press(self, keys: bytes) -> None:
        """Press *keys*."""
        os.write(self._descriptor, keys)

    def resize(self, width: int, height: int) -> None:
        """Give the terminal another size, as dragging the corner of its window does."""
        self._main.width = self._other.width = width
        self.height = height
        set_size(self._descriptor, width, height)

    def wait_for(self, fits: Callable[[Terminal], bool]) -> None:
        """Read what the program writes until what a person sees *fits*."""
        deadline = time.monotonic() + PATIENCE
        while not fits(self):
            assert select.select([self._descriptor], [], [], max(0.0, deadline - time.monotonic()))[0], (
                self.seen
            )
            assert self._read(), self.seen

    def ended(self) -> int:
        """Read the rest, and return the exit code."""
        while self._read():
            pass
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        """End the program and the terminal."""
        self.process.kill()
        self.process.wait()
        os.close(self._descriptor)

    def _read(self) -> bool:
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:  # the program has ended
            return False
        self.raw += data
        text = self._rest + data.decode(errors="replace")
        part = _PREFIX.search(text)
        self._rest = part[0] if part else ""
        self._show(text.removesuffix(self._rest) if self._rest else text)
        return True

    def _show(self, text: str) -> None:
        for part in _PART.finditer(text):
            if part[0] == "\r":
                self.page.go_back()
            elif part[0] == "\n":
                self.page.end_line()
            elif not part[3]:
                self.page.write(part[0])
            elif part[1]:
                self._switch(part[2], part[3] == "h")
            else:
                self.page.obey(part[3], part[2])
        assert "\x1b" not in _PART.sub("", text)

    def _switch(self, mode: str, on: bool) -> None:
        if mode == "1049":
            if on and not self.is_other:
                self._other = Page(self._main.width)
            self.is_other = on
        else:
            assert mode == "25", f"an unknown mode {mode}"
            self.has_cursor = on


def set_size(descriptor: int, width: int, height: int) -> None:
    """Set the size of a terminal; the kernel tells its programs."""
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


@contextmanager
def on_terminal(
    words: Sequence[str | Path],
    directory: Path,
    variables: Mapping[str, str],
    *,
    width: int = 80,
    height: int = 24,
    program: str = sys.executable,
) -> Iterator[Terminal]:
    """Yield *program* with *words* on a terminal that it controls, as in a window."""
    master, slave = os.openpty()
    set_size(master, width, height)

    def control() -> None:
        client.hears_sigint()
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [program, *map(str, words)],
        cwd=directory,
        env={**variables, "TERM": "xterm"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        preexec_fn=control,
    )
    os.close(slave)
    terminal = Terminal(process, master, width, height)
    try:
        yield terminal
    finally:
        terminal.close()
