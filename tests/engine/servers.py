"""A store like a Sumatra Server, and a clock that moves only when a test moves it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from smtd.engine.report import PairReport
from smtd.records.record import Key, Record
from smtd.stores.base import Capabilities, Scan
from tests.build import key
from tests.engine.world import TestStore, World

#: The modules that take the time of looks from `time`.
CLOCKED = ("engine.costly_reads", "engine.lost_updates", "engine.cycle", "journal.write_log")


class ServerStore(TestStore):
    """A store like a server: each read costs a request, it shows no sign of a change, and it has no lock."""

    capabilities = Capabilities(
        exclusive_writes=False, batch=None, keeps_opaque=True, costly_reads=True, saves_records=True
    )

    def __init__(self, location: str = "server", records: dict[Key, Record] | None = None) -> None:
        super().__init__(location, records)
        #: The labels of the records that scans have read.
        self.reads: list[str] = []

    async def scan(self, projects: Any = None, *, known: Any = None) -> Scan:
        found: Scan = await super().scan(projects)
        self.reads += sorted(name.label for name in found.digests.keys() - known.keys())
        trusted = {name: digest for name, digest in known.items() if name in found.digests}
        return replace(found, digests={**found.digests, **trusted}, changes=None)

    async def token(self) -> None:
        """Return no token."""


class Clock:
    """The time of day, which moves only when a test moves it."""

    now = 1_800_000_000.0

    def time(self) -> float:
        return self.now


def stopped(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Stop the time of day for all modules that use it, and return the clock that moves it on."""
    clock = Clock()
    for module in CLOCKED:
        monkeypatch.setattr(f"smtd.{module}.time", clock)
    return clock


def believe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust what is known about a server, as a cycle does for most records of a large one."""
    monkeypatch.setattr("smtd.journal.index.NEWEST", 0)


def words(store: TestStore, label: str = "a") -> list[str]:
    """Return the lines of the comment of a record, sorted."""
    return sorted((store.records[key(label)].outcome or "").split("\n"))


async def later(world: World, clock: Clock, seconds: float = 5.0, **policy: Any) -> PairReport:
    """Run a cycle after some time."""
    clock.now += seconds
    return await world.cycle(**policy)
