"""One laptop: a store in memory, its own journal, and its own way to the server."""

from __future__ import annotations

import sqlite3
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from smtd.engine import cycle
from smtd.engine.pair import Pair, Policy
from smtd.engine.report import PairReport
from smtd.engine.scrub.findings import listed
from smtd.errors import StoreError
from smtd.journal.journal import open_journal
from smtd.journal.record_codec import unpack
from smtd.merge.sides import Both
from smtd.output.english import sentence
from smtd.records.record import Key, Record
from smtd.stores.location import Location
from smtd.stores.registry import open_store
from tests.engine.world import TestStore


@dataclass
class Laptop:
    """Mirrors *store* to the server at *server*, for *projects*; `close` ends its process."""

    name: str
    directory: Path
    server: Location
    projects: frozenset[str]
    store: TestStore = field(default_factory=TestStore)
    report: PairReport | None = None
    #: Why the last cycles failed as a whole.
    errors: list[str] = field(default_factory=list)
    _stack: AsyncExitStack | None = None
    _pair: Pair | None = None

    @property
    def listed(self) -> dict[Key, str]:
        """What its last cycle has listed."""
        return {key: sentence(why) for key, why in listed(self.report).items()}

    async def cycle(self, within: float | None = None, *, thorough: bool = False) -> PairReport | None:
        """Run a cycle, which is killed after so many seconds if it is not over *within* them.

        A *thorough* one reads every record on the server. None: it failed, or was killed.
        """
        policy = Policy(projects=self.projects, verify_within=0.0 if thorough else 3600.0)
        with anyio.move_on_after(within):
            try:
                pair = await self._opened()
                pair = Pair(pair.name, pair.stores, pair.journal, policy)
                self.report = await cycle.run(pair)
                return self.report
            except StoreError as exc:
                self.errors.append(str(exc))
        await self.close()
        return None

    async def _opened(self) -> Pair:
        if self._pair is None:
            self._stack = AsyncExitStack()
            journal = await self._stack.enter_async_context(open_journal(self.directory))
            server = await self._stack.enter_async_context(open_store(self.server))
            known = await self._stack.enter_async_context(journal.pair(self.name, "server"))
            self._pair = Pair(self.name, Both(self.store, server), known, Policy())
        return self._pair

    async def close(self) -> None:
        """End the process of this laptop; what its journal has is there."""
        stack, self._stack, self._pair = self._stack, None, None
        if stack is not None:
            with anyio.CancelScope(shield=True):
                await stack.aclose()

    def history(self) -> list[Record]:
        """Return every record that it overwrote or deleted."""
        file = self.directory / "journal.sqlite"
        if not file.exists():
            return []
        with closing(sqlite3.connect(file)) as db:
            rows = db.execute("SELECT record FROM history WHERE record NOT NULL").fetchall()
        return [unpack(data) for (data,) in rows]
