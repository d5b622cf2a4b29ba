"""Stores in which programs save single records, as on a Sumatra Server: what smtd wrote there may be lost.

Another smtd, or a person, reads a record and saves it a moment later, without what smtd wrote in between.
"""

from __future__ import annotations

import pytest

from smtd.engine.report import Hold
from smtd.engine.scrub import rereads
from smtd.merge.decide import Mode
from smtd.merge.sides import SIDES
from smtd.records.record import Parameters
from tests.build import PROJECT, change, commented, key, record, tagged
from tests.engine.servers import ServerStore, believe, later, stopped, words
from tests.engine.world import TestStore, UnlockedStore, World, alike, counts, written

A, B = record("a"), record("b")
#: Seconds after which smtd has looked at all that it wrote.
LONG = 200.0


@pytest.fixture
def clock(monkeypatch):
    """Let time go on by hand, and looks be due to the second."""
    clock = stopped(monkeypatch)
    believe(monkeypatch)
    monkeypatch.setattr(rereads, "_SPREAD", 0.0)
    return clock


@pytest.fixture
def world(tmp_path, clock):
    """A database and a server."""
    return World(tmp_path, TestStore("left"), ServerStore("right"))


@pytest.fixture
async def brought(world):
    """The two in sync; then smtd has brought a comment to the server."""
    await world.synced(A, B)
    world.left.put(PROJECT, commented(A, "ours"))
    await world.cycle()
    return world


async def test_what_smtd_wrote_is_read_again_soon_and_a_while_later(world, clock):
    """Three times; then it is remembered no more, and an edit shows in its turn."""
    await world.synced(A, B)
    world.left.put(PROJECT, tagged(A, "x"))
    await world.cycle()
    world.right.reads.clear()

    reads = []
    for seconds in (3.0, 1.0, 1.0, 20.0, 60.0, 35.0, 100.0):
        await later(world, clock, seconds, verify_within=1e9)
        reads.append([*world.right.reads])
        world.right.reads.clear()

    assert reads == [[], ["a"], [], ["a"], [], ["a"], []]
    assert world.journal("SELECT * FROM written") == []


async def test_report_tells_when_what_was_written_is_read_again(world, clock):
    """So that a lost update is found in seconds, and not in an hour."""
    await world.synced(A)
    world.left.put(PROJECT, tagged(A, "x"))

    report = await world.cycle()

    assert report.again == clock.now + rereads.LOOKS[0]


async def test_record_that_another_laptop_makes_after_a_crash_takes_no_words_away(world, clock):
    """smtd ended before it made the record, and another one made it without these words: both are merged."""
    ours = tagged(commented(A, "ours"), "tag")
    world.left.put(PROJECT, ours)
    await world.crash(world.right, "before write")
    world.right.put(PROJECT, tagged(A, "theirs"))

    await later(world, clock)
    await later(world, clock)

    for store in (world.left, world.right):
        found = store.records[key("a")]
        assert (words(store), {"tag", "theirs"} <= found.tags) == (
            words(TestStore("", {key("a"): ours})),
            True,
        )


async def test_edit_that_another_laptop_shares_in_part_after_a_crash_takes_no_words_away(world, clock):
    """The comment came to the server by another laptop, the tag did not: it is still to be sent."""
    await world.synced(A)
    world.left.put(PROJECT, tagged(commented(A, "shared"), "ours"))
    await world.crash(world.right, "before write")
    world.right.put(PROJECT, commented(A, "shared"))

    await later(world, clock)
    await later(world, clock)

    for store in (world.left, world.right):
        assert (words(store).count("shared"), "ours" in store.records[key("a")].tags) == (1, True)


async def test_write_to_a_project_that_is_kept_no_longer_wakes_nobody(world, clock):
    """It is not looked at; were it due, the pair would have a cycle each second, for ever."""
    await world.synced(A)
    world.left.put(PROJECT, tagged(A, "x"))
    await world.cycle()

    report = await later(world, clock, LONG, projects=frozenset({"another"}))

    assert report.again is None


@pytest.mark.parametrize(("looked", "due"), [(3.0, 18.75), (4.9, 18.75), (30.0, 90.0), (149.0, None)])
def test_look_that_was_made_is_not_made_again(monkeypatch, looked, due):
    """Wherever in its span it was made, the next one is later, also where the earliest moment is drawn."""
    monkeypatch.setattr("random.uniform", min)

    assert rereads.following(0.0, looked) == due


async def test_new_record_is_not_read_again(world, clock):
    """Nobody can have read what was not there."""
    await world.synced(A)

    assert world.journal("SELECT * FROM written") == []


async def test_write_of_which_another_one_has_some_is_merged_with_that(world, clock):
    """Another smtd brought back the comment, and had not seen the tag: some of a write is not all of it."""
    await world.synced(A)
    world.left.put(PROJECT, tagged(commented(A, "shared"), "ours"))
    await world.cycle()
    world.right.put(PROJECT, tagged(commented(A, "shared"), "theirs"))

    await later(world, clock)

    for store in (world.left, world.right):
        found = store.records[key("a")]
        assert (words(store).count("shared"), {"ours", "theirs"} <= found.tags) == (1, True)


