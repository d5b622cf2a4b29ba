"""A pair with a server is polled often enough to copy an edit of a new record within a minute."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest

from smtd.config import StoreConfig, seconds
from smtd.daemon.jobs import Sync
from smtd.daemon.schedule import Schedule
from smtd.daemon.store_session import StoreSession
from smtd.records.record import Record
from tests.build import PROJECT, commented, record
from tests.daemon.working import two_files, working
from tests.engine.servers import CLOCKED, Clock, ServerStore
from tests.engine.world import World

RECORDS = [record(f"run-{number:03}") for number in range(150)]
POLL = seconds(StoreConfig(location="").poll_interval)
#: Seconds that a cycle takes.
CYCLE = 1.0


class Poller:
    """A pair with a server, whose cycles run only when its schedule says so."""

    def __init__(self, world: World, server: ServerStore, clock: Clock) -> None:
        self.world, self.server, self.clock = world, server, clock
        self.schedule = Schedule(POLL, 0.2, clock.time)
        #: The time of each look, and how many records it read.
        self.looks: list[tuple[float, int]] = []

    @property
    def rates(self) -> list[float]:
        """How many records a second each look read, for the time since the previous one."""
        return [count / (at - before) for (before, _), (at, count) in pairwise(self.looks)]

    async def poll(self) -> None:
        """Wait for the next cycle, and run it."""
        self.clock.now = max(self.clock.now, self.schedule.next_poll)
        self.server.reads.clear()
        at = self.clock.now
        await self.world.cycle(force_retry=False)
        self.looks.append((at, len(self.server.reads)))
        self.clock.now += CYCLE
        self.schedule.succeeded(moved=False, watched=False, rereads=True)

    async def delay(self, edited: Record) -> float:
        """Edit a record on the server; return after how many seconds the other side has the edit."""
        self.server.put(PROJECT, edited)
        since = self.clock.now
        while edited not in self.world.left.records.values():
            await self.poll()
        return self.clock.now - since


@pytest.fixture
async def poller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Poller:
    """A pair in sync after some quiet polls."""
    random.seed(3)
    clock, server = Clock(), ServerStore()
    for module in CLOCKED:
        monkeypatch.setattr(f"smtd.{module}.time", clock)
    world = await World(tmp_path, right=server).synced(*RECORDS)
    poller = Poller(world, server, clock)
    for _ in range(5):
        await poller.poll()
    return poller


async def test_edit_of_a_new_record_is_copied_within_a_minute(poller: Poller) -> None:
    """Also if nothing else happens, for every new record, and for an edit right after a look."""
    delays = [await poller.delay(commented(each, "seen")) for each in RECORDS[50::10]]

    assert max(delays) <= 60.0


async def test_polls_of_a_server_do_not_slow_down_in_quiet_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two looks, and the time that they take, fit into two poll intervals."""
    monkeypatch.setattr(StoreSession, "rereads", True)
    monkeypatch.setattr(StoreSession, "are_watched", False)
    async with working(await two_files(tmp_path), tmp_path) as worker:
        for _ in range(4):
            await worker.submit(Sync())
        schedule = worker._schedule

        assert schedule.next_poll - schedule._free_since < 0.97 * POLL


async def test_only_a_server_is_reread(tmp_path: Path) -> None:
    """Files show that they changed."""
    async with working(await two_files(tmp_path), tmp_path) as worker:
        assert not worker.session.rereads
