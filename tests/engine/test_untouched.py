"""A process that has just begun looks at no side to which nobody has written since the last cycle."""

from __future__ import annotations

import random

import msgspec
import pytest

from tests.build import PROJECT, RUNNING, change, commented, key, record, tagged
from tests.engine.test_hurry import happen
from tests.engine.world import RefusingStore, TestStore, UnlockedStore, World, counts, written
from tests.sampling import sampled

RECORDS = [record(f"run-{number}") for number in range(9)]
A, B, C, D = RECORDS[:4]


@pytest.fixture
async def world(tmp_path):
    """A pair in sync, each of whose cycles is one of a process of its own."""
    world = await World(tmp_path, memory=None).synced(*RECORDS)
    reset(world)
    return world


def reset(world):
    """Count looks from now on."""
    world.left.scans = world.right.scans = 0


def looks(world):
    """Return how often each store was looked at."""
    return world.left.scans, world.right.scans


@pytest.mark.parametrize("side", ["left", "right"])
async def test_side_that_nobody_wrote_to_is_not_looked_at(world, side):
    store = getattr(world, side)
    store.put(PROJECT, commented(A, "seen"))
    store.put(PROJECT, record("new"))
    store.remove(PROJECT, B.label)

    report = await world.cycle()

    other = "right" if side == "left" else "left"
    assert looks(world) == ((1, 0) if side == "left" else (0, 1))
    assert counts(report) == written(**{other: (1, 1, 1)})
    assert (report.ok, report.in_sync, report.left.records, report.right.records) == (True, 9, 9, 9)
    assert world.contents.left == world.contents.right


async def test_after_that_nothing_is_to_be_done(world):
    world.left.put(PROJECT, record("new"))
    await world.cycle()
    reset(world)

    report = await world.cycle()

    assert looks(world) == (0, 0)
    assert (report.ok, report.in_sync, report.right.written) == (True, 10, 0)


async def test_edit_there_after_that_is_carried(world):
    world.left.put(PROJECT, commented(A, "left"))
    await world.cycle()
    reset(world)
    world.right.put(PROJECT, tagged(A, "right"))

    await world.cycle()

    assert looks(world) == (0, 1)
    assert "right" in world.left.records[key("run-0")].tags
    assert world.contents.left == world.contents.right


async def test_both_sides_are_looked_at_where_both_were_written_to(world):
    world.left.put(PROJECT, commented(A, "left"))
    world.right.put(PROJECT, tagged(A, "right"))

    await world.cycle()

    assert looks(world) == (1, 1)
    assert world.left.records[key("run-0")].outcome == "left"
    assert "right" in world.left.records[key("run-0")].tags
    assert world.contents.left == world.contents.right


@pytest.mark.parametrize("moment", ["after resume", "before write"])
@pytest.mark.parametrize("deed", ["same", "another", "away"])
async def test_edit_there_in_the_middle_of_the_cycle_is_not_lost(world, moment, deed):
    """It is merged in the same cycle, or carried by the next one."""

    def edit():
        if deed == "away":
            world.right.remove(PROJECT, A.label)
        else:
            world.right.put(PROJECT, tagged(A if deed == "same" else B, "right"))

    world.left.put(PROJECT, commented(A, "left"))
    world.right.meanwhile[moment] = edit

    await world.cycle()
    await world.cycle()

    assert world.left.records[key("run-0")].outcome == "left"
    if deed != "away":
        assert "right" in world.left.records[key("run-0" if deed == "same" else "run-1")].tags
    assert world.contents.left == world.contents.right


def in_conflict(world):
    world.left.put(PROJECT, change(A, version="1111"))
    world.right.put(PROJECT, change(A, version="2222"))


def running(world):
    world.left.put(PROJECT, change(record("long"), tags=RUNNING, duration=None))


def refused(world):
    world.left.put(PROJECT, record("bad"))


def emptied(world):
    for held in list(world.left.records):
        world.left.remove(*held)


@pytest.mark.parametrize("left_open", [in_conflict, running, refused, emptied])
async def test_both_sides_are_looked_at_after_a_cycle_that_left_something_open(tmp_path, left_open):
    right = RefusingStore("right")
    right.refused = frozenset({"bad"})
    world = await World(tmp_path, right=right, memory=None).synced(*RECORDS)
    left_open(world)
    assert not (await world.cycle()).ok
    reset(world)
    world.left.put(PROJECT, commented(B, "seen"))

    await world.cycle()

    assert looks(world) == (1, 1)
    assert world.right.records.get(key("run-1"), B).outcome in ("seen", B.outcome)


async def test_deletion_that_does_not_travel_is_not_forgotten(world):
    """What is agreed on then is not what each side holds."""
    world.left.remove(PROJECT, A.label)
    await world.cycle(propagate_deletes=False)
    reset(world)
    world.right.put(PROJECT, commented(B, "right"))

    await world.cycle(propagate_deletes=False)

    assert looks(world)[0] == 1
    assert key("run-0") not in world.left.records
    assert world.left.records[key("run-1")].outcome == "right"


async def test_both_sides_are_looked_at_after_a_cycle_that_broke_off(world):
    world.left.put(PROJECT, commented(A, "left"))
    world.right.meanwhile["after write"] = broken
    with pytest.raises(ZeroDivisionError):
        await world.cycle()
    reset(world)

    report = await world.cycle()

    assert looks(world) == (1, 1)
    assert (report.ok, report.in_sync) == (True, 9)


def broken():
    """Break off."""
    raise ZeroDivisionError


async def test_both_sides_are_looked_at_under_another_policy(world):
    world.left.put(PROJECT, commented(A, "left"))

    await world.cycle(hold_unfinished=False)

    assert looks(world) == (1, 1)


@pytest.mark.parametrize("kind", [TestStore, UnlockedStore])
@pytest.mark.parametrize("seed", sampled(range(15), 3))
async def test_everything_is_decided_as_by_a_cycle_that_looks_at_both_sides(tmp_path, kind, seed):
    """Anything may happen between two cycles; the reports and the stores are the same."""
    chance = random.Random(seed)
    world = await World(tmp_path / "world", right=kind("right"), memory=None).synced(*RECORDS)
    for turn in range(8):
        for _ in range(chance.randint(1, 3)):
            happen(chance, world, turn)
        forgetful = world.forgetful(tmp_path / str(turn))
        whole = await forgetful.cycle()

        report = await world.cycle()

        assert msgspec.to_builtins(report) == msgspec.to_builtins(whole)
        assert world.contents == forgetful.contents


@pytest.mark.parametrize("report", ["x'92c0ffee'", "x'a2ff'", "x''"])
async def test_report_that_cannot_be_read_back_stops_no_cycle(world, report):
    """What the last cycle told is only remembered: without it both sides are looked at."""
    world.change_journal(f"UPDATE quiet SET report = {report}")

    idle = await world.cycle()
    world.change_journal(f"UPDATE quiet SET report = {report}")
    world.left.put(PROJECT, record("new"))
    after = await world.cycle()

    assert (idle.in_sync, after.in_sync) == (len(RECORDS), len(RECORDS) + 1)
    assert looks(world) == (2, 2)
