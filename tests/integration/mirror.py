"""A store in memory that is mirrored to a server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from smtd.engine import cycle
from smtd.engine.pair import Pair, Policy
from smtd.engine.report import PairReport
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both
from smtd.records.record import Key, Record
from smtd.stores.memory import MemoryStore
from tests.build import PROJECT
from tests.stores.server_place import ServerPlace


class Mirror:
    """A store in memory that is mirrored to a server."""

    def __init__(self, place: ServerPlace, directory: Path) -> None:
        self.place = place
        self.local = MemoryStore()
        self._directory = directory

    @asynccontextmanager
    async def pair(self, **policy: object) -> AsyncIterator[Pair]:
        """Open the pair as another process would."""
        async with (
            open_journal(self._directory) as journal,
            self.place.open() as server,
            journal.pair(self.local.location, "server") as known,
        ):
            made = Policy(projects=frozenset({PROJECT}), **policy)  # type: ignore[arg-type]
            yield Pair("mirror", Both(self.local, server), known, made)

    async def cycle(self, **policy: object) -> PairReport:
        """Run one cycle in a process of its own."""
        async with self.pair(**policy) as pair:
            return await cycle.run(pair)

    async def requests(self, **policy: object) -> list[str]:
        """Run one cycle, and return the requests that the server got."""
        before = len(self.place.server.requests())
        report = await self.cycle(**policy)
        assert (report.failed, report.conflicts) == ([], [])
        return self.place.server.requests()[before:]

    async def seen(self) -> dict[Key, Record]:
        """Return the server's records."""
        async with self.place.open() as store:
            return await store.read(list(self.place.forms()))
