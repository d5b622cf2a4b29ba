"""A command of smtd on a terminal, and the person who types there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.forkserver import client


class Terminal:
    """A command of smtd on a terminal of its own."""

    def __init__(self, process: subprocess.Popen[bytes], side: int) -> None:
        self.process = process
        self.shown = b""
        self._side = side

    def answers(self, question: bytes, typed: bytes) -> None:
        """Wait until it asks *question*, and type."""
        while question not in self.shown:
            self.shown += os.read(self._side, 1024)
        os.write(self._side, typed)

    def interrupt(self) -> None:
        """Interrupt it until it ends: a signal that comes just before a read has to wait for the next one."""
        while self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(0.5)

    def end(self) -> int:
        """Return its exit code, when all that it shows has been read."""
        while True:
            try:
                said = os.read(self._side, 1024)
            except OSError:  # the other side is closed
                break
            if not said:
                break
            self.shown += said
        return self.process.wait(60)


@contextmanager
def at_terminal(
    words: Sequence[str | Path], environment: Mapping[str, str], directory: Path | None = None
) -> Iterator[Terminal]:
    """Start `smtd` with *words* on a terminal, which is not this one's."""
    side, other = os.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "smtd", *words],
            stdin=other,
            stdout=other,
            stderr=other,
            cwd=directory,
            env=environment,
            start_new_session=True,
            preexec_fn=client.hears_sigint,
        )
        os.close(other)
        yield Terminal(process, side)
    finally:
        os.close(side)
