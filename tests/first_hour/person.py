"""A person at a terminal, who types commands of a shell; everything that they see is kept."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

#: The most seconds for a command that fetches nothing, and for one that does.
PATIENCE, INSTALLATION = 60.0, 900.0
_ROWS, _COLUMNS = 40, 100
#: What a person does not see: a line that was erased, also from the line below, and styles.
_ERASED = re.compile(r"[^\n]*(\n(\x1b\[\?25h)?\r\x1b\[1A)?\x1b\[2K")
_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")


class Terminal:
    """A terminal on which one command runs."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str]) -> None:
        self._side, other = os.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
        self._process = subprocess.Popen(
            words,
            stdin=other,
            stdout=other,
            stderr=other,
            env=dict(environment),
            start_new_session=True,
            preexec_fn=_own_terminal,
        )
        os.close(other)
        self._shown, self._is_open = b"", True

    @property
    def shown(self) -> str:
        """What a person sees: without styles, and only the last of what was written over."""
        written = self._shown.decode("utf-8", "replace").replace("\r\n", "\n")
        text = _STYLE.sub("", _ERASED.sub("", written))
        return "\n".join(line.rpartition("\r")[2] for line in text.split("\n"))

    def until(self, words: str, patience: float = PATIENCE) -> None:
        """Wait until it shows *words*."""
        deadline = time.monotonic() + patience
        while words not in self.shown:
            assert self._reads(deadline), f"it never showed {words!r}:\n{self.shown}"

    def type(self, keys: str) -> None:
        """Press *keys*."""
        os.write(self._side, keys.encode())

    def end(self, patience: float = PATIENCE) -> int:
        """Wait for the end of the command; return its exit code."""
        deadline = time.monotonic() + patience
        while self._reads(deadline):
            pass
        os.close(self._side)
        self._is_open = False
        return self._process.wait(max(0.0, deadline - time.monotonic()))

    def kill(self) -> None:
        """End the command and what it started, whatever it does, and read what it still showed."""
        if self._is_open:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
            self.end()

    def _reads(self, deadline: float) -> bool:
        """Read what there is, by *deadline*; return False at the end of the command."""
        ready, _, _ = select.select([self._side], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise AssertionError(f"it took too long:\n{self.shown}")
        try:
            part = os.read(self._side, 65536)
        except OSError:  # nobody has the other side any more
            part = b""
        self._shown += part
        return bool(part)


def _own_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@dataclass
class Person:
    """Somebody in the directory *place*, as a shell names it.

    *shell*: the words that run a line of a shell there. *record*: where all that they saw is kept.
    """

    shell: Callable[[str], Sequence[str]]
    environment: Mapping[str, str]
    record: Path
    place: str = "~"
    _running: list[Terminal] = field(default_factory=list)

    def does(
        self,
        line: str,
        *answers: tuple[str, str],
        keys: str = "",
        code: int | None = 0,
        patience: float = PATIENCE,
    ) -> str:
        """Type *line*, then *keys*, and what to answer to each question; return what it showed.

        It must end with *code* (None: with any).
        """
        terminal = self._start(line)
        try:
            terminal.type(keys)
            for question, answer in answers:
                terminal.until(question)
                terminal.type(f"{answer}\n")
            ended = terminal.end(patience)
        finally:
            terminal.kill()
            self._keep(line, terminal.shown)
        assert code in (None, ended), f"{line} ended with {ended}:\n{terminal.shown}"
        return terminal.shown

    @contextmanager
    def beside(self, line: str, until: str = "") -> Iterator[Terminal]:
        """Let *line* run in another terminal, as soon as it shows *until*; stop it by Ctrl-C at the end."""
        terminal = self._start(line)
        try:
            terminal.until(until)
            yield terminal
            terminal.type("\x03")
            assert terminal.end() in (0, 130), terminal.shown
        finally:
            terminal.kill()
            self._keep(f"{line}    # in another terminal, until Ctrl-C", terminal.shown)

    def _start(self, line: str) -> Terminal:
        return Terminal(self.shell(f"cd {self.place} && {line}"), self.environment)

    def _keep(self, line: str, shown: str) -> None:
        with self.record.open("a", encoding="utf-8") as file:
            file.write(f"{self.place}$ {line}\n{shown.rstrip()}\n\n")
