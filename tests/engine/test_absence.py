"""An absence is evidence of a deletion only in a store that still is the same."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from smtd.engine import cycle
from smtd.merge.decide import Mode
from smtd.merge.deletion_guard import DeletionLimit
from smtd.merge.reasons import Code, because
from smtd.merge.sides import SIDES, Side
from smtd.output.english import next_step, sentence
from tests.build import PROJECT, change, commented, key, record, tagged
from tests.engine.servers import Clock
from tests.engine.world import (
    TestStore,
    World,
    alike,
    both_sides,
    counts,
    holding,
    on,
    second_cycle_does_nothing,
    written,
)
from tests.sampling import sampled

#: The side of many cycles; `make soak` tries both.
from_the_left = pytest.mark.parametrize("side", sampled(SIDES, 2))
from_the_right = pytest.mark.parametrize("side", sampled(SIDES, 2, first=1))
HUNDRED = [record(f"run-{number:03}") for number in range(100)]
MANY = [record(f"run-{number:03}") for number in range(30)]
LABELS = [each.label for each in MANY]


@pytest.fixture
async def world(tmp_path):
    """Two stores in sync that hold thirty records."""
    return await World(tmp_path).synced(*MANY)


async def after_exchange(pair, side):
    """Run the cycle of *pair* in which the store of *side* was replaced, as its file shows."""

    async def is_another(asked):
        return asked is side

    return await cycle.run(replace(pair, is_another=is_another))


def remove(store, labels):
    """Delete records as a user would."""
    for label in labels:
        store.remove(PROJECT, label)


@both_sides
async def test_emptied_store_deletes_nothing(world, side):
    """A store that lost everything is no evidence: each cycle holds all deletions, and says what to do."""
    remove(world[side], LABELS)
    other = side.other.value

    report = await world.cycle()

    assert (counts(report), len(report.held), report.ok) == (written(), 30, False)
    assert sentence(report.held[0].why) == (
        f"deletion held: all earlier records are gone from the {side.value} store"
    )
    assert next_step(report.held[0].why) == (
        f"to keep it, bring the {side.value} store back, comment on it in the {other} store, or run smtd"
        f" deletes reject PAIR; to delete it, delete it from the {other} store too, or run smtd deletes"
        " approve PAIR"
    )
    assert world.contents[side.other] == holding(*MANY)
    assert await second_cycle_does_nothing(world)
    assert (await world.cycle()).held == report.held


@both_sides
async def test_replaced_store_deletes_nothing(world, side):
    """Records of another store at the same place are synced; what it lacks is deleted nowhere."""
    remove(world[side], LABELS)
    world[side].put(PROJECT, record("other"))

    report = await world.cycle()

    assert sum(each.deleted for each in (report.left, report.right)) == 0
    assert len(report.held) == 30
    assert world.contents[side.other] == holding(*MANY, record("other"))


@both_sides
@pytest.mark.parametrize("left", [MANY, []], ids=["they come back", "the other side deletes them too"])
async def test_held_deletions_end_when_both_sides_agree_on_the_records(world, side, left):
    """A user who means the deletions deletes on both sides."""
    remove(world[side], LABELS)
    await world.cycle()
    for each in left:
        world[side].put(PROJECT, each)
    if not left:
        remove(world[side.other], LABELS)

    report = await world.cycle()

    assert (report.ok, report.in_sync, counts(report)) == (True, len(left), written())
    assert len(world.journal("SELECT * FROM agreed")) == len(left)


@both_sides
async def test_emptied_store_gets_edited_records(world, side):
    """A change wins over an absence, whatever caused the absence."""
    remove(world[side], LABELS)
    world[side.other].put(PROJECT, tagged(MANY[0], "x"))

    report = await world.cycle()

    assert len(report.held) == 29
    assert world.contents[side] == holding(tagged(MANY[0], "x"))


async def delete_in_slices(world, side, labels):
    """Delete *labels* on *side*, three at a time, with a cycle after each; return the last report."""
    for start in range(0, len(labels), 3):
        remove(world[side], labels[start : start + 3])
        report = await world.cycle()
    return report


@from_the_left
async def test_deletions_over_many_cycles_count_together(tmp_path, side):
    """Three of a hundred records go before each cycle: smtd deletes up to the limit and holds the rest."""
    world = await World(tmp_path).synced(*HUNDRED)

    report = await delete_in_slices(world, side, [each.label for each in HUNDRED[:60]])

    assert len(world[side.other].records) == 82
    assert [each.label for each in report.held] == [each.label for each in HUNDRED[18:60]]
    assert report.held[0].why == because(Code.MANY_GONE, side, 21, 100)
    assert await second_cycle_does_nothing(world)


@from_the_right
async def test_deletions_count_for_ten_minutes(tmp_path, side, monkeypatch):
    """After that a few more are carried; those that are held still wait for a user."""
    world, clock = await World(tmp_path).synced(*HUNDRED), Clock()
    clock.now = time.time() + 590
    await delete_in_slices(world, side, [each.label for each in HUNDRED[:21]])
    monkeypatch.setattr("smtd.engine.deciding.time", clock)

    before = await delete_in_slices(world, side, [each.label for each in HUNDRED[21:24]])
    clock.now += 20
    after = await delete_in_slices(world, side, [each.label for each in HUNDRED[24:27]])

    assert (len(before.held), len(after.held), len(world[side.other].records)) == (6, 6, 79)


async def test_deletion_of_a_record_that_came_back_does_not_count(world):
    """The record exists again, and both sides agree on it."""
    limit = DeletionLimit(count=2, share=0.0)
    remove(world.left, LABELS[:2])
    await world.cycle(limit=limit)
    for each in MANY[:2]:
        world.left.put(PROJECT, each)
    await world.cycle(limit=limit)

    remove(world.left, LABELS[:2])
    report = await world.cycle(limit=limit)

    assert (report.held, counts(report)) == ([], on(Side.RIGHT, deleted=2))


async def test_deletions_on_the_other_side_and_of_another_pair_do_not_count(world, tmp_path):
    """Each side of each pair has its own count."""
    limit, third = DeletionLimit(count=2, share=0.0), TestStore("third")
    other = World(tmp_path, world.left, third)
    await other.cycle()
    remove(world.left, LABELS[:2])
    await world.cycle(limit=limit)
    await other.cycle(limit=limit)
    remove(world.right, LABELS[2:4])

    report = await world.cycle(limit=limit)

    assert (report.held, counts(report)) == ([], on(Side.LEFT, deleted=2))


@pytest.mark.parametrize(
    ("limit", "gone", "held"),
    [
        *((DeletionLimit(), gone, held) for gone, held in ((1, 0), (20, 0), (21, 21), (29, 29), (30, 30))),
        (DeletionLimit(count=2, share=0.5), 15, 0),
        (DeletionLimit(count=2, share=0.5), 16, 16),
        (DeletionLimit(count=20, share=0.0), 20, 0),
        (DeletionLimit(count=0, share=0.0), 1, 1),
    ],
)
@both_sides
async def test_deletions_above_the_limit_are_held(world, side, limit, gone, held):
    """Above the limit, in count and in share, all deletions wait for a user."""
    remove(world[side], LABELS[:gone])

    report = await world.cycle(limit=limit)

    assert len(report.held) == held
    assert len(world[side.other].records) == 30 - (gone - held)


async def test_held_deletions_hold_back_no_other_change(world):
    """Creations, edits and the other side's deletions are synced."""
    remove(world.left, LABELS[:25])
    world.left.put(PROJECT, record("new"))
    world.left.put(PROJECT, tagged(MANY[25], "x"))
    remove(world.right, LABELS[26:27])

    report = await world.cycle()

    assert counts(report) == written(left=(0, 0, 1), right=(1, 1, 0))
    assert len(report.held) == 25


