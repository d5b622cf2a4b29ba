"""One pair of two SQLite files and its worker, without a process and without a watch over the files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from smtd.daemon.events import Events
from smtd.daemon.jobs import Sync
from smtd.daemon.notice import Condition
from smtd.daemon.settings import PairSettings
from smtd.daemon.worker import Worker
from smtd.engine.pair import Policy
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both
from smtd.records.record import Key
from smtd.stores.base import Change
from smtd.stores.django.driver import SQLITE
from smtd.stores.location import Location
from smtd.stores.registry import open_store
from smtd.watch import Watch
from tests.build import PROJECT, full

SETTINGS = PairSettings("pair", Both("left", "right"), Both(None, None), Policy(force_retry=False), 0.0, 30.0)


async def put(location: Location, *labels: str) -> None:
    """Write new records, as another program does."""
    async with open_store(location) as store:
        await store.write([Change(Key(PROJECT, label), full(label), None) for label in labels])


async def until_in_sync(worker: Worker, records: int) -> None:
    """Wait until *records* are in sync; one that was just written may need a second cycle."""
    with anyio.fail_after(10):
        while worker.status.in_sync != records:
            await worker.cycle_done.wait()


async def two_files(directory: Path, *labels: str) -> Both[Location]:
    """Return a file with the records *labels* (none: with "run"), and one that does not exist yet."""
    made = Both("left", "right").map(lambda name: Location(SQLITE, directory / f"{name}.sqlite"))
    await put(made.left, *labels or ["run"])
    return made


@asynccontextmanager
async def working(
    locations: Both[Location] | Callable[[], Both[Location]],
    directory: Path,
    settings: PairSettings = SETTINGS,
    note: Callable[[Condition], None] = lambda condition: None,
) -> AsyncIterator[Worker]:
    """Yield a worker of *locations*, or what finds them, after its first cycle; *note* gets its states."""
    locate = locations if callable(locations) else lambda: locations
    async with open_journal(directory / "state") as journal, anyio.create_task_group() as group:
        worker = Worker(settings, locate, journal, Watch(), Events(journal.events), note=note)
        first = Sync()
        worker.submit_nowait(first)
        group.start_soon(worker.run)
        await first.wait()
        yield worker
        group.cancel_scope.cancel()
