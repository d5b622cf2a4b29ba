"""What one cycle does with two stores: creations, edits, deletions, merges and conflicts."""

from __future__ import annotations

import pytest

from smtd.engine import cycle
from smtd.engine.deciding import FEW_RECORDS
from smtd.engine.report import Conflict
from smtd.merge.sides import Side
from tests.build import PROJECT, change, commented, full, key, record, tagged
from tests.engine.world import alike, both_sides, counts, holding, on, second_cycle_does_nothing, written

A, B, C = record("a"), record("b"), record("c")


@both_sides
async def test_record_of_one_side_is_created_on_the_other(world, side):
    """A new record is copied, whichever side it is new on."""
    world[side].put(PROJECT, full())

    report = await world.cycle()

    assert counts(report) == on(side.other, created=1)
    assert (report.ok, report.in_sync, report.projects) == (True, 1, [PROJECT])
    assert world.contents == alike(full())


async def test_each_side_gets_the_records_of_the_other(world):
    """Each side gets what only the other one has; nothing is deleted."""
    world.left.put(PROJECT, A)
    world.left.put("Other", C)
    world.right.put(PROJECT, B)

    report = await world.cycle()

    assert counts(report) == written(left=(1, 0, 0), right=(2, 0, 0))
    assert (report.in_sync, report.projects) == (3, [PROJECT, "Other"])
    assert world.contents.left == world.contents.right == holding(A, B) | holding(C, project="Other")


async def test_equal_records_are_adopted_without_a_transfer(world):
    """Two stores with the same records are in sync after their first cycle."""
    world.left.put(PROJECT, full(tags=frozenset({"my tag"})))
    world.right.put(PROJECT, full(tags=frozenset({"my", "tag"}), reason="a first look"))

    report = await world.cycle()

    assert (report.ok, report.in_sync, counts(report)) == (True, 1, written())
    assert len(world.journal("SELECT * FROM agreed")) == 1


async def test_many_edits_at_once_are_copied(world):
    """There are more than a plan keeps the records of, so smtd reads them again before it writes."""
    several = [record(f"run-{number}") for number in range(FEW_RECORDS + 1)]
    await world.synced(*several)
    edited = [tagged(one, "good") for one in several]
    for one in edited:
        world.left.put(PROJECT, one)

    report = await world.cycle()

    assert counts(report) == on(Side.RIGHT, updated=len(several))
    assert world.contents == alike(*edited)


GOOD = tagged(A, "good")
UNWRITTEN, CREATED, UPDATED, DELETED = (0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)


@both_sides
@pytest.mark.parametrize(
    ("here", "there", "done_here", "done_there", "result"),
    [
        pytest.param(GOOD, A, UNWRITTEN, UPDATED, GOOD, id="an edit is copied"),
        pytest.param(None, A, UNWRITTEN, DELETED, None, id="a deletion is carried"),
        pytest.param(GOOD, None, UNWRITTEN, CREATED, GOOD, id="an edit wins over a deletion"),
        pytest.param(None, None, UNWRITTEN, UNWRITTEN, None, id="a deletion on both sides is forgotten"),
        pytest.param(GOOD, GOOD, UNWRITTEN, UNWRITTEN, GOOD, id="equal edits need no transfer"),
        pytest.param(
            GOOD, commented(A, "there"), UPDATED, UPDATED, commented(GOOD, "there"), id="other edits merge"
        ),
        pytest.param(
            tagged(GOOD, "x"), GOOD, UNWRITTEN, UPDATED, tagged(GOOD, "x"), id="of two, one has all edits"
        ),
    ],
)
async def test_both_sides_get_what_was_done_to_a_record(
    world, side, here, there, done_here, done_there, result
):
    """Whichever side it was done on (None: deleted); nothing else is written."""
    await world.synced(A, B)
    for store, made in ((world[side], here), (world[side.other], there)):
        if made is None:
            store.remove(PROJECT, "a")
        else:
            store.put(PROJECT, made)
    both = [B] if result is None else [result, B]

    report = await world.cycle()

    assert counts(report) == written(**{side.value: done_here, side.other.value: done_there})
    assert (report.ok, report.in_sync, world.contents) == (True, len(both), alike(*both))
    assert len(world.journal("SELECT * FROM agreed")) == len(both)
    assert await second_cycle_does_nothing(world)


async def test_conflict_touches_neither_side(world):
    """Two experiments under one label stay as they are and are reported; all other records are synced."""
    await world.synced(A, B)
    world.left.put(PROJECT, change(A, version="beef"))
    world.right.put(PROJECT, change(A, diff="- a\n"))
    world.left.put(PROJECT, tagged(B, "good"))

    report = await world.cycle()

    assert report.conflicts == [Conflict(PROJECT, "a", ("version", "diff"))]
    assert (report.ok, report.in_sync, counts(report)) == (False, 1, written(right=(0, 1, 0)))
    assert world.contents.left == holding(change(A, version="beef"), tagged(B, "good"))
    assert world.contents.right == holding(change(A, diff="- a\n"), tagged(B, "good"))


async def test_conflict_is_reported_until_it_is_resolved(world):
    """Every report has the conflict until a user has made the records equal."""
    world.left.put(PROJECT, A)
    world.right.put(PROJECT, change(A, version="beef"))

    reports = [await world.cycle(), await world.cycle()]
    world.left.put(PROJECT, change(A, version="beef"))
    last = await world.cycle()

    assert [report.conflicts for report in reports] == [[Conflict(PROJECT, "a", ("version",))]] * 2
    assert (last.ok, last.in_sync, counts(last)) == (True, 1, written())


@both_sides
async def test_conflict_ends_when_one_of_the_two_is_deleted(world, side):
    """Then the other record is copied."""
    await world.synced(A)
    world.left.put(PROJECT, change(A, version="beef"))
    world.right.put(PROJECT, change(A, version="cafe"))
    await world.cycle()
    kept = world[side.other].records[key("a")]
    world[side].remove(PROJECT, "a")

    report = await world.cycle()

    assert counts(report) == on(side, created=1)
    assert world.contents == alike(kept)


async def test_progress_is_reported_from_zero_to_all(world):
    """A client sees a scan, and then how many of the records are done."""
    world.left.put(PROJECT, A)
    world.right.put(PROJECT, B)
    told = []

    async with world.opened() as pair:
        await cycle.run(pair, progress=lambda *words: told.append(words))
        again = []
        world.left.put(PROJECT, A)  # the store has changed, and none of its records
        await cycle.run(pair, progress=lambda *words: again.append(words))

    assert told[0] == ("scanning", 0, 0)
    assert told[-1] == ("applying", 2, 2)
    assert {phase for phase, _, _ in again} == {"scanning"}
    assert all(done <= total for _, done, total in told)
