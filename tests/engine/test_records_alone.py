"""Stores in which programs save single records, as on a Sumatra Server: a write of smtd there may be lost.

Another smtd, or a user, reads a record and saves it a moment later, without smtd's write in between.
"""

from __future__ import annotations

import pytest

from smtd.engine import reread_times
from smtd.engine.report import Hold
from smtd.merge.decide import Mode
from smtd.merge.sides import SIDES
from smtd.records.record import Parameters
from tests.build import PROJECT, change, commented, key, record, tagged
from tests.engine.servers import ServerStore, believe, later, stopped, words
from tests.engine.world import TestStore, UnlockedStore, World, alike, counts, written

A, B = record("a"), record("b")
#: Seconds after which smtd has read all of its writes again for the last time.
LONG = 200.0


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that moves only when the test moves it, and make rereads due on the second."""
    clock = stopped(monkeypatch)
    believe(monkeypatch)
    monkeypatch.setattr(reread_times, "_SPREAD", 0.0)
    return clock


@pytest.fixture
def world(tmp_path, clock):
    """A database and a server."""
    return World(tmp_path, TestStore("left"), ServerStore("right"))


@pytest.fixture
async def brought(world):
    """The two in sync; then smtd has copied a comment to the server."""
    await world.synced(A, B)
    world.left.put(PROJECT, commented(A, "ours"))
    await world.cycle()
    return world


async def test_writes_are_read_again_three_times(world, clock):
    """Soon, and a while later; after that the log drops them, and edits show when the record has its turn."""
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


async def test_report_says_when_a_write_is_read_again(world, clock):
    """So that smtd finds a lost update within seconds, and not an hour."""
    await world.synced(A)
    world.left.put(PROJECT, tagged(A, "x"))

    report = await world.cycle()

    assert report.again == clock.now + reread_times.DELAYS[0]


async def test_record_created_by_another_laptop_after_a_crash_is_merged(world, clock):
    """smtd crashed before it created the record, and another laptop created it without these words."""
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


async def test_edit_that_another_laptop_made_in_part_after_a_crash_is_completed(world, clock):
    """Another laptop brought the comment to the server, but not the tag, which smtd still has to write."""
    await world.synced(A)
    world.left.put(PROJECT, tagged(commented(A, "shared"), "ours"))
    await world.crash(world.right, "before write")
    world.right.put(PROJECT, commented(A, "shared"))

    await later(world, clock)
    await later(world, clock)

    for store in (world.left, world.right):
        assert (words(store).count("shared"), "ours" in store.records[key("a")].tags) == (1, True)


async def test_write_to_a_project_that_is_no_longer_synced_causes_no_cycles(world, clock):
    """smtd does not read it again; if that were due, the pair would have a cycle each second, forever."""
    await world.synced(A)
    world.left.put(PROJECT, tagged(A, "x"))
    await world.cycle()

    report = await later(world, clock, LONG, projects=frozenset({"another"}))

    assert report.again is None


@pytest.mark.parametrize(("looked", "due"), [(3.0, 18.75), (4.9, 18.75), (30.0, 90.0), (149.0, None)])
def test_next_reread_is_later_than_the_span_of_the_last_one(monkeypatch, looked, due):
    """Wherever in its span that one was, and even if the earliest time is drawn."""
    monkeypatch.setattr("random.uniform", min)

    assert reread_times.following(0.0, looked) == due


async def test_new_record_is_not_read_again(world, clock):
    """No program can have read it before it existed."""
    await world.synced(A)

    assert world.journal("SELECT * FROM written") == []


async def test_write_that_an_edit_has_in_part_is_merged_with_it(world, clock):
    """Another smtd restored the comment, and had not seen the tag: a part of a write is not all of it."""
    await world.synced(A)
    world.left.put(PROJECT, tagged(commented(A, "shared"), "ours"))
    await world.cycle()
    world.right.put(PROJECT, tagged(commented(A, "shared"), "theirs"))

    await later(world, clock)

    for store in (world.left, world.right):
        found = store.records[key("a")]
        assert (words(store).count("shared"), {"ours", "theirs"} <= found.tags) == (1, True)


async def test_write_saved_over_before_it_is_read_back_is_merged_with_the_edit(world, clock):
    """smtd reads back an edit of the previous state."""
    await world.synced(A, B)
    world.left.put(PROJECT, commented(A, "ours"))
    world.right.meanwhile["after write"] = lambda: world.right.put(PROJECT, commented(A, "theirs"))

    report = await world.cycle()

    assert report.ok
    assert words(world.left) == words(world.right) == ["ours", "theirs"]


async def test_lost_merge_is_repeated_without_asking_a_user(brought, clock):
    """However often it is lost."""
    for number in range(6):
        brought.right.put(PROJECT, commented(A, f"theirs {number}"))
        report = await later(brought, clock)
        assert (report.held, report.conflicts) == ([], [])

    assert words(brought.left) == words(brought.right) == ["ours", *(f"theirs {each}" for each in range(6))]


async def test_edit_that_had_seen_the_write_is_copied(brought, clock):
    """It contains a part of smtd's write."""
    brought.right.put(PROJECT, commented(commented(A, "ours"), "theirs"))

    report = await later(brought, clock)

    assert (report.ok, counts(report)) == (True, written(left=(0, 1, 0)))
    assert words(brought.left) == ["ours", "theirs"]


