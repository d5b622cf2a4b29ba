"""A server bears no mark: that its database was put back shows in what it lacks and what it has as before."""

from __future__ import annotations

import pytest

from smtd.engine.undo import undo
from smtd.merge.decide import Mode
from smtd.merge.sides import Both, Side
from tests.build import PROJECT, commented, record, tagged
from tests.engine.servers import ServerStore, believe, later, stopped, words
from tests.engine.world import TestStore, World, alike, counts, holding, on, written

OLD = [record(f"old-{number}") for number in range(9)]
NEW = [record(f"new-{number}") for number in range(3)]
EDITED = commented(OLD[0], "seen today")
HOUR = 3600.0


@pytest.fixture
def clock(monkeypatch):
    """Let time go on by hand."""
    clock = stopped(monkeypatch)
    believe(monkeypatch)
    return clock


@pytest.fixture
async def world(tmp_path, clock):
    """A database in sync with a server, which is long past the last look at what was written there."""
    return await settled(await World(tmp_path, TestStore("left"), ServerStore("right")).synced(*OLD), clock)


async def settled(world, clock):
    """Run cycles until all that smtd wrote to the server was looked at for the last time."""
    for seconds in (10.0, 60.0, 400.0):
        await later(world, clock, seconds)
    return world


async def put_back(world, clock, *, edit=True, more=NEW):
    """Work for a day, on both sides, and put the server back to where it was before that."""
    backup = dict(world.right.records)
    if edit:
        world.left.put(PROJECT, EDITED)
        world.right.put(PROJECT, tagged(OLD[1], "today"))
    for each in more:
        world.left.put(PROJECT, each)
    await later(world, clock, 2 * HOUR)
    await settled(world, clock)
    world.right.replace(backup)
    world.right.changes.clear()


async def test_server_that_was_put_back_gets_what_it_lacks(world, clock):
    """No new record is deleted, and no edit is reverted; once, and then the pair is in sync."""
    await put_back(world, clock)
    whole = world.contents.left

    report = await later(world, clock)
    again = [await later(world, clock, 2 * HOUR) for _ in range(3)]

    assert (report.ok, report.adopted, counts(report)) == (True, [Side.RIGHT], on(Side.RIGHT, 3, 2))
    assert world.contents == Both(whole, whole)
    assert [(each.adopted, counts(each)) for each in again] == [([], written())] * 3


async def test_server_that_was_put_back_is_foreseen(world, clock):
    """A dry run tells the same, and leaves everything as it is."""
    await put_back(world, clock)
    before = world.knowledge(), world.contents

    report = await world.cycle(dry_run=True)

    assert (report.adopted, counts(report)) == ([Side.RIGHT], on(Side.RIGHT, 3, 2))
    assert (world.knowledge(), world.contents) == before


async def test_deleted_record_that_is_there_again_shows_that_a_server_was_put_back(world, clock):
    """It was deleted since the backup; it comes back once, which is the safe mistake."""
    backup = dict(world.right.records)
    world.left.remove(PROJECT, "old-8")
    world.left.put(PROJECT, NEW[0])
    await later(world, clock, 2 * HOUR)
    await settled(world, clock)
    world.right.replace(backup)

    report = await later(world, clock)

    assert (report.ok, report.adopted, counts(report)) == (
        True,
        [Side.RIGHT],
        written(left=(1, 0, 0), right=(1, 0, 0)),
    )
    assert world.contents == alike(*OLD, NEW[0])


async def test_server_that_was_put_back_while_deletions_are_held_reverts_nothing(world, clock):
    """More is missing than the guard lets pass; the edits are found when they are read in their turn."""
    await put_back(world, clock, more=[record(f"more-{number:02}") for number in range(40)])
    whole = world.contents.left

    report = await later(world, clock)

    assert (report.adopted, report.held, counts(report)) == ([Side.RIGHT], [], on(Side.RIGHT, 40, 2))
    assert world.contents == Both(whole, whole)


