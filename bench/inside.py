"""One pair of SQLite stores inside one process, as in the daemon: what each kind of cycle costs.

    python -m bench.inside COUNT DIRECTORY [first|many]

prints one JSON object: by the name of the step, milliseconds of each run (and until the first record had
arrived), bytes read and written, and the resident memory afterwards, and the peak of it, in bytes. Others
commit to the left store between two cycles. With `first` there is only the first sync, with `many` a hundred
edits more.
"""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio

from bench.edits import EDIT, MANY, ROUNDS
from bench.measure import MAXRSS
from bench.sweep import fill
from smtd import pairing
from smtd.cli import collector
from smtd.daemon import heap
from smtd.engine.memory import Memory
from smtd.engine.pair import Policy
from smtd.engine.report import PairReport
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both
from smtd.stores.locations import Location, find

#: As the daemon runs its own cycles.
POLICY = Policy(insist=False)
#: Seconds after which a commit is settled, and no cycle waits for it.
SETTLED = 0.3


class Inside:
    """Two stores that stay open, and what is remembered of them from cycle to cycle."""

    def __init__(self, directory: Path) -> None:
        self.left, self.right = directory / "left.sqlite", directory / "right.sqlite"
        self.journal = directory / "journal"
        self.steps: dict[str, dict[str, Any]] = {}
        self.arrived = 0.0

    async def run(self, count: int, what: str) -> None:
        """Run every kind of cycle; for *what* see above."""
        await fill(self.left, count)
        memory = Memory()
        async with open_journal(self.journal) as journal, pairing.open_stores(self._locations) as stores:

            async def cycle() -> PairReport:
                report = await pairing.sync(
                    journal,
                    "pair",
                    self._locations,
                    stores,
                    POLICY,
                    memory=memory,
                    progress=self._progressed,
                )
                if report.moved or memory.was_whole:
                    heap.trim()
                return report

            await self._step("first", cycle, right=count)
            if what == "first":
                return
            self._commit(EDIT, "warm-up")
            await anyio.sleep(SETTLED)
            await self._step("second", cycle, right=1)
            for turn in range(ROUNDS):
                await self._step("nothing", cycle)
                self._new(f"new-{turn}")
                await anyio.sleep(SETTLED)
                await self._step("new", cycle, right=1)
                self._commit(EDIT, f"edit {turn}")
                await anyio.sleep(SETTLED)
                await self._step("edit", cycle, right=1)
            for turn in range(MANY if what == "many" else 0):
                self._commit(EDIT, f"many {turn}")
                await anyio.sleep(SETTLED)
                await self._step("many", cycle, right=1)

    def _progressed(self, phase: str, done: int, total: int) -> None:
        """Note when the first record is over there."""
        if done and not self.arrived:
            self.arrived = time.perf_counter()

    @property
    def _locations(self) -> Both[Location]:
        return Both(find(str(self.left)), find(str(self.right), may_be_new=True))

    def _commit(self, statement: str, *values: str) -> None:
        with closing(sqlite3.connect(self.left)) as db, db:
            db.execute(statement, values)

    def _new(self, label: str) -> None:
        """Copy a row of the record table, as a run does that shares all else."""
        with closing(sqlite3.connect(self.left)) as db:
            names = [name for _, name, *_ in db.execute("PRAGMA table_info(django_store_record)")]
        others = ", ".join(f'"{name}"' for name in names if name not in ("db_id", "label"))
        first = "(SELECT min(db_id) FROM django_store_record)"
        self._commit(
            f"INSERT INTO django_store_record (label, {others})"
            f" SELECT ?, {others} FROM django_store_record WHERE db_id = {first}",
            label,
        )

    async def _step(self, name: str, cycle: Callable[[], Awaitable[PairReport]], *, right: int = 0) -> None:
        read, wrote = _moved()
        began = time.perf_counter()
        self.arrived = 0.0
        report = await cycle()
        took = time.perf_counter() - began
        assert (report.left.written, report.right.written) == (0, right), (name, report)
        step = self.steps.setdefault(name, {"ms": []})
        step["ms"].append(round(took * 1000, 2))
        if self.arrived:
            step.setdefault("arrived", []).append(round((self.arrived - began) * 1000, 2))
        now_read, now_wrote = _moved()
        # Now and then SQLite moves its write-ahead log into the file, which is no cost of this cycle alone.
        step["read"] = min(step.get("read", now_read), now_read - read)
        step["wrote"] = min(step.get("wrote", now_wrote), now_wrote - wrote)
        step["resident"] = _resident()
        step["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS


def _moved() -> tuple[int, int]:
    """Return how many bytes this process has read and written, by whatever call."""
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text("ascii").splitlines())
    return int(lines["rchar"]), int(lines["wchar"])


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Measure what the command line asks for."""
    count, directory, *what = sys.argv[1:]
    collector.ease()
    inside = Inside(Path(directory))
    anyio.run(inside.run, int(count), "".join(what))
    print(json.dumps(inside.steps))


if __name__ == "__main__":
    main()