async def test_old_state_that_shows_again_is_no_edit(world, clock):
    """A cache or a replica may show it: smtd writes again, and copies nothing back."""
    await world.synced(A, B)
    world.left.put(PROJECT, tagged(A, "x"))
    await world.cycle()
    world.right.put(PROJECT, A)

    report = await later(world, clock)

    assert (report.ok, counts(report)) == (True, written(right=(0, 1, 0)))
    assert world.contents == alike(tagged(A, "x"), B)


async def test_old_state_that_shows_repeatedly_is_held(world, clock):
    """A user may mean it; the other side keeps its record."""
    await world.synced(A, B)
    world.left.put(PROJECT, tagged(A, "x"))
    await world.cycle()
    held = []
    for seconds in (5.0, 5.0, 5.0, 5.0, LONG):
        world.right.put(PROJECT, A)
        held.append([each.kind for each in (await later(world, clock, seconds)).held])

    assert held == [[], [], [], [Hold.LOST_WRITE], [Hold.LOST_WRITE]]
    assert world.left.records[key("a")] == tagged(A, "x")


async def test_old_state_saved_after_the_last_reread_is_an_edit(world, clock):
    """The write was there at every read, so the user who reverts it then has seen it."""
    await world.synced(A, B)
    world.left.put(PROJECT, tagged(A, "x"))
    for seconds in (0.0, 5.0, 25.0, LONG):
        await later(world, clock, seconds)
    world.right.put(PROJECT, A)

    report = await later(world, clock, 2 * 3600.0)

    assert report.ok
    assert world.contents == alike(A, B)


async def test_deletion_right_after_a_write_loses_against_it(brought, clock):
    """Another laptop deletes the record while this one edits it, perhaps without having seen the edit."""
    brought.right.remove(PROJECT, "a")

    report = await later(brought, clock)

    assert report.ok
    assert brought.contents == alike(commented(A, "ours"), B)


@pytest.mark.parametrize("before", ["a reread", "another deletion"])
async def test_deletion_is_carried_once_its_program_has_seen_the_write(brought, clock, before):
    """The write was there a while later, or smtd has restored the record once."""
    if before == "another deletion":
        brought.right.remove(PROJECT, "a")
    await later(brought, clock)
    brought.right.remove(PROJECT, "a")

    report = await later(brought, clock)

    assert (report.ok, counts(report)) == (True, written(left=(0, 0, 1)))


async def test_edit_on_a_server_wins_over_a_deletion_on_the_other_side(world, clock):
    """smtd reads the record before it deletes it, although it trusted its earlier reads."""
    await world.synced(A, B)
    world.left.remove(PROJECT, "a")
    world.right.put(PROJECT, commented(A, "theirs"))

    report = await world.cycle()

    assert report.ok
    assert world.contents == alike(commented(A, "theirs"), B)


