"""What each step of a process costs: time, bytes, and memory.

Of every step, by its name: `ms` of each time that it was done, `cpu` of them, in which a processor was at
work for this process, and `arrived`, until the first record was over there; `read` and `wrote`, the bytes of
all calls that read or write files, of this process and of those that it has started and waited for, the least
of all times; `piped`, what went to such processes and back, the most; `resident` and `peak`, the memory of
this process afterwards and at most, in bytes.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bench.measure import MAXRSS
from smtd.engine.report import PairReport
from smtd.stores.shelf import messages

Cycle = Callable[[], Awaitable[PairReport]]


class Steps:
    """Measures cycles; *costs* is what they have cost."""

    def __init__(self) -> None:
        self.costs: dict[str, dict[str, Any]] = {}
        self._arrived = 0.0
        self._piped = 0
        self._count_pipes()

    def _count_pipes(self) -> None:
        """Count from now on what goes to child processes and comes back."""
        pieces, feed = messages.pieces, messages.Answers.feed

        def sent(request: messages.Request) -> list[bytes]:
            made = pieces(request)
            self._piped += sum(map(len, made))
            return made

        def received(answers: messages.Answers, part: bytes) -> None:
            self._piped += len(part)
            feed(answers, part)

        setattr(messages, "pieces", sent)  # noqa: B010 - mypy takes a function for a constant
        setattr(messages.Answers, "feed", received)  # noqa: B010

    def progressed(self, phase: str, done: int, total: int) -> None:
        """Note when the first record is over there."""
        if done and not self._arrived:
            self._arrived = time.perf_counter()

    async def measure(self, name: str, cycle: Cycle, *, left: int = 0, right: int = 0) -> None:
        """Do it once, and see that it wrote so many records to either side."""
        read, wrote = _moved()
        self._arrived, self._piped = 0.0, 0
        began, busy = time.perf_counter(), _processor()
        report = await cycle()
        took, worked = time.perf_counter() - began, _processor() - busy
        assert (report.left.written, report.right.written) == (left, right), (name, report)
        step = self.costs.setdefault(name, {"ms": [], "cpu": []})
        step["ms"].append(round(took * 1000, 2))
        step["cpu"].append(round(worked * 1000, 2))
        if self._arrived:
            step.setdefault("arrived", []).append(round((self._arrived - began) * 1000, 2))
        now_read, now_wrote = _moved()
        # Now and then SQLite moves its write-ahead log into the file, which is no cost of this cycle alone.
        step["read"] = min(step.get("read", now_read), now_read - read - self._piped)
        step["wrote"] = min(step.get("wrote", now_wrote), now_wrote - wrote - self._piped)
        step["piped"] = max(step.get("piped", 0), self._piped)
        step["resident"] = _resident()
        step["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS


def _processor() -> float:
    """Return for how many seconds processors were at work for this process, and those that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _moved() -> tuple[int, int]:
    """Return how many bytes this process has read and written, by whatever call."""
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text("ascii").splitlines())
    return int(lines["rchar"]), int(lines["wchar"])


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
