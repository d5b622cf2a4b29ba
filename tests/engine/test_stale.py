"""Other programs write while a cycle runs: smtd never overwrites what it has not seen."""

from __future__ import annotations

import pytest

from smtd.merge.sides import Side
from smtd.output.english import sentence
from smtd.records.record import Parameters
from tests.build import PROJECT, change, commented, key, record, tagged
from tests.engine.world import (
    alike,
    both_sides,
    counts,
    holding,
    keep_editing,
    on,
    second_cycle_does_nothing,
    written,
)

A, B, C = record("a"), record("b"), record("c")
SOURCE, MEANWHILE = tagged(A, "source"), tagged(A, "meanwhile")
MOMENTS = ["after scan", "after read", "before write"]
#: When something happens to the source of a copy, named by calls of its two stores.
BEYOND_THE_SCAN = pytest.mark.parametrize(
    ("store", "moment"),
    [
        (lambda side: side, "after scan"),
        (lambda side: side, "after read"),
        (lambda side: side.other, "before write"),
        (lambda side: side.other, "after write"),
    ],
    ids=["after scan", "after read", "before write", "after write"],
)
at_any_moment = pytest.mark.parametrize("moment", MOMENTS)


@both_sides
@at_any_moment
@pytest.mark.parametrize(
    ("edit", "meanwhile", "result"),
    [
        pytest.param(SOURCE, MEANWHILE, tagged(SOURCE, "meanwhile"), id="it joins the edit under way"),
        pytest.param(None, MEANWHILE, MEANWHILE, id="it wins over a deletion"),
        pytest.param(SOURCE, None, SOURCE, id="a deletion does not lose the edit"),
    ],
)
async def test_change_of_the_target_during_a_cycle_is_not_overwritten_unseen(
    world, side, moment, edit, meanwhile, result
):
    """Between scan and write, and also at the last moment."""

    await world.synced(A, B)
    leave(world[side], edit)
    world[side.other].meanwhile[moment] = lambda: leave(world[side.other], meanwhile)

    report = await world.cycle()

    assert (report.ok, report.in_sync) == (True, 2)
    assert world.contents == alike(result, B)


@both_sides
@at_any_moment
async def test_record_created_on_the_target_during_a_cycle_is_not_overwritten(world, side, moment):
    """Another experiment under the label is a conflict, and stays."""
    other = change(A, version="beef")
    world[side].put(PROJECT, A)
    world[side.other].meanwhile[moment] = lambda: world[side.other].put(PROJECT, other)

    report = await world.cycle()

    assert [conflict.fields for conflict in report.conflicts] == [("version",)]
    assert (world[side.other].records, counts(report)) == ({key("a"): other}, written())


@both_sides
@BEYOND_THE_SCAN
@pytest.mark.parametrize("then", [tagged(A, "source", "meanwhile"), None], ids=["edited", "deleted"])
async def test_change_of_the_source_during_a_cycle_reaches_the_target(world, side, store, moment, then):
    """smtd writes what the source holds then, or the next round copies the rest."""
    await world.synced(A, B)
    world[side].put(PROJECT, SOURCE)
    world[store(side)].meanwhile[moment] = lambda: leave(world[side], then)

    await world.cycle()
    report = await world.cycle()

    assert report.ok
    assert world.contents == (alike(B) if then is None else alike(then, B))


def leave(store, made):
    """Leave *made* as the record a of *store*, or none there."""
    if made is None:
        store.remove(PROJECT, "a")
    else:
        store.put(PROJECT, made)


@both_sides
@pytest.mark.parametrize("moment", ["after scan", "after read"])
async def test_source_emptied_during_a_cycle_deletes_nothing(world, side, moment):
    """smtd does not write the absence of a record that it can no longer read at its source."""
    await world.synced(A, B)
    world[side].put(PROJECT, tagged(A, "x"))
    world[side].put(PROJECT, tagged(B, "x"))
    world[side].meanwhile[moment] = lambda: (
        world[side].remove(PROJECT, "a"),
        world[side].remove(PROJECT, "b"),
    )

    await world.cycle()
    report = await world.cycle()

    assert len(report.held) == 2
    assert world[side.other].records.keys() == {key("a"), key("b")}


@both_sides
async def test_deletion_during_a_cycle_is_not_carried_with_deletes_keep(world, side):
    """The policy also holds between scan and write."""
    await world.synced(A, B)
    world[side].put(PROJECT, tagged(A, "x"))
    world[side].meanwhile["after scan"] = lambda: world[side].remove(PROJECT, "a")

    await world.cycle(propagate_deletes=False)

    assert world.contents[side.other] == holding(A, B)


@both_sides
@at_any_moment
async def test_edit_during_a_merge_is_merged_too(world, side, moment):
    """If a side has changed again, smtd repeats the merge; no comment is lost or doubled."""
    await world.synced(A, B)
    world.left.put(PROJECT, commented(A, "left"))
    world.right.put(PROJECT, commented(A, "right"))
    world[side].meanwhile[moment] = lambda: world[side].put(
        PROJECT, tagged(commented(world[side].records[key("a")], "later"), "good")
    )

    report = await world.cycle()

    assert report.ok
    assert world.contents.left == world.contents.right
    assert sorted(world.left.records[key("a")].outcome.split("\n")) == ["later", "left", "right"]
    assert world.left.records[key("a")].tags == {"_finished_", "good"}


