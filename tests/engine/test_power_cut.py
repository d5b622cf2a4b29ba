"""A power cut reverts what other programs saved without making it durable: that reverts nothing elsewhere."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smtd.engine import cycle
from smtd.errors import StoreUnreachable
from smtd.merge.sides import Both, Side
from tests.build import PROJECT, change, commented, key, record
from tests.engine.servers import ServerStore
from tests.engine.world import TestStore, World, counts, on, written

RECORDS = [record(f"run-{number}") for number in range(9)]
A, B, C = RECORDS[:3]


class FragileStore(TestStore):
    """A store where other programs save without making it durable, as Sumatra does, and smtd durably."""

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
        """Keep only what is durable."""
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
    """Return the report of the first cycle after the restart of the machine."""
    for store in (world.left, world.right):
        store.power_cut()
    return await world.cycle()


def on_both(deed):
    """Return a function that does *deed* on both sides."""
    return lambda world: [deed(store) for store in (world.left, world.right)]


@pytest.mark.parametrize(
    ("deed", "carried", "records"),
    [
        pytest.param(DONE["an edit"], on(Side.RIGHT, updated=1), 9, id="a comment"),
        pytest.param(
            lambda world: world.left.put(PROJECT, record("new")),
            on(Side.RIGHT, created=1),
            10,
            id="a new run",
        ),
        pytest.param(
            lambda world: world.left.remove(PROJECT, B.label), on(Side.RIGHT, deleted=1), 8, id="a deletion"
        ),
        pytest.param(
            on_both(lambda store: store.put(PROJECT, record("alike"))), written(), 10, id="the same on both"
        ),
        pytest.param(
            on_both(lambda store: store.put(PROJECT, commented(A, store.location))),
            written(left=(0, 1, 0), right=(0, 1, 0)),
            9,
            id="comments of both",
        ),
        pytest.param(DONE["a deletion on both sides"], written(), 8, id="a deletion by both"),
    ],
)
async def test_synced_changes_survive_a_power_cut(world, deed, carried, records):
    """No saved change is gone or comes back, and smtd has nothing to write."""
    deed(world)
    assert counts(await world.cycle()) == carried
    before = world.contents

    report = await after_power_cut(world)

    assert (report.ok, counts(report), report.in_sync) == (True, written(), records)
    assert world.contents == before
    assert world.contents.left == world.contents.right


async def test_write_of_a_crashed_cycle_is_durable_before_it_becomes_the_baseline(world):
    """smtd was killed when its write was visible, but not durable; the next process agrees on it."""
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
async def test_cycle_asks_for_the_store_marks_once(tmp_path, monkeypatch, done, looks):
    """A mark costs each server a request; an idle cycle asks for none, and makes nothing durable."""
    world = await World(tmp_path, FragileStore("left"), ServerStore()).synced(*RECORDS)
    asked = []

    async def marks(written, ended=False):
        asked.append(written)
        return Both("", "")

    async def flushed(store):
        asked.append(store.location)

    monkeypatch.setattr(FragileStore, "flush", flushed)
    DONE[done](world)
    async with world.opened() as pair:
        await cycle.run(replace(pair, marks=marks))

    assert len(asked) == 2 * looks
