"""A side that can only be read: an old store, an export."""

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
    """Let nothing be written to *side* any more."""
    world[side].capabilities = Capabilities(True, None, True, read_only=WHY)


@both_sides
async def test_records_come_out_of_a_side_that_is_only_read(world, side):
    """What it holds travels, and the report says why nothing goes the other way."""
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
async def test_edits_on_the_other_side_stay_there(world, side):
    """A side that is only read is left as it is, and nothing counts as failed."""
    await world.synced(A, B)
    world[side.other].put(PROJECT, tagged(A, "good"))
    world[side.other].remove(PROJECT, "b")
    close(world, side)

    report = await world.cycle()

    assert (counts(report), world.writes) == (written(), Both([], []))
    assert contents_of(world, side) == holding(A, B)


@both_sides
async def test_second_cycle_still_says_why(world, side):
    """A quiet cycle repeats what the one before it found."""
    world[side].put(PROJECT, A)
    close(world, side)
    await world.cycle()

    report = await world.cycle()

    assert report.side(side).read_only == WHY
    assert counts(report) == written()


async def test_target_that_is_only_read_is_refused(world):
    """Asking for what cannot be done is an error, before anything is written."""
    world.left.put(PROJECT, A)
    close(world, SIDES[1])

    with pytest.raises(StoreRefused, match=r"right cannot be written: it is a store of Sumatra 0\.7"):
        await world.cycle(mode=Mode.LEFT_TO_RIGHT)

    assert world.writes == Both([], [])


async def test_two_sides_that_are_only_read_are_refused(world):
    """Nothing can come of it."""
    for side in SIDES:
        close(world, side)

    with pytest.raises(StoreRefused, match="left cannot be written"):
        await world.cycle()


@both_sides
async def test_side_that_can_be_written_again_gets_what_it_missed(world, side):
    """Nothing in the store tells that its dbm module was installed, or its disk mounted for writing."""
    before = world[side].capabilities
    world[side.other].put(PROJECT, A)
    world[side.other].put(PROJECT, B)
    close(world, side)
    assert (await world.cycle()).ok

    world[side].capabilities = before
    report = await world.cycle()

    assert counts(report) == on(side, created=2)
    assert world.contents == alike(A, B)
