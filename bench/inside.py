"""One pair of SQLite stores inside one process, as in the daemon: what each kind of cycle costs.

    python -m bench.inside COUNT DIRECTORY [first|many]

prints one JSON object, as bench/steps.py describes it. Others commit to the left store between two cycles.
With `first` there is only the first sync, with `many` a hundred edits more.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import anyio

from bench.edits import EDIT, MANY, ROUNDS
from bench.steps import Cycle, Steps
from bench.sweep import fill
from smtd import pairing
from smtd.cli import gc_tuning
from smtd.daemon import malloc
from smtd.daemon.runner import MANY as MANY_RECORDS
from smtd.engine.pair import Policy
from smtd.engine.report import PairReport
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both
from smtd.records.parameters.content import forget_meanings
from smtd.stores.discovery import find
from smtd.stores.location import Location

#: Seconds after which a commit is settled, and no cycle waits for it.
SETTLED = 0.3


@asynccontextmanager
async def kept_open(directory: Path, locations: Both[Location], steps: Steps) -> AsyncIterator[Cycle]:
    """Give a cycle of two stores that stay open, with a journal in *directory*, as the daemon runs it."""
    policy = Policy(force_retry=False, wait_to_settle=False)
    async with open_journal(directory / "journal") as journal, pairing.open_stores(locations) as stores:

        async def cycle() -> PairReport:
            report = await pairing.sync(journal, "pair", locations, stores, policy, progress=steps.progressed)
            if report.written >= MANY_RECORDS:
                forget_meanings()
                malloc.trim()
            return report

        yield cycle


class Inside:
    """Two stores in *directory*, and what is done to them."""

    def __init__(self, directory: Path) -> None:
        self.left, self.right = directory / "left.sqlite", directory / "right.sqlite"
        self.directory = directory
        self.steps = Steps()

    async def run(self, count: int, what: str) -> None:
        """Run every kind of cycle; for *what* see above."""
        await fill(self.left, count)
        await anyio.sleep(SETTLED)
        locations = Both(find(str(self.left)), find(str(self.right), may_be_new=True))
        async with kept_open(self.directory, locations, self.steps) as cycle:
            await self.steps.measure("first", cycle, right=count)
            if what == "first":
                return
            await self._edit("warm-up")
            await self.steps.measure("second", cycle, right=1)
            for turn in range(ROUNDS):
                await self.steps.measure("nothing", cycle)
                await self._new(f"new-{turn}")
                await self.steps.measure("new", cycle, right=1)
                await self.steps.measure("compared", cycle)
                await self._edit(f"edit {turn}")
                await self.steps.measure("edit", cycle, right=1)
            for turn in range(MANY if what == "many" else 0):
                await self._edit(f"many {turn}")
                await self.steps.measure("many", cycle, right=1)

    async def _edit(self, outcome: str) -> None:
        await commit(self.left, EDIT, outcome)

    async def _new(self, label: str) -> None:
        """Copy a row of the record table, as a run does that shares all else."""
        with closing(sqlite3.connect(self.left)) as db:
            names = [name for _, name, *_ in db.execute("PRAGMA table_info(django_store_record)")]
        others = ", ".join(f'"{name}"' for name in names if name not in ("db_id", "label"))
        first = "(SELECT min(db_id) FROM django_store_record)"
        await commit(
            self.left,
            f"INSERT INTO django_store_record (label, {others})"
            f" SELECT ?, {others} FROM django_store_record WHERE db_id = {first}",
            label,
        )


async def commit(database: Path, statement: str, *values: str) -> None:
    """Commit a statement as others do, and wait until it is settled."""
    with closing(sqlite3.connect(database)) as db, db:
        db.execute(statement, values)
    await anyio.sleep(SETTLED)


def main() -> None:
    """Measure what the command line asks for."""
    count, directory, *what = sys.argv[1:]
    gc_tuning.tune()
    inside = Inside(Path(directory))
    anyio.run(inside.run, int(count), "".join(what))
    print(json.dumps(inside.steps.costs))


if __name__ == "__main__":
    main()