async def test_deletions_of_both_sides_are_judged_apart(world):
    """A few deletions on one side do not make many on the other harmless."""
    remove(world.left, LABELS[:20])
    remove(world.right, LABELS[20:29])

    report = await world.cycle()

    assert counts(report) == written(left=(0, 0, 9), right=(0, 0, 20))
    assert world.contents == alike(MANY[29])


async def test_records_deleted_on_both_sides_do_not_count_as_missing(world):
    """The guard compares only with records that one side still has."""
    remove(world.left, LABELS[:28])
    remove(world.right, LABELS[:28])
    world.left.remove(PROJECT, LABELS[28])

    report = await world.cycle()

    assert (report.ok, counts(report)) == (True, written(right=(0, 0, 1)))


@both_sides
async def test_unreadable_records_do_not_count_as_missing(world, side):
    """Unreadable records exist: smtd does not delete them on the other side."""
    broken = set(LABELS[:29])
    whole = world[side].scan

    async def scan(projects):
        found = await whole(projects)
        digests = {name: each for name, each in found.digests.items() if name.label not in broken}
        return type(found)(digests, frozenset(), {key(label): "torn" for label in sorted(broken)})

    world[side].scan = scan
    world[side].put(PROJECT, MANY[29])
    before = world.contents[side.other]

    report = await world.cycle()

    assert (len(report.failed), report.held, counts(report)) == (29, [], written())
    assert world.contents[side.other] == before


