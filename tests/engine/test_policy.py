"""How a pair is synced: one way, keeping deletions, mirroring runs, or only some projects."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from smtd.engine.report import Conflict, Hold
from smtd.merge.decide import Mode
from smtd.merge.sides import Both, Side
from smtd.output.english import sentence
from tests.build import MOMENT, PROJECT, RUNNING, change, full, record, tagged
from tests.engine.world import alike, both_sides, counts, holding, on, written

A, B, C = record("a"), record("b"), record("c")


ONE_WAY = pytest.mark.parametrize(
    ("mode", "source"),
    [(Mode.LEFT_TO_RIGHT, Side.LEFT), (Mode.RIGHT_TO_LEFT, Side.RIGHT)],
    ids=["left to right", "right to left"],
)


@ONE_WAY
async def test_one_way_pair_copies_changes_of_its_source(world, mode, source):
    """Creations, edits and deletions."""
    await world.synced(A, B)
    world[source].put(PROJECT, tagged(A, "good"))
    world[source].remove(PROJECT, "b")
    world[source].put(PROJECT, C)

    report = await world.cycle(mode=mode)

    assert counts(report) == on(source.other, created=1, updated=1, deleted=1)
    assert world.contents == alike(tagged(A, "good"), C)


@ONE_WAY
async def test_one_way_pair_never_writes_to_its_source(world, mode, source):
    """Changes of the target alone stay there."""
    await world.synced(A, B)
    world[source.other].put(PROJECT, tagged(A, "good"))
    world[source.other].remove(PROJECT, "b")
    world[source.other].put(PROJECT, C)
    before = world.contents

    report = await world.cycle(mode=mode)

    assert (counts(report), world.writes, world.contents) == (written(), Both([], []), before)


@ONE_WAY
async def test_one_way_pair_reports_edits_of_both_sides_as_a_conflict(world, mode, source):
    """A merge would write to the source, so a user decides."""
    await world.synced(A)
    world[source].put(PROJECT, tagged(A, "x"))
    world[source.other].put(PROJECT, change(tagged(A, "y"), reason="why"))
    before = world.contents

    report = await world.cycle(mode=mode)

    assert report.conflicts == [Conflict(PROJECT, "a", ("reason", "tags"))]
    assert (world.writes, world.contents) == (Both([], []), before)


@ONE_WAY
async def test_one_way_pair_holds_a_record_that_lost_its_data(world, mode, source):
    """Sumatra removed it at the source, where a one-way pair cannot restore it."""
    await world.synced(full("a"), B)
    world[source].put(PROJECT, tagged(change(full("a"), output_data=()), "x"))
    before = world.contents

    report = await world.cycle(mode=mode)

    assert [(held.label, held.kind) for held in report.held] == [("a", Hold.LOST_DATA)]
    assert (world.writes, world.contents) == (Both([], []), before)


@both_sides
async def test_deletion_is_not_carried_until_the_policy_permits_it(world, side):
    """Cycle after cycle under deletes=keep; then it is carried."""
    await world.synced(A, B)
    world[side].remove(PROJECT, "a")
    before = world.contents

    reports = [await world.cycle(propagate_deletes=False), await world.cycle(propagate_deletes=False)]

    assert [(report.ok, counts(report)) for report in reports] == [(True, written())] * 2
    assert world.contents == before
    assert counts(await world.cycle()) == on(side.other, deleted=1)


@both_sides
async def test_edit_of_a_kept_record_is_copied_to_the_side_that_deleted_it(world, side):
    """The edit is a change, which wins over the deletion."""
    await world.synced(A, B)
    world[side].remove(PROJECT, "a")
    await world.cycle(propagate_deletes=False)
    world[side.other].put(PROJECT, tagged(A, "good"))

    report = await world.cycle(propagate_deletes=False)

    assert counts(report) == on(side, created=1)


@both_sides
@pytest.mark.parametrize("status", ["_initialized_", "_pre_run_", "_running_", "_finished..._"])
async def test_unfinished_record_is_held_until_its_run_is_over(world, side, status):
    """Then it is copied, once."""
    world[side].put(PROJECT, change(A, tags=frozenset({status}), duration=None))
    world[side].put(PROJECT, B)

    report = await world.cycle()
    world[side].put(PROJECT, A)
    last = await world.cycle()

    assert [(held.project, held.label, sentence(held.why)) for held in report.held] == [
        (PROJECT, "a", "running")
    ]
    assert (report.ok, report.in_sync, counts(report)) == (False, 1, on(side.other, created=1))
    assert (last.ok, last.in_sync, counts(last)) == (True, 2, on(side.other, created=1))


@both_sides
async def test_unfinished_record_is_copied_with_unfinished_mirror(world, side):
    """Also while its run continues."""
    world[side].put(PROJECT, change(A, tags=RUNNING, duration=None))

    report = await world.cycle(hold_unfinished=False)
    world[side].put(PROJECT, A)
    last = await world.cycle(hold_unfinished=False)

    assert counts(report) == on(side.other, created=1)
    assert counts(last) == on(side.other, updated=1)
    assert world.contents == alike(A)


async def test_unfinished_record_that_both_sides_edited_is_held(world):
    """A merge also waits for the end of the run."""
    started = change(A, tags=RUNNING, duration=None)
    world.left.put(PROJECT, started)
    await world.cycle(hold_unfinished=False)
    world.left.put(PROJECT, tagged(started, "x"))
    world.right.put(PROJECT, tagged(started, "y"))

    report = await world.cycle()

    assert [held.label for held in report.held] == ["a"]
    assert counts(report) == written()


async def test_finished_run_merges_with_edits_of_its_mirrored_copy(world):
    """The side that completed the run has all of it; annotations of both sides stay."""
    started = change(A, tags=RUNNING, duration=None, stdout_stderr="Not yet captured.")
    world.left.put(PROJECT, started)
    await world.cycle(hold_unfinished=False)
    world.left.put(PROJECT, A)
    world.right.put(PROJECT, tagged(started, "good"))

    report = await world.cycle(hold_unfinished=False)

    assert (report.ok, counts(report)) == (True, written(left=(0, 1, 0), right=(0, 1, 0)))
    assert world.contents == alike(tagged(A, "good"))


async def test_deletion_of_an_unfinished_record_is_carried(world):
    """There is nothing to wait for."""
    world.left.put(PROJECT, change(A, tags=RUNNING, duration=None))
    world.left.put(PROJECT, B)
    await world.cycle(hold_unfinished=False)
    world.left.remove(PROJECT, "a")

    report = await world.cycle()

    assert counts(report) == written(right=(0, 0, 1))


async def test_other_projects_are_left_alone(world):
    """A pair of one project neither reads nor writes another one."""
    world.left.put(PROJECT, A)
    world.left.put("Other", B)
    world.right.put("Another", C)

    report = await world.cycle(projects=frozenset({PROJECT}))

    assert (counts(report), report.projects, report.in_sync) == (written(right=(1, 0, 0)), [PROJECT], 1)
    assert world.contents.right == holding(A) | holding(C, project="Another")


async def test_cycle_of_one_project_deletes_nothing_in_others(world):
    """Records that a cycle does not look at are not missing."""
    world.left.put("Other", B)
    await world.synced(A, C)
    world.left.remove(PROJECT, "a")

    report = await world.cycle(projects=frozenset({PROJECT}))

    assert counts(report) == written(right=(0, 0, 1))
    assert world.contents.right == holding(C) | holding(B, project="Other")


async def test_unfinished_run_counts_as_killed_after_a_while(world, monkeypatch):
    """The report says when, and its record is copied then, without any other change."""
    world.left.put(PROJECT, change(A, tags=RUNNING, duration=None, timestamp=MOMENT))
    end = MOMENT + timedelta(days=36_500)

    (held,) = (await world.cycle(stale_after=36_500 * 86_400.0)).held
    later = await world.cycle(stale_after=36_500 * 86_400.0)
    monkeypatch.setattr(time, "time", lambda: end.timestamp() + 1)
    at_the_end = await world.cycle(stale_after=1.0)

    assert held.until == end.isoformat(timespec="seconds")
    assert (later.held, later.again) == ([held], end.replace(microsecond=0).timestamp())
    assert counts(at_the_end) == on(Side.RIGHT, created=1)
