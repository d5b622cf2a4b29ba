"""A side that smtd can only read: an old store, an export."""

from __future__ import annotations

import pytest

from smtd.errors import StoreRefused
from smtd.merge.decide import Mode
from smtd.merge.sides import SIDES, Both
from smtd.stores.base import Capabilities
from tests.build import PROJECT, record, tagged
from tests.engine.world import alike, both_sides, counts, holding, on, written

A, B, C = record("a"), record("b"), record("c")
WHY = "it is a store of Sumatra 0.7"


def close(world, side):
    """Make *side* read-only from now on."""
    world[side].capabilities = Capabilities(True, None, True, read_only=WHY)


@both_sides
async def test_records_of_a_read_only_side_are_copied(world, side):
    """The report says why nothing goes the other way."""
    world[side].put(PROJECT, A)
    world[side.other].put(PROJECT, B)
    close(world, side)

    report = await world.cycle()

    assert counts(report) == on(side.other, created=1)
    assert (report.side(side).read_only, report.side(side.other).read_only) == (WHY, "")
    assert report.ok
    assert contents_of(world, side) == holding(A)
    assert contents_of(world, side.other) == holding(A, B)


def contents_of(world, side):
    return world.contents.left if side is SIDES[0] else world.contents.right


@both_sides
async def test_read_only_side_is_not_written(world, side):
    """Edits on the other side stay there, and do not count as failed."""
    await world.synced(A, B)
    world[side.other].put(PROJECT, tagged(A, "good"))
    world[side.other].remove(PROJECT, "b")
    close(world, side)

    report = await world.cycle()

    assert (counts(report), world.writes) == (written(), Both([], []))
    assert contents_of(world, side) == holding(A, B)


@both_sides
async def test_every_cycle_reports_why_a_side_is_read_only(world, side):
    """Also one that finds nothing to do."""
    world[side].put(PROJECT, A)
    close(world, side)
    await world.cycle()

    report = await world.cycle()

    assert report.side(side).read_only == WHY
    assert counts(report) == written()


async def test_read_only_target_is_an_error(world):
    """Before anything is written."""
    world.left.put(PROJECT, A)
    close(world, SIDES[1])

    with pytest.raises(StoreRefused, match=r"right cannot be written: it is a store of Sumatra 0\.7"):
        await world.cycle(mode=Mode.LEFT_TO_RIGHT)

    assert world.writes == Both([], [])


async def test_two_read_only_sides_are_an_error(world):
    """There is no side to write to."""
    for side in SIDES:
        close(world, side)

    with pytest.raises(StoreRefused, match="left cannot be written"):
        await world.cycle()


@both_sides
async def test_side_that_becomes_writable_gets_what_it_missed(world, side):
    """The store does not show that its dbm module was installed, or its disk mounted for writing."""
    before = world[side].capabilities
    world[side.other].put(PROJECT, A)
    world[side.other].put(PROJECT, B)
    close(world, side)
    assert (await world.cycle()).ok

    world[side].capabilities = before
    report = await world.cycle()

    assert counts(report) == on(side, created=2)
    assert world.contents == alike(A, B)