@pytest.mark.parametrize(("side", "held"), [(Side.LEFT, 30), (Side.RIGHT, 0)], ids=["source", "target"])
async def test_emptied_store_of_a_one_way_pair_deletes_nothing(world, side, held):
    """The guard works in every mode; an emptied target is not refilled, and causes no hold."""
    remove(world[side], LABELS)

    report = await world.cycle(mode=Mode.LEFT_TO_RIGHT)

    assert (counts(report), len(report.held)) == (written(), held)


async def test_lost_journal_deletes_nothing(world):
    """Without its journal smtd merges both sides into their union, and deletes nothing."""
    remove(world.left, LABELS[:3])
    world.directory /= "elsewhere"

    report = await world.cycle()

    assert (report.ok, counts(report)) == (True, written(left=(3, 0, 0)))
    assert world.contents == alike(*MANY)


async def test_guard_counts_only_the_projects_of_the_cycle(world):
    """Records of other projects do not make a loss in this one small."""
    await world.synced(record("only"), project="Small")
    world.left.remove("Small", "only")

    report = await world.cycle(projects=frozenset({"Small"}))

    assert (counts(report), len(report.held)) == (written(), 1)


@both_sides
async def test_deletions_of_a_whole_project_are_held(tmp_path, side):
    """A server does not list a project that is closed to the user: its few records were not deleted."""
    world = World(tmp_path)
    for number in range(3):
        world.left.put("Small", record(f"small-{number}"))
    await world.synced(*MANY)
    for number in range(3):
        world[side].remove("Small", f"small-{number}")
    remove(world[side], LABELS[:1])

    report = await world.cycle()

    assert counts(report) == on(side.other, deleted=1)
    assert [each.label for each in report.held] == ["small-0", "small-1", "small-2"]
    assert "all earlier records of Small are gone from the" in sentence(report.held[0].why)


@both_sides
async def test_exchanged_store_deletes_nothing(tmp_path, side):
    """It gets the records that it lacks from the other side, and the report says so."""
    world = await World(tmp_path).synced(*MANY[:4])
    world[side].remove(PROJECT, MANY[0].label)
    report = await world.do(after_exchange, side)

    assert (report.adopted, report.in_sync, counts(report)) == ([side], 4, on(side, created=1))
    assert world.contents.left == world.contents.right == holding(*MANY[:4])


