"""A second cycle without a change in between writes nothing, and costs next to nothing."""

from __future__ import annotations

import pytest

from smtd.engine import cycle
from smtd.engine.cycle import is_unchanged
from smtd.merge.sides import Both
from tests.build import PROJECT, RUNNING, change, commented, full, record, tagged
from tests.engine.world import (
    RefusingStore,
    TestStore,
    UnlockedStore,
    World,
    counts,
    second_cycle_does_nothing,
    written,
)
from tests.sampling import SOAK

A, B = record("a"), record("b")


async def everything(world):
    """Let a cycle create, update, delete, merge, hold and report a conflict."""
    labels = ["create", "update", "delete", "merge", "conflict", "robbed", "quiet"]
    await world.synced(*map(full, labels))
    world.left.put(PROJECT, record("new"))
    world.left.put(PROJECT, tagged(full("update"), "x"))
    world.right.remove(PROJECT, "delete")
    world.left.put(PROJECT, commented(full("merge"), "left"))
    world.right.put(PROJECT, commented(full("merge"), "right"))
    world.left.put(PROJECT, change(full("conflict"), version="beef"))
    world.right.put(PROJECT, change(full("conflict"), version="cafe"))
    world.right.put(PROJECT, tagged(change(full("robbed"), output_data=()), "x"))
    world.right.put(PROJECT, change(record("running"), tags=RUNNING, duration=None))
    return await world.cycle()


async def test_second_cycle_writes_nothing(world):
    """Stores and journal stay as they are; the report still has the conflicts and holds."""
    first = await everything(world)

    assert not first.ok
    assert await second_cycle_does_nothing(world)
    second = await world.cycle()

    assert counts(second) == written()
    assert (second.in_sync, second.projects) == (first.in_sync, first.projects)
    assert (second.conflicts, second.held, second.failed) == (first.conflicts, first.held, first.failed)


@pytest.mark.parametrize("busy", [True, False], ids=["others write", "nobody writes"])
async def test_cycles_of_a_hundred_processes_report_the_same(tmp_path, monkeypatch, busy):
    """Conflicts, holds, and unreadable, refused or altered records: none disappears."""
    monkeypatch.setattr(RefusingStore, "refused", frozenset({"refused"}))
    world = World(tmp_path, right=RefusingStore("right"))
    await everything(world)
    world.left.put(PROJECT, record("refused"))
    world.left.put(PROJECT, change(record("damaged"), outcome="\ud800"))
    first, reports = await world.cycle(force_retry=False), []

    for number in range(100 if SOAK else 12):
        world.left, world.right = world.left.copy(), world.right.copy()
        if busy:
            world.right.put("Other", record(f"other-{number}"))
        reports.append(await world.cycle(force_retry=False))

    assert {each.label for each in first.failed} == {"refused", "damaged"}
    assert first.conflicts != []
    assert first.held != []
    for report in reports:
        assert (report.conflicts, report.held) == (first.conflicts, first.held)
        assert sorted(report.failed, key=str) == sorted(first.failed, key=str)


@pytest.mark.parametrize("kind", [TestStore, UnlockedStore])
async def test_second_cycle_writes_nothing_if_stores_have_no_tokens(world, kind):
    """Stores that do not know whether they changed are scanned again."""
    world.left, world.right = TimelessStore("left"), kind("right")

    await everything(world)
    before = world.contents
    world.left.changes.clear()
    world.right.changes.clear()
    report = await world.cycle()

    assert (counts(report), world.writes, world.contents) == (written(), Both([], []), before)


async def test_report_is_not_reused_if_stores_have_no_tokens(world):
    """Nothing counts as unchanged without proof."""
    world.left = TimelessStore("left")

    await world.synced(A, B)

    assert world.journal("SELECT * FROM head WHERE store = 1") == []


class TimelessStore(TestStore):
    """A store that does not know whether a program has written to it."""

    async def token(self):
        return None

    async def unchanged_since(self, token):
        return False


@pytest.mark.parametrize("seen", [False, True], ids=["", "though another pair has seen that"])
async def test_pair_is_unchanged_unless_a_program_wrote_since_its_cycle(world, seen):
    """The daemon then need not look again. What another pair saw is not synced yet."""
    await world.synced(record("a"))
    world.left.put(PROJECT, tagged(record("a"), "edited"))
    if seen:
        await World(world.directory, world.left, TestStore("third")).cycle()
    else:
        world.right.put(PROJECT, change(record("a"), version="another"))
    async with world.opened() as pair:
        unchanged = [await is_unchanged(pair)]
        await cycle.run(pair)
        unchanged.append(await is_unchanged(pair))
        world.left.put(PROJECT, record("new"))
        unchanged.append(await is_unchanged(pair))

    assert unchanged == [False, True, False]
