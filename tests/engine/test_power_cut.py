"""A power cut takes back what others saved and nothing has made durable: that undoes nothing elsewhere."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smtd.engine import cycle
from smtd.engine.pair import Policy
from smtd.errors import StoreUnreachable
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both
from tests.build import PROJECT, change, commented, key, record
from tests.engine.servers import ServerStore
from tests.engine.world import TestStore, World

RECORDS = [record(f"run-{number}") for number in range(9)]
A, B, C = RECORDS[:3]


class FragileStore(TestStore):
    """A store whose others save without making it durable, as Sumatra does; what smtd writes is durable."""

    def __init__(self, location="fragile", records=None):
        super().__init__(location, records)
        self._durable = dict(self.records)
        self.dies_after_writing = False

    async def flush(self):
        self._durable = dict(self.records)

    async def write(self, changes):
        outcomes = await super().write(changes)
        if self.dies_after_writing:
            self.dies_after_writing = False
            raise StoreUnreachable("smtd was killed")
        for each in changes:
            self._durable.pop(each.key, None)
            if each.key in self.records:
                self._durable[each.key] = self.records[each.key]
        return outcomes

    def power_cut(self):
        """Hold what is durable, and nothing else."""
        self.replace(self._durable)


DONE = {
    "nothing": lambda world: None,
    "an edit": lambda world: world.left.put(PROJECT, commented(A, "seen")),
    "a deletion on both sides": lambda world: [
        side.remove(PROJECT, A.label) for side in (world.left, world.right)
    ],
}


@pytest.fixture
async def world(tmp_path):
    return await World(tmp_path, FragileStore("left"), FragileStore("right")).synced(*RECORDS)


async def after_power_cut(world):
    """Return what the first cycle does when the machine is up again."""
    for store in (world.left, world.right):
        store.power_cut()
    return await world.cycle()


async def test_comment_that_was_carried_is_still_there(world):
    world.left.put(PROJECT, commented(A, "seen"))
    assert (await world.cycle()).right.updated == 1

    report = await after_power_cut(world)

    assert (report.ok, report.left.written, report.right.written) == (True, 0, 0)
    assert world.left.records[key(A.label)].outcome == commented(A, "seen").outcome
    assert world.contents.left == world.contents.right


async def test_new_run_that_was_carried_is_still_there(world):
    world.left.put(PROJECT, record("new"))
    await world.cycle()

    report = await after_power_cut(world)

    assert (report.ok, report.right.deleted, report.in_sync) == (True, 0, 10)
    assert key("new") in world.left.records.keys() & world.right.records.keys()


async def test_deletion_that_was_carried_does_not_come_back(world):
    world.left.remove(PROJECT, B.label)
    assert (await world.cycle()).right.deleted == 1

    report = await after_power_cut(world)

    assert (report.ok, report.right.written, report.in_sync) == (True, 0, 8)
    assert key(B.label) not in world.left.records


async def test_record_that_both_sides_had_and_agreed_on_is_still_there(world):
    for store in (world.left, world.right):
        store.put(PROJECT, record("alike"))
    assert (await world.cycle()).in_sync == 10

    report = await after_power_cut(world)

    assert (report.ok, report.in_sync) == (True, 10)


async def test_comments_of_both_sides_that_were_merged_are_still_there(world):
    world.left.put(PROJECT, commented(A, "from the left"))
    world.right.put(PROJECT, commented(A, "from the right"))
    await world.cycle()

    report = await after_power_cut(world)

    assert (report.ok, report.left.written, report.right.written) == (True, 0, 0)
    assert "from the left" in world.right.records[key(A.label)].outcome
    assert "from the right" in world.left.records[key(A.label)].outcome


async def test_deletion_by_both_sides_stays(world):
    for store in (world.left, world.right):
        store.remove(PROJECT, C.label)
    await world.cycle()

    report = await after_power_cut(world)

    assert (report.ok, report.in_sync) == (True, 8)
    assert key(C.label) not in world.left.records.keys() | world.right.records.keys()


async def test_write_that_a_crash_cut_off_is_durable_before_it_is_agreed_on(world):
    """smtd was killed after all could see its write, and before that was durable; the next process agrees."""
    world.left.put(PROJECT, change(A, outcome="done"))
    world.right.dies_after_writing = True
    with pytest.raises(StoreUnreachable):
        await world.cycle()
    await world.cycle()

    report = await after_power_cut(world)

    assert (report.ok, report.left.written, report.right.written) == (True, 0, 0)
    assert world.left.records[key(A.label)].outcome == "done"


async def test_idle_cycle_makes_nothing_durable(world, monkeypatch):
    """It costs the disk nothing."""

    async def flushed(store):
        pytest.fail(f"{store.location} was made durable")

    monkeypatch.setattr(FragileStore, "flush", flushed)

    assert (await world.cycle()).ok
    assert (await world.cycle()).ok


@pytest.mark.parametrize(("done", "looks"), [("nothing", 0), ("an edit", 1), ("a deletion on both sides", 1)])
async def test_marks_are_asked_for_once_for_all_that_is_agreed_on(tmp_path, monkeypatch, done, looks):
    """A mark costs a question to each server; an idle cycle has none, and makes nothing durable."""
    world = await World(tmp_path, FragileStore("left"), ServerStore()).synced(*RECORDS)
    asked = []

    async def marks(written, ended=False):
        asked.append(written)
        return Both("", "")

    async def flushed(store):
        asked.append(store.location)

    monkeypatch.setattr(FragileStore, "flush", flushed)
    DONE[done](world)
    async with open_journal(world.directory) as journal, journal.pair("left", "server") as known:
        await cycle.run(replace(world.pair(known, Policy()), marks=marks))

    assert len(asked) == 2 * looks
