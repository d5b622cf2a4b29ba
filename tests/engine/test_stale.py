"""Other programs write while a cycle runs: what they wrote is never overwritten unseen."""

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
MOMENTS = ["after scan", "after read", "before write"]
#: When something happens to the source of a copy: told by the calls that its two stores get.
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
        pytest.param("source", "meanwhile", {"source", "meanwhile"}, id="it joins the edit under way"),
        pytest.param(None, "meanwhile", {"meanwhile"}, id="it wins over a deletion"),
        pytest.param("source", None, {"source"}, id="a deletion does not lose the edit"),
    ],
)
async def test_edit_or_deletion_of_the_target_meanwhile_loses_nothing(
    world, side, moment, edit, meanwhile, result
):
    """What lands between scan and write, also at the last moment, is not overwritten unseen."""

    def tag(store, word):
        if word is None:
            store.remove(PROJECT, "a")
        else:
            store.put(PROJECT, tagged(A, word))

    await world.synced(A, B)
    tag(world[side], edit)
    world[side.other].meanwhile[moment] = lambda: tag(world[side.other], meanwhile)

    report = await world.cycle()

    assert (report.ok, report.in_sync) == (True, 2)
    assert world.contents == alike(tagged(A, *result), B)


@both_sides
@BEYOND_THE_SCAN
async def test_edit_of_the_source_meanwhile_is_carried(world, side, store, moment):
    """What is written is what the source held then, or the next round carries the rest."""
    await world.synced(A, B)
    world[side].put(PROJECT, tagged(A, "x"))
    world[store(side)].meanwhile[moment] = lambda: world[side].put(PROJECT, tagged(A, "x", "meanwhile"))

    await world.cycle()
    report = await world.cycle()

    assert report.ok
    assert world.contents == alike(tagged(A, "x", "meanwhile"), B)


@both_sides
@at_any_moment
async def test_creation_on_the_target_meanwhile_is_not_overwritten(world, side, moment):
    """Another experiment that appears under the label is a conflict, and is left alone."""
    other = change(A, version="beef")
    world[side].put(PROJECT, A)
    world[side.other].meanwhile[moment] = lambda: world[side.other].put(PROJECT, other)

    report = await world.cycle()

    assert [conflict.fields for conflict in report.conflicts] == [("version",)]
    assert (world[side.other].records, counts(report)) == ({key("a"): other}, written())


@both_sides
@BEYOND_THE_SCAN
async def test_deletion_of_the_source_meanwhile_is_carried_in_the_end(world, side, store, moment):
    """A record that is deleted at its source while it is copied is deleted everywhere."""
    await world.synced(A, B)
    world[side].put(PROJECT, tagged(A, "source"))
    world[store(side)].meanwhile[moment] = lambda: world[side].remove(PROJECT, "a")

    await world.cycle()
    report = await world.cycle()

    assert report.ok
    assert world.contents == alike(B)


@both_sides
@pytest.mark.parametrize("moment", ["after scan", "after read"])
async def test_source_that_is_emptied_meanwhile_deletes_nothing(world, side, moment):
    """A record that cannot be read at its source any more is not written as its absence."""
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
async def test_source_that_deletes_meanwhile_does_not_delete_where_deletions_are_kept(world, side):
    """The policy holds also for what happens between scan and write."""
    await world.synced(A, B)
    world[side].put(PROJECT, tagged(A, "x"))
    world[side].meanwhile["after scan"] = lambda: world[side].remove(PROJECT, "a")

    await world.cycle(propagate_deletes=False)

    assert world.contents[side.other] == holding(A, B)


@both_sides
@at_any_moment
async def test_edit_of_either_side_meanwhile_joins_a_merge(world, side, moment):
    """A merge that finds one side changed again is made anew; no comment is lost or doubled."""
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
async def test_reappearance_of_a_deleted_source_meanwhile_loses_nothing(world, side):
    """A record that comes back at its source while it is deleted elsewhere is there again."""
    await world.synced(A, B)
    world[side].remove(PROJECT, "a")
    world[side.other].meanwhile["before write"] = lambda: world[side].put(PROJECT, A)

    await world.cycle()
    report = await world.cycle()

    assert report.ok
    assert world.contents == alike(A, B)


@both_sides
async def test_change_after_the_write_is_seen_by_the_next_cycle(world, side):
    """An edit between write and read-back is not taken for what smtd wrote."""
    await world.synced(A, B)
    world[side].put(PROJECT, tagged(A, "source"))
    world[side.other].meanwhile["after write"] = lambda: world[side.other].put(
        PROJECT, commented(tagged(A, "source"), "meanwhile")
    )

    await world.cycle()
    report = await world.cycle()

    assert report.ok
    assert world.contents == alike(commented(tagged(A, "source"), "meanwhile"), B)


async def test_records_that_nobody_touched_go_on(world):
    """One stale record does not keep the others back."""
    await world.synced(A, B)
    world.left.put(PROJECT, tagged(A, "x"))
    world.left.put(PROJECT, tagged(B, "x"))
    keep_editing(world.right, A)

    report = await world.cycle()

    assert world.contents.right.keys() == holding(A, B).keys()
    assert world.right.records[key("b")] == tagged(B, "x")
    assert {failure.label for failure in report.failed} == {"a"}