async def test_exchanged_store_that_lacks_nothing_is_not_adopted_anew(tmp_path):
    """A project directory that was moved is the same store."""
    world = await World(tmp_path).synced(*MANY[:4])
    world.left.put(PROJECT, tagged(MANY[0], "edited"))
    report = await world.do(after_exchange, Side.LEFT)

    assert (report.adopted, counts(report)) == ([], on(Side.RIGHT, updated=1))


@pytest.mark.parametrize(("found", "adopted"), [("as it once was", [Side.LEFT]), ("a new edit", [])])
async def test_exchanged_store_with_an_old_state_counts_as_restored(tmp_path, found, adopted):
    """No user edits a record back to exactly an old state during the exchange. Then the longer text wins."""
    once, later = MANY[0], commented(MANY[0], "as expected")
    world = await World(tmp_path).synced(*MANY[:4])
    world.right.put(PROJECT, later)
    await world.cycle()
    world.left.put(PROJECT, once if adopted else commented(later, "and more"))
    report = await world.do(after_exchange, Side.LEFT)

    assert report.adopted == adopted
    expected = later if adopted else commented(later, "and more")
    assert world.contents.left == world.contents.right == holding(expected, *MANY[1:4])


async def test_equal_new_record_on_both_sides_reveals_a_restored_journal(tmp_path):
    """Two users cannot have created it.

    So the journal is old, and missing records may be new: they come back.
    """
    world = await World(tmp_path).synced(*MANY[:4])
    world.left.put(PROJECT, record("new"))
    world.right.put(PROJECT, record("new"))
    world.left.remove(PROJECT, MANY[0].label)

    report = await world.cycle()

    assert (report.adopted, counts(report)) == ([Side.LEFT, Side.RIGHT], on(Side.LEFT, created=1))
    assert world.contents.left == world.contents.right == holding(record("new"), *MANY[:4])
    world.left.remove(PROJECT, MANY[0].label)
    assert counts(await world.cycle()) == on(Side.RIGHT, deleted=1)


async def test_new_record_copied_for_another_pair_reveals_no_restored_journal(tmp_path):
    """The same journal has the copy in its history."""
    world = await World(tmp_path).synced(*MANY[:4])
    world.left.put(PROJECT, record("new"))
    other = World(tmp_path, TestStore("third"), world.right)
    other.left.put(PROJECT, record("new"))
    await other.cycle()
    world.left.remove(PROJECT, MANY[0].label)

    report = await world.cycle()

    assert (report.adopted, report.right.deleted) == ([], 1)


async def test_record_that_no_journal_can_hold_reveals_no_restored_journal(tmp_path):
    """It is new in every cycle, so no deletion would ever be carried."""
    world = await World(tmp_path).synced(*MANY[:4])
    odd = record("odd", outcome="lone\ud800")
    world.left.put(PROJECT, odd)
    world.right.put(PROJECT, odd)
    world.left.remove(PROJECT, MANY[0].label)

    report = await world.cycle()

    assert (report.adopted, counts(report)) == ([], on(Side.RIGHT, deleted=1))
    assert [each.label for each in report.failed] == ["odd"]


async def test_conflict_survives_a_cycle_that_adopts_the_pair_anew_and_starts_over(tmp_path):
    """It was there before the store was exchanged, and has not changed."""
    world = await World(tmp_path).synced(*MANY)
    one, other = LABELS[:2]
    world.left.put(PROJECT, change(MANY[0], version="1111"))
    world.right.put(PROJECT, change(MANY[0], version="2222"))
    assert [each.label for each in (await world.cycle()).conflicts] == [one]
    world.left.remove(PROJECT, other)
    world.left.put(PROJECT, tagged(MANY[2], "left"))
    world.right.meanwhile["before write"] = lambda: world.right.put(PROJECT, tagged(MANY[2], "right"))
    report = await world.do(after_exchange, Side.LEFT)
    world.left.put(PROJECT, record("new"))

    later = await world.cycle()

    assert report.adopted == [Side.LEFT]
    assert [each.label for each in report.conflicts] == [one]
    assert [each.label for each in later.conflicts] == [one]