async def test_write_that_another_one_saved_over_before_it_was_read_back_is_merged_with_that(world, clock):
    """What was read back is an edit of what was there before."""
    await world.synced(A, B)
    world.left.put(PROJECT, commented(A, "ours"))
    world.right.meanwhile["after write"] = lambda: world.right.put(PROJECT, commented(A, "theirs"))

    report = await world.cycle()

    assert report.ok
    assert words(world.left) == words(world.right) == ["ours", "theirs"]


async def test_merge_that_is_lost_again_and_again_is_made_again(brought, clock):
    """Nobody has to decide what can be merged."""
    for number in range(6):
        brought.right.put(PROJECT, commented(A, f"theirs {number}"))
        report = await later(brought, clock)
        assert (report.held, report.conflicts) == ([], [])

    assert words(brought.left) == words(brought.right) == ["ours", *(f"theirs {each}" for each in range(6))]


async def test_edit_by_somebody_who_had_seen_the_write_travels(brought, clock):
    """It has something of what smtd wrote."""
    brought.right.put(PROJECT, commented(commented(A, "ours"), "theirs"))

    report = await later(brought, clock)

    assert (report.ok, counts(report)) == (True, written(left=(0, 1, 0)))
    assert words(brought.left) == ["ours", "theirs"]


async def test_state_of_before_that_shows_again_is_no_edit(world, clock):
    """A cache or a replica may show it: it is written again, and nothing is carried back."""
    await world.synced(A, B)
    world.left.put(PROJECT, tagged(A, "x"))
    await world.cycle()
    world.right.put(PROJECT, A)

    report = await later(world, clock)

    assert (report.ok, counts(report)) == (True, written(right=(0, 1, 0)))
    assert world.contents == alike(tagged(A, "x"), B)


async def test_state_of_before_that_shows_again_and_again_is_asked_about(world, clock):
    """In the end it may be a person who means it; the other side keeps what it has."""
    await world.synced(A, B)
    world.left.put(PROJECT, tagged(A, "x"))
    await world.cycle()
    held = []
    for seconds in (5.0, 5.0, 5.0, 5.0, LONG):
        world.right.put(PROJECT, A)
        held.append([each.kind for each in (await later(world, clock, seconds)).held])

    assert held == [[], [], [], [Hold.LOST_WRITE], [Hold.LOST_WRITE]]
    assert world.left.records[key("a")] == tagged(A, "x")


async def test_state_of_before_that_a_person_puts_back_later_is_an_edit(world, clock):
    """What was there at every look has been seen by whoever changes it then."""
    await world.synced(A, B)
    world.left.put(PROJECT, tagged(A, "x"))
    for seconds in (0.0, 5.0, 25.0, LONG):
        await later(world, clock, seconds)
    world.right.put(PROJECT, A)

    report = await later(world, clock, 2 * 3600.0)

    assert report.ok
    assert world.contents == alike(A, B)


async def test_deletion_by_somebody_who_need_not_have_seen_the_edit_gives_way_to_it(brought, clock):
    """Another laptop deletes the record in the moment in which this one edits it."""
    brought.right.remove(PROJECT, "a")

    report = await later(brought, clock)

    assert report.ok
    assert brought.contents == alike(commented(A, "ours"), B)


async def test_deletion_after_a_look_at_the_edit_is_one(brought, clock):
    """The edit was there a while later, so whoever deletes the record then has seen it."""
    await later(brought, clock)
    brought.right.remove(PROJECT, "a")

    report = await later(brought, clock)

    assert (report.ok, counts(report)) == (True, written(left=(0, 0, 1)))


async def test_deletion_of_what_came_back_is_one(brought, clock):
    """It comes back once."""
    brought.right.remove(PROJECT, "a")
    await later(brought, clock)
    brought.right.remove(PROJECT, "a")

    report = await later(brought, clock)

    assert (report.ok, counts(report)) == (True, written(left=(0, 0, 1)))


async def test_deletion_here_gives_way_to_an_edit_there(world, clock):
    """It is seen by the look before the deletion, though the store was believed to be as agreed."""
    await world.synced(A, B)
    world.left.remove(PROJECT, "a")
    world.right.put(PROJECT, commented(A, "theirs"))

    report = await world.cycle()

    assert report.ok
    assert world.contents == alike(commented(A, "theirs"), B)


async def test_record_that_cannot_be_read_is_not_lost(brought, clock):
    """It is listed as failed, and nothing is decided about it."""
    brought.right.put(PROJECT, change(A, parameters=Parameters("dict", "print(1)")))

    report = await later(brought, clock)

    assert [failure.label for failure in report.failed] == ["a"]
    assert brought.left.records[key("a")] == commented(A, "ours")