async def test_edits_that_were_read_in_their_turn_are_not_reverted(world, clock):
    """Of a server that was put back while what it lacks was held already."""
    for label in [each.label for each in OLD]:
        world.right.remove(PROJECT, label)
    world.left.put(PROJECT, NEW[0])
    await later(world, clock)
    await settled(world, clock)
    world.left.put(PROJECT, commented(NEW[0], "today"))
    await later(world, clock)
    await settled(world, clock)
    world.right.put(PROJECT, NEW[0])

    report = await later(world, clock, 2 * HOUR)

    assert (report.adopted, report.held) == ([Side.RIGHT], [])
    assert words(world.left, "new-0") == words(world.right, "new-0") == ["today"]


async def test_deletion_on_a_server_is_one_if_nothing_went_back(world, clock):
    """With an edit there that is a new one."""
    await put_back(world, clock)
    await later(world, clock)
    await settled(world, clock)
    world.right.remove(PROJECT, "old-5")
    world.right.put(PROJECT, commented(EDITED, "and more"))

    report = await later(world, clock, 2 * HOUR)

    assert (report.adopted, counts(report)) == ([], on(Side.LEFT, 0, 1, 1))


async def test_edit_that_was_taken_back_on_a_server_is_an_edit(world, clock):
    """Nothing is missing there: somebody thought better of it."""
    await put_back(world, clock, more=[])

    report = await later(world, clock, 2 * HOUR)

    assert (report.adopted, counts(report)) == ([], on(Side.LEFT, 0, 2))
    assert world.contents == alike(*OLD)


async def test_deletion_beside_a_write_that_was_undone_is_one(world, clock):
    """What a program overwrote unseen is written again, and shows nothing of a backup."""
    world.left.put(PROJECT, EDITED)
    await later(world, clock)
    world.right.put(PROJECT, OLD[0])
    world.right.remove(PROJECT, "old-5")

    report = await later(world, clock)

    assert (report.adopted, counts(report)) == ([], written(left=(0, 0, 1), right=(0, 1, 0)))
    assert words(world.right, "old-0") == ["seen today"]


@pytest.mark.parametrize("policy", [{"propagate_deletes": False}, {"mode": Mode.LEFT_TO_RIGHT}])
async def test_server_from_which_no_deletion_travels_is_never_put_back(world, clock, policy):
    """Its edits are edits, if they travel."""
    await put_back(world, clock)

    report = await later(world, clock, 2 * HOUR, **policy)

    assert (report.adopted, report.left.deleted) == ([], 0)


async def test_server_that_was_seen_empty_and_is_filled_by_others_deletes_nothing(world, clock):
    """What was held stays held, until a person decides or somebody brings it back."""
    backup = dict(world.right.records)
    world.right.replace({})
    empty = await later(world, clock)
    world.right.replace(dict(list(backup.items())[:6]))

    partly = [await later(world, clock, seconds) for seconds in (5.0, 2 * HOUR)]
    world.right.replace(backup)
    whole = await later(world, clock)

    assert (len(empty.held), counts(empty)) == (9, written())
    assert [(len(each.held), counts(each)) for each in partly] == [(3, written())] * 2
    assert (whole.held, counts(whole)) == ([], written())
    assert world.contents == alike(*OLD)


async def test_records_that_a_server_lacks_which_others_filled_anew_are_brought_back_by_undo(world, clock):
    """Nothing tells them from deleted ones; the history has them."""
    world.right.replace(dict(list(world.right.records.items())[:6]))
    report = await later(world, clock)
    ((number,),) = world.journal("SELECT max(cycle) FROM history")
    result = await world.do(undo, number)

    assert counts(report) == on(Side.LEFT, deleted=3)
    assert (len(result.done), result.refused) == (3, [])
    assert world.contents.left == holding(*OLD)
