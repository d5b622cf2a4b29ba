"""Commands as whole processes: how long they take and how much memory they need.

Seconds are of the wall, from before the process starts until it has ended. Memory is resident
memory: `largest` is the peak of the largest single process among the command and all that it has
started (`ru_maxrss` of wait4; never less than the 20 MB of this process, which the kernel counts
too), `together` the most that all of them were seen to have at one moment.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import IO

#: What `ru_maxrss` counts in.
MAXRSS = 1 if sys.platform == "darwin" else 1024
PAGE = os.sysconf("SC_PAGE_SIZE")
#: Seconds between two looks at the memory of a command that is watched.
INTERVAL = 0.005


@dataclass(frozen=True, slots=True)
class Command:
    """A command line, and where and in which environment it runs."""

    argv: Sequence[str | Path]
    cwd: Path
    env: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a command: seconds, peaks of memory in bytes, and what it printed."""

    seconds: float
    largest: int
    together: int
    output: str


class CommandFailed(Exception):
    """A command that was to be measured failed, or did something else than it should."""


def run(command: Command, *, watch: bool = False) -> Run:
    """Run *command* to its end; with *watch*, look at the memory of all its processes meanwhile.

    Looking costs time: do not compare the seconds of a run that was watched. Raises
    CommandFailed, with what the command said, if its exit code is not 0.
    """
    together = 0
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = subprocess.Popen(
            list(map(str, command.argv)),
            cwd=command.cwd,
            env=command.env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )
        ended, status, usage = os.wait4(process.pid, os.WNOHANG if watch else 0)
        while not ended:
            together = max(together, _resident(process.pid))
            time.sleep(INTERVAL)
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        printed, complained = _text(output), _text(errors)
    if process.returncode:
        words = " ".join(map(str, command.argv))
        raise CommandFailed(f"{words}\nexited with {process.returncode}\n{printed}{complained}")
    largest = usage.ru_maxrss * MAXRSS
    return Run(seconds, largest, max(largest, together), printed)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process and its children that have ended used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _resident(pid: int) -> int:
    """Return the memory of a process and of all below it now; 0 if it has ended, or without /proc."""
    process = Path(f"/proc/{pid}")
    try:
        pages = int((process / "statm").read_text().split()[1])
        children = [
            int(child)
            for thread in (process / "task").iterdir()
            for child in (thread / "children").read_text().split()
        ]
    except OSError:
        return 0
    return pages * PAGE + sum(map(_resident, children))


def interleaved(subjects: Mapping[str, Callable[[], Run]], rounds: int) -> dict[str, list[Run]]:
    """Run every one of *subjects* once in each round, so that a busy machine is busy for all."""
    runs: dict[str, list[Run]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, subject in subjects.items():
            runs[name].append(subject())
    return runs


def seconds(runs: Sequence[Run]) -> float:
    """Return the median time of *runs*."""
    return median(run.seconds for run in runs)


def ratio(slow: Sequence[Run], fast: Sequence[Run]) -> float:
    """Return how many times longer *slow* took: the median over the rounds they share."""
    return median(one.seconds / other.seconds for one, other in zip(slow, fast, strict=True))