@both_sides
async def test_source_that_reappears_during_its_deletion_is_copied(world, side):
    """A record that comes back at its source while smtd deletes it elsewhere exists again."""
    await world.synced(A, B)
    world[side].remove(PROJECT, "a")
    world[side.other].meanwhile["before write"] = lambda: world[side].put(PROJECT, A)

    await world.cycle()
    report = await world.cycle()

    assert report.ok
    assert world.contents == alike(A, B)


@both_sides
@pytest.mark.parametrize(
    ("written", "then", "results"),
    [
        pytest.param(SOURCE, commented(SOURCE, "then"), [commented(SOURCE, "then")], id="an edit is copied"),
        pytest.param(SOURCE, None, [SOURCE, None], id="a deletion loses nothing"),
        pytest.param(None, SOURCE, [SOURCE], id="a record that was deleted and comes back is copied"),
    ],
)
async def test_change_between_write_and_read_back_is_synced(world, side, written, then, results):
    """smtd does not take it for its own write."""
    await world.synced(A, B)
    leave(world[side], written)
    world[side.other].meanwhile["after write"] = lambda: leave(world[side.other], then)

    await world.cycle()
    report = await world.cycle()

    assert report.ok
    assert world.contents.left == world.contents.right
    assert world.contents.left in [holding(B) if each is None else holding(each, B) for each in results]


async def test_record_that_keeps_changing_is_left_for_the_next_cycle(world):
    """After a few rounds smtd gives up, reports that, has overwritten nothing, and has copied the others."""
    await world.synced(A, B)
    world.left.put(PROJECT, tagged(A, "x"))
    world.left.put(PROJECT, tagged(B, "x"))
    keep_editing(world.right, A)

    report = await world.cycle()
    world.right.meanwhile.clear()
    last = await world.cycle()

    (failure,) = report.failed
    assert (failure.label, sentence(failure.why)) == ("a", "it kept changing; the next cycle tries again")
    assert counts(report)["right"] == (0, 1, 0)
    assert last.ok
    assert world.contents.left == world.contents.right
    assert world.right.records[key("b")] == tagged(B, "x")
    assert world.right.records[key("a")].reason.startswith("edit ")
    assert "x" in world.right.records[key("a")].tags


async def test_change_at_the_end_of_a_cycle_is_synced_by_the_next_one(world):
    """Although nothing changes after it."""
    await world.synced(A)
    world.left.put(PROJECT, tagged(A, "x"))
    world.right.meanwhile["after write"] = lambda: world.left.put(PROJECT, B)

    first = await world.cycle()
    second = await world.cycle()

    assert counts(first) == written(right=(0, 1, 0))
    assert counts(second) == written(right=(1, 0, 0))
    assert await second_cycle_does_nothing(world)


@both_sides
async def test_equal_records_that_change_before_their_baseline_are_read_again(world, side):
    """They were equal at the scan, and no longer are."""
    world.left.put(PROJECT, A)
    world.right.put(PROJECT, A)
    world[side].meanwhile["after scan"] = lambda: world[side].put(PROJECT, tagged(A, "meanwhile"))

    await world.cycle()
    report = await world.cycle()

    assert report.ok
    assert world.contents == alike(tagged(A, "meanwhile"))


@both_sides
async def test_record_that_becomes_unreadable_during_a_cycle_is_not_overwritten(world, side):
    """It cannot be the state that the plan saw."""
    await world.synced(A, B)
    broken = change(A, parameters=Parameters("dict", "print(1)"))
    world[side].put(PROJECT, tagged(A, "x"))
    world[side.other].meanwhile["after scan"] = lambda: world[side.other].put(PROJECT, broken)

    report = await world.cycle()

    assert {failure.label for failure in report.failed} == {"a"}
    assert world[side.other].records[key("a")] is broken


@both_sides
@pytest.mark.parametrize("moment", ["after scan", "after read"])
async def test_merge_whose_record_disappears_is_planned_again(world, side, moment):
    """The cycle scans again, and carries out or reports the rest."""
    await world.synced(A, B)
    world.left.put(PROJECT, tagged(A, "left"))
    world.right.put(PROJECT, tagged(A, "right"))
    world[side].meanwhile[moment] = lambda: world[side].remove(PROJECT, "a")

    report = await world.cycle()

    assert report.failed or world.contents.left == world.contents.right
    assert world[side.other].records[key("a")].tags >= {side_word(side.other)}


def side_word(side):
    """Return the tag that a side got."""
    return {Side.LEFT: "left", Side.RIGHT: "right"}[side]


@both_sides
async def test_outdated_listing_deletes_nothing(world, side):
    """A record that an old listing does not show exists; a cache or a replica may answer so."""
    await world.synced(A)
    old = await world[side].scan()
    world[side].put(PROJECT, B)
    await world.cycle()
    before = world.contents
    scan = world[side].scan

    async def outdated(projects=None):
        world[side].scan = scan
        return old

    world[side].scan = outdated
    world[side.other].put(PROJECT, C)
    report = await world.cycle()

    assert counts(report) == on(side, created=1)
    assert world.contents == before.map(lambda held: held | holding(C))


async def test_edit_survives_if_the_other_side_is_deleted_before_the_merge(world):
    """Both sides had changed the record: an edit wins over a deletion."""
    await world.synced(A, B)
    world.left.put(PROJECT, tagged(A, "left"))
    world.right.put(PROJECT, tagged(A, "right"))

    def when_it_was_asked_whether_it_changed() -> None:
        world.right.meanwhile["after scan"] = lambda: world.right.remove(PROJECT, "a")

    world.right.meanwhile["after scan"] = when_it_was_asked_whether_it_changed

    report = await world.cycle()

    assert report.ok
    assert world.contents == alike(tagged(A, "left"), B)
