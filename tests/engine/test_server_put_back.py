"""A server has no mark: missing records together with old states show that its database was restored."""

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
    """Return a clock that moves only when the test moves it."""
    clock = stopped(monkeypatch)
    believe(monkeypatch)
    return clock


@pytest.fixture
async def world(tmp_path, clock):
    """A database in sync with a server, long after the last read of what smtd wrote there."""
    return await settled(await World(tmp_path, TestStore("left"), ServerStore("right")).synced(*OLD), clock)


async def settled(world, clock):
    """Run cycles until smtd has read all its writes to the server for the last time."""
    for seconds in (10.0, 60.0, 400.0):
        await later(world, clock, seconds)
    return world


async def put_back(world, clock, *, edit=True, more=NEW):
    """Change records on both sides for a day, and restore the server to the state before that."""
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


async def test_restored_server_gets_what_it_lacks(world, clock):
    """No new record is deleted, and no edit is reverted. After one cycle the pair is in sync."""
    await put_back(world, clock)
    whole = world.contents.left

    report = await later(world, clock)
    again = [await later(world, clock, 2 * HOUR) for _ in range(3)]

    assert (report.ok, report.adopted, counts(report)) == (True, [Side.RIGHT], on(Side.RIGHT, 3, 2))
    assert world.contents == Both(whole, whole)
    assert [(each.adopted, counts(each)) for each in again] == [([], written())] * 3


async def test_dry_run_recognizes_a_restored_server(world, clock):
    """It reports the same, and changes nothing."""
    await put_back(world, clock)
    before = world.knowledge(), world.contents

    report = await world.cycle(dry_run=True)

    assert (report.adopted, counts(report)) == ([Side.RIGHT], on(Side.RIGHT, 3, 2))
    assert (world.knowledge(), world.contents) == before


async def test_reappearing_deleted_record_reveals_a_restored_server(world, clock):
    """It was deleted after the backup; it comes back once, which is the safe mistake."""
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


async def test_restored_server_with_held_deletions_reverts_nothing(world, clock):
    """More is missing than the guard permits; smtd finds the old states when it reads those records."""
    await put_back(world, clock, more=[record(f"more-{number:02}") for number in range(40)])
    whole = world.contents.left

    report = await later(world, clock)

    assert (report.adopted, report.held, counts(report)) == ([Side.RIGHT], [], on(Side.RIGHT, 40, 2))
    assert world.contents == Both(whole, whole)


async def test_old_states_read_in_turn_on_a_restored_server_revert_nothing(world, clock):
    """The deletions of what the server lacks were already held when it was restored."""
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


async def test_deletion_on_a_server_without_old_states_is_carried(world, clock):
    """With a new edit there."""
    await put_back(world, clock)
    await later(world, clock)
    await settled(world, clock)
    world.right.remove(PROJECT, "old-5")
    world.right.put(PROJECT, commented(EDITED, "and more"))

    report = await later(world, clock, 2 * HOUR)

    assert (report.adopted, counts(report)) == ([], on(Side.LEFT, 0, 1, 1))


async def test_reverted_edit_on_a_server_is_an_edit(world, clock):
    """Nothing is missing there: a user reverted it."""
    await put_back(world, clock, more=[])

    report = await later(world, clock, 2 * HOUR)

    assert (report.adopted, counts(report)) == ([], on(Side.LEFT, 0, 2))
    assert world.contents == alike(*OLD)


async def test_deletion_beside_a_lost_update_is_carried(world, clock):
    """smtd repeats what a program overwrote unseen; that does not reveal a restored backup."""
    world.left.put(PROJECT, EDITED)
    await later(world, clock)
    world.right.put(PROJECT, OLD[0])
    world.right.remove(PROJECT, "old-5")

    report = await later(world, clock)

    assert (report.adopted, counts(report)) == ([], written(left=(0, 0, 1), right=(0, 1, 0)))
    assert words(world.right, "old-0") == ["seen today"]


@pytest.mark.parametrize("policy", [{"propagate_deletes": False}, {"mode": Mode.LEFT_TO_RIGHT}])
async def test_server_whose_deletions_are_not_carried_never_counts_as_restored(world, clock, policy):
    """Its edits are edits, if they are copied."""
    await put_back(world, clock)

    report = await later(world, clock, 2 * HOUR, **policy)

    assert (report.adopted, report.left.deleted) == ([], 0)


async def test_emptied_server_that_others_refill_deletes_nothing(world, clock):
    """Held deletions stay held, until a user decides or the records come back."""
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


async def test_records_lost_by_a_refilled_server_are_restored_by_undo(world, clock):
    """smtd cannot tell them from deleted ones, but the history has them."""
    world.right.replace(dict(list(world.right.records.items())[:6]))
    report = await later(world, clock)
    ((number,),) = world.journal("SELECT max(cycle) FROM history")
    result = await world.do(undo, number)

    assert counts(report) == on(Side.LEFT, deleted=3)
    assert (len(result.done), result.refused) == (3, [])
    assert world.contents.left == holding(*OLD)
