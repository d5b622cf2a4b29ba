"""What a process takes while it works: nothing of it may grow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from campaigns.campaign import Tally
from tests.daemon.process import DaemonProcess

#: What may grow, and by how much, between the middle fifth of the time and the last one.
MEMORY, FILES, THREADS = 1.10, 4, 4


@dataclass
class Growth:
    """What the process called *name* takes at each look: bytes of memory, open files and sockets, threads."""

    name: str = ""
    memory: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)

    def look(self, process: DaemonProcess) -> None:
        """Note what *process* takes now."""
        self.memory.append(process.memory())
        self.files.append(process.files())
        self.threads.append(process.threads())

    def judge(self, tally: Tally) -> None:
        """Compare what it took in each fifth of the time, and note it."""
        memory, files, threads = map(fifths, (self.memory, self.files, self.threads))
        of = f"{self.name}: " if self.name else ""
        middle = len(memory) // 2
        if memory[-1] > memory[middle] * MEMORY:
            tally.differences.append(f"{of}memory grew from {memory[middle] >> 20} to {memory[-1] >> 20} MiB")
        for what, counts, more in (("open files", files, FILES), ("threads", threads, THREADS)):
            if counts[-1] > counts[middle] + more:
                tally.differences.append(f"{of}{what} grew from {counts[middle]} to {counts[-1]}")
        tally.notes += [
            f"{of}memory by fifths of the time {', '.join(str(each >> 20) for each in memory)} MiB",
            f"open files {', '.join(map(str, files))}",
            f"threads {', '.join(map(str, threads))}",
        ]


def fifths(values: Sequence[int]) -> list[int]:
    """Return the largest of *values* in each fifth of the time."""
    fifth = max(1, len(values) // 5)
    return [max(part) for at in range(0, 5 * fifth, fifth) if (part := values[at : at + fifth])]