async def test_unreadable_record_is_not_lost(brought, clock):
    """The report has it as failed, and smtd does not decide it."""
    brought.right.put(PROJECT, change(A, parameters=Parameters("dict", "print(1)")))

    report = await later(brought, clock)

    assert [failure.label for failure in report.failed] == ["a"]
    assert brought.left.records[key("a")] == commented(A, "ours")


async def saved_over(world, clock):
    """Have a program save over what smtd wrote; return the report of a later cycle."""
    world.right.put(PROJECT, commented(A, "theirs"))
    return await later(world, clock)


@pytest.mark.parametrize(
    "since", [(), (tagged(B, "later"),)], ids=["", "though another one was written since"]
)
async def test_write_that_is_saved_over_is_merged_with_the_edit(brought, clock, since):
    """Two laptops comment on one record at the same moment; both sides get both comments.

    A program that saves one record need not have seen another one that was written since.
    """
    for each in since:
        brought.left.put(PROJECT, each)
        await brought.cycle()

    report = await saved_over(brought, clock)

    assert report.ok
    assert words(brought.left) == words(brought.right) == ["ours", "theirs"]


async def test_write_of_a_crashed_cycle_is_read_again_too(world, clock):
    """A write that the next start finds landed may get lost like any other."""
    await world.synced(A, B)
    world.left.put(PROJECT, commented(A, "ours"))
    await world.crash(world.right)
    await world.cycle()

    report = await saved_over(world, clock)

    assert report.ok
    assert words(world.left) == words(world.right) == ["ours", "theirs"]


@pytest.mark.parametrize(
    ("then", "arrived"),
    [
        pytest.param("theirs\nmore", ["more", "ours", "theirs"], id="edited: the words of all three arrive"),
        pytest.param(None, ["ours"], id="deleted: no read has confirmed the write"),
    ],
)
async def test_record_that_changes_during_a_look_is_read_again(brought, clock, then, arrived):
    """Two programs save it in a row."""

    def change_again():
        if then is None:
            brought.right.remove(PROJECT, "a")
        else:
            brought.right.put(PROJECT, commented(A, then))

    brought.right.put(PROJECT, commented(A, "theirs"))
    brought.right.meanwhile["after scan"] = change_again

    report = await later(brought, clock)

    assert report.ok
    assert words(brought.left) == words(brought.right) == arrived


async def test_edit_between_the_plan_of_a_merge_and_its_reads_is_decided_again(brought, clock):
    """Both sides changed the record; another program saves over it before smtd reads it for the merge."""
    both = commented(commented(A, "ours"), "theirs")
    brought.right.put(PROJECT, both)
    brought.left.put(PROJECT, commented(commented(A, "ours"), "more"))
    brought.left.meanwhile["after read"] = lambda: brought.right.put(PROJECT, commented(A, "late"))

    report = await later(brought, clock)

    assert report.ok
    assert words(brought.left) == words(brought.right)
    assert {"ours", "more", "late"} <= {*words(brought.left)}


async def test_one_way_pair_writes_nothing_back_to_its_source(world, clock):
    """What others save over its writes to the server stays there until the next edit."""
    await world.synced(A, B)
    world.left.put(PROJECT, commented(A, "ours"))
    await world.cycle(mode=Mode.LEFT_TO_RIGHT)
    world.right.put(PROJECT, commented(A, "theirs"))
    world.left.changes.clear()

    await later(world, clock, mode=Mode.LEFT_TO_RIGHT)

    assert world.writes.left == []


async def test_merge_lost_on_two_servers_at_once_is_restored(tmp_path, clock):
    """Other programs save over smtd's merge on both at once."""
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


async def test_lost_updates_are_found_by_project_on_a_shelf_and_by_record_on_a_server(tmp_path, clock):
    """In one pair."""
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


async def test_dry_run_finds_a_lost_update_and_stores_nothing(brought, clock):
    """It reports what the next cycle would do."""
    brought.right.put(PROJECT, commented(A, "theirs"))
    clock.now += 5.0
    before = brought.knowledge()

    report = await brought.cycle(dry_run=True)

    assert [action.action for action in report.actions] == ["merge"]
    assert brought.knowledge() == before