async def saved_over(world, clock):
    """Let another one save over what was brought; return the report of a later cycle."""
    world.right.put(PROJECT, commented(A, "theirs"))
    return await later(world, clock)


@pytest.mark.parametrize(
    "since", [(), (tagged(B, "later"),)], ids=["", "though another one was written since"]
)
async def test_write_that_another_one_saved_over_is_merged_with_that(brought, clock, since):
    """Two laptops comment on one record in the same moment; both words are everywhere.

    Whoever saves one record need not have seen another one that was written since.
    """
    for each in since:
        brought.left.put(PROJECT, each)
        await brought.cycle()

    report = await saved_over(brought, clock)

    assert report.ok
    assert words(brought.left) == words(brought.right) == ["ours", "theirs"]


async def test_write_after_a_crash_is_looked_at_again_too(world, clock):
    """What the next start finds landed may get lost like any other write."""
    await world.synced(A, B)
    world.left.put(PROJECT, commented(A, "ours"))
    await world.crash(world.right)
    await world.cycle()

    report = await saved_over(world, clock)

    assert report.ok
    assert words(world.left) == words(world.right) == ["ours", "theirs"]


async def test_record_that_changes_while_it_is_looked_at_is_looked_at_again(brought, clock):
    """Two others save it in a row: the words of all three arrive."""
    theirs = commented(A, "theirs")
    brought.right.put(PROJECT, theirs)
    brought.right.meanwhile["after scan"] = lambda: brought.right.put(PROJECT, commented(theirs, "more"))

    report = await later(brought, clock)

    assert report.ok
    assert words(brought.left) == words(brought.right) == ["more", "ours", "theirs"]


async def test_record_that_goes_while_it_is_looked_at_is_looked_at_again(brought, clock):
    """The write was never seen, so it comes back."""
    brought.right.put(PROJECT, commented(A, "theirs"))
    brought.right.meanwhile["after scan"] = lambda: brought.right.remove(PROJECT, "a")

    report = await later(brought, clock)

    assert report.ok
    assert words(brought.left) == words(brought.right) == ["ours"]


async def test_edit_between_the_decision_on_a_merge_and_its_records_is_decided_anew(brought, clock):
    """Both sides changed the record; before it is read for the merge another one saves over it."""
    both = commented(commented(A, "ours"), "theirs")
    brought.right.put(PROJECT, both)
    brought.left.put(PROJECT, commented(commented(A, "ours"), "more"))
    brought.left.meanwhile["after read"] = lambda: brought.right.put(PROJECT, commented(A, "late"))

    report = await later(brought, clock)

    assert report.ok
    assert words(brought.left) == words(brought.right)
    assert {"ours", "more", "late"} <= {*words(brought.left)}


async def test_one_way_pair_writes_nothing_back_to_its_source(world, clock):
    """Where changes travel to the server only, what others save over them there stays until the next edit."""
    await world.synced(A, B)
    world.left.put(PROJECT, commented(A, "ours"))
    await world.cycle(mode=Mode.LEFT_TO_RIGHT)
    world.right.put(PROJECT, commented(A, "theirs"))
    world.left.changes.clear()

    await later(world, clock, mode=Mode.LEFT_TO_RIGHT)

    assert world.writes.left == []


async def test_two_servers_lose_nothing_of_each_other(tmp_path, clock):
    """Others save over smtd's merge on both at once."""
    world = World(tmp_path, ServerStore("left"), ServerStore("right"))
    await world.synced(A, B)
    world.left.put(PROJECT, tagged(A, "one"))
    world.right.put(PROJECT, tagged(A, "two"))
    await later(world, clock, 2 * 3600.0)
    for side in SIDES:
        world[side].put(PROJECT, tagged(A, side.value))

    for _ in range(2):
        report = await later(world, clock)

    assert report.ok
    assert world.contents.left == world.contents.right
    assert world.left.records[key("a")].tags >= {"left", "right"}


async def test_shelf_and_server_lose_nothing_of_each_other(tmp_path, clock):
    """The shelf is judged by its project, the server by the record."""
    shelf = UnlockedStore("left")
    world = World(tmp_path, shelf, ServerStore("right"))
    await world.synced(A, B)
    save = shelf.opened()
    world.left.put(PROJECT, commented(A, "ours"))
    world.right.put(PROJECT, commented(A, "theirs"))
    await later(world, clock, 2 * 3600.0)
    save(commented(B, "late"))

    report = await later(world, clock)

    assert report.ok
    assert world.contents.left == world.contents.right
    assert words(world.left) == ["ours", "theirs"]
    assert words(world.left, "b") == ["late"]


async def test_dry_run_looks_and_remembers_nothing(brought, clock):
    """It tells what the next cycle would do."""
    brought.right.put(PROJECT, commented(A, "theirs"))
    clock.now += 5.0
    before = brought.knowledge()

    report = await brought.cycle(dry_run=True)

    assert [action.action for action in report.actions] == ["merge"]
    assert brought.knowledge() == before