async def test_record_that_keeps_changing_is_left_for_the_next_cycle(world):
    """After a few rounds smtd gives up, says so, and has overwritten nothing."""
    await world.synced(A)
    world.left.put(PROJECT, tagged(A, "x"))
    keep_editing(world.right, A)

    report = await world.cycle()
    world.right.meanwhile.clear()
    last = await world.cycle()

    (failure,) = report.failed
    assert sentence(failure.why) == "it kept changing; the next cycle tries again"
    assert counts(report)["right"] == (0, 0, 0)
    assert last.ok
    assert world.contents.left == world.contents.right == holding(tagged(change(A, reason="edit 2"), "x"))


async def test_cycle_during_which_somebody_wrote_is_not_quiet(world):
    """What changed at the last moment is found although nothing changes after it."""
    await world.synced(A)
    world.left.put(PROJECT, tagged(A, "x"))
    world.right.meanwhile["after write"] = lambda: world.left.put(PROJECT, B)

    first = await world.cycle()
    second = await world.cycle()

    assert counts(first) == written(right=(0, 1, 0))
    assert counts(second) == written(right=(1, 0, 0))
    assert await second_cycle_does_nothing(world)


@both_sides
async def test_adoption_of_what_changes_meanwhile_is_made_anew(world, side):
    """Records that were equal at the scan and are not any more are looked at again."""
    world.left.put(PROJECT, A)
    world.right.put(PROJECT, A)
    world[side].meanwhile["after scan"] = lambda: world[side].put(PROJECT, tagged(A, "meanwhile"))

    await world.cycle()
    report = await world.cycle()

    assert report.ok
    assert world.contents == alike(tagged(A, "meanwhile"))


@both_sides
async def test_deletion_between_write_and_reading_back_is_a_deletion(world, side):
    """What is gone before smtd could look at it again was not agreed on, and loses nothing."""
    await world.synced(A, B)
    world[side].put(PROJECT, tagged(A, "x"))
    world[side.other].meanwhile["after write"] = lambda: world[side.other].remove(PROJECT, "a")

    report = await world.cycle()

    assert report.ok
    assert world.contents.left == world.contents.right
    assert world.contents.left in (holding(B), holding(tagged(A, "x"), B))


@both_sides
async def test_reappearance_between_deletion_and_reading_back_is_a_creation(world, side):
    """What is there again after smtd deleted it is a record like any other."""
    await world.synced(A, B)
    world[side].remove(PROJECT, "a")
    world[side.other].meanwhile["after write"] = lambda: world[side.other].put(PROJECT, tagged(A, "x"))

    report = await world.cycle()

    assert report.ok
    assert world.contents == alike(tagged(A, "x"), B)


@both_sides
async def test_record_that_becomes_unreadable_meanwhile_is_not_overwritten(world, side):
    """What cannot be compared is not what the plan saw."""
    await world.synced(A, B)
    broken = change(A, parameters=Parameters("dict", "print(1)"))
    world[side].put(PROJECT, tagged(A, "x"))
    world[side.other].meanwhile["after scan"] = lambda: world[side.other].put(PROJECT, broken)

    report = await world.cycle()

    assert {failure.label for failure in report.failed} == {"a"}
    assert world[side.other].records[key("a")] is broken


@both_sides
@pytest.mark.parametrize("moment", ["after scan", "after read"])
async def test_merge_of_what_is_gone_meanwhile_is_not_forgotten(world, side, moment):
    """A cycle that could not merge a record scans again: what is left is said or done."""
    await world.synced(A, B)
    world.left.put(PROJECT, tagged(A, "left"))
    world.right.put(PROJECT, tagged(A, "right"))
    world[side].meanwhile[moment] = lambda: world[side].remove(PROJECT, "a")

    report = await world.cycle()

    assert report.failed or world.contents.left == world.contents.right
    assert world[side.other].records[key("a")].tags >= {side_word(side.other)}


def side_word(side):
    """Return the tag that a side was given."""
    return {Side.LEFT: "left", Side.RIGHT: "right"}[side]


@both_sides
async def test_listing_of_long_ago_deletes_nothing(world, side):
    """A record that an old listing does not show is there; a cache or a replica may answer so."""
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


async def test_record_that_goes_away_before_it_is_merged_keeps_the_other_edit(world):
    """Both sides had changed it: an edit wins over the deletion."""
    await world.synced(A, B)
    world.left.put(PROJECT, tagged(A, "left"))
    world.right.put(PROJECT, tagged(A, "right"))

    def when_it_was_asked_whether_it_changed() -> None:
        world.right.meanwhile["after scan"] = lambda: world.right.remove(PROJECT, "a")

    world.right.meanwhile["after scan"] = when_it_was_asked_whether_it_changed

    report = await world.cycle()

    assert report.ok
    assert world.contents == alike(tagged(A, "left"), B)
