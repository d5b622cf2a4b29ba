"""What others have added is carried before all else is looked at; nothing is decided otherwise for that."""

from __future__ import annotations

import random
from dataclasses import replace

import msgspec
import pytest

from smtd.engine import cycle
from smtd.engine.memory import Memory
from smtd.errors import StoreUnreachable
from smtd.journal.journal import open_journal
from tests.build import PROJECT, RUNNING, change, commented, key, record, tagged
from tests.engine.world import RefusingStore, TestStore, World
from tests.sampling import sampled

RECORDS = [record(f"run-{number}") for number in range(9)]
A, B, C, D = RECORDS[:4]


@pytest.fixture
async def world(tmp_path):
    """A pair in sync, whose last cycle was one of the daemon's own."""
    world = await World(tmp_path).synced(*RECORDS)
    for label in ("last", "very last"):
        world.left.put(PROJECT, record(label))
        await in_daemon(world)
    return world


async def in_daemon(world):
    """Run a cycle that nobody asks for."""
    return await world.cycle(insist=False)


def looks(world, wanted):
    """Return a list that gets, at each look at the whole left store, whether the right one has *wanted*."""
    found = []

    def look():
        found.append(key(wanted) in world.right.records)
        world.left.meanwhile["after scan"] = look

    look()
    return found


async def test_new_record_is_there_before_all_is_looked_at(world):
    world.left.put(PROJECT, record("new"))
    found = looks(world, "new")

    report = await in_daemon(world)

    assert found == [False, True]
    assert (report.ok, report.right.created, report.in_sync) == (True, 1, 12)
    assert world.contents.left == world.contents.right


async def test_edits_that_came_with_it_are_carried_after_it(world):
    world.left.put(PROJECT, record("new"))
    world.left.put(PROJECT, commented(A, "left"))
    world.left.put(PROJECT, tagged(B, "left"))
    found = looks(world, "new")

    report = await in_daemon(world)

    assert found == [False, True]
    assert (report.ok, report.right.created, report.right.updated) == (True, 1, 2)
    assert world.contents.left == world.contents.right


async def test_records_that_are_new_on_both_sides_are_merged(world):
    world.left.put(PROJECT, tagged(record("new"), "left"))
    world.right.put(PROJECT, tagged(record("new"), "right"))

    report = await in_daemon(world)

    assert report.ok
    assert world.left.records[key("new")].tags >= {"left", "right"}
    assert world.contents.left == world.contents.right


async def test_new_run_that_goes_on_is_held(world):
    world.left.put(PROJECT, change(record("new"), tags=RUNNING, duration=None))

    report = await in_daemon(world)

    assert [held.label for held in report.held] == ["new"]
    assert key("new") not in world.right.records


async def test_new_records_do_not_hide_that_the_others_are_gone(world):
    """Somebody has put other records in place of all that were there: nothing is deleted."""
    for held in list(world.left.records):
        world.left.remove(held.project, held.label)
    for number in range(40):
        world.left.put(PROJECT, record(f"new-{number}"))

    report = await in_daemon(world)

    assert len(report.held) == len(RECORDS) + 2
    assert len(world.right.records) == len(RECORDS) + 2 + 40


@pytest.mark.parametrize(("gone", "new"), [(11, 40), (9, 100), (3, 20)])
async def test_cycle_that_breaks_off_after_the_new_records_hides_no_deletion(world, tmp_path, gone, new):
    """The next one, of another process it may be, holds as many as this one would have."""
    for held in sorted(world.left.records)[:gone]:
        world.left.remove(*held)
    for number in range(new):
        world.left.put(PROJECT, record(f"new-{number}"))
    whole = world.forgetful(tmp_path / "whole")
    expected = await in_daemon(whole)
    world.left.meanwhile["after scan"] = locked
    with pytest.raises(StoreUnreachable):
        await in_daemon(world)
    world.memory = Memory()

    report = await in_daemon(world)

    assert len(report.held) == len(expected.held)
    assert report.right.deleted == expected.right.deleted


def locked():
    """Be a store that cannot be looked at now."""
    raise StoreUnreachable("it is locked")


async def test_nothing_is_hurried_where_both_sides_were_written_to(world):
    """What is new on one side may be on the other one already, under a label that its row has only now."""
    world.left.put(PROJECT, record("new"))
    world.right.put(PROJECT, commented(A, "right"))
    found = looks(world, "new")

    await in_daemon(world)

    assert found == [False, False]
    assert world.contents.left == world.contents.right


class SilentStore(TestStore):
    """A store that tells of nothing new now, since somebody writes to it."""

    async def arrivals(self, projects=None):
        return None


@pytest.mark.parametrize("capable", [True, False])
async def test_side_that_tells_of_nothing_new_leaves_the_memory_alone(tmp_path, capable):
    """As a database on a server, or one that is being written to: each cycle decides what has changed."""
    right = SilentStore("right")
    right.capabilities = replace(right.capabilities, tells_arrivals=capable)
    world = await World(tmp_path, right=right).synced(*RECORDS)
    whole = []
    for label in ("first", "second", "third"):
        world.left.put(PROJECT, record(label))
        await in_daemon(world)
        assert world.memory is not None
        whole.append(world.memory.was_whole)

    assert whole == [True, False, False]


async def test_many_new_records_wait_until_all_is_looked_at(world):
    for number in range(cycle.FEW + 1):
        world.left.put(PROJECT, record(f"new-{number}"))
    found = looks(world, "new-0")

    await in_daemon(world)

    assert found == [False, False]
    assert world.contents.left == world.contents.right


async def test_who_asks_gets_a_look_at_everything_first(world):
    world.left.put(PROJECT, record("new"))
    found = looks(world, "new")

    await world.cycle(insist=True)

    assert found == [False, False]
    assert world.contents.left == world.contents.right


@pytest.fixture
async def refusing(tmp_path):
    """A pair in sync, whose right store refuses one label."""
    right = RefusingStore("right")
    right.refused = frozenset({"bad"})
    return await World(tmp_path, right=right).synced(*RECORDS)


async def test_what_was_refused_is_remembered(refusing):
    """It is offered again when its time has come, and not with each new record."""
    world = refusing
    world.left.put(PROJECT, record("bad"))
    await in_daemon(world)
    await in_daemon(world)
    offered = len(world.right.changes)
    world.left.put(PROJECT, record("new"))

    report = await in_daemon(world)

    assert [failure.label for failure in report.failed] == ["bad"]
    assert [each.key.label for each in world.right.changes[offered:]] == ["new"]


async def test_new_record_that_is_refused_is_told_once(refusing):
    world = refusing
    world.left.put(PROJECT, record("new"))
    await in_daemon(world)
    world.left.put(PROJECT, record("bad"))

    report = await in_daemon(world)

    assert [failure.label for failure in report.failed] == ["bad"]
    async with open_journal(world.directory) as journal, journal.pair("left", "right") as known:
        assert [refusal.attempts for refusal in (await known.refused()).values()] == [1]


async def test_record_that_goes_away_meanwhile_is_deleted_over_there(world):
    """It was new for a moment."""
    world.left.put(PROJECT, record("new"))
    world.right.meanwhile["after write"] = lambda: world.left.remove(PROJECT, "new")

    await in_daemon(world)
    await in_daemon(world)

    assert key("new") not in world.right.records
    assert world.contents.left == world.contents.right


@pytest.mark.parametrize("seed", sampled(range(20), 3))
async def test_everything_is_decided_as_by_a_cycle_that_remembers_nothing(world, tmp_path, seed):
    """Anything may happen between two cycles; the reports and the stores are the same."""
    chance = random.Random(seed)
    for turn in range(6):
        for _ in range(chance.randint(1, 4)):
            happen(chance, world, turn)
        forgetful = world.forgetful(tmp_path / str(turn))
        whole = await in_daemon(forgetful)

        report = await in_daemon(world)

        assert msgspec.to_builtins(report) == msgspec.to_builtins(whole)
        assert world.contents == forgetful.contents


def happen(chance, world, turn):
    """Let somebody do something to one of the stores."""
    store = chance.choice((world.left, world.right))
    there = sorted(store.records)
    what = chance.choice(("add", "add", "edit", "tag", "remove", "conflict", "run", "again"))
    if what == "add":
        store.put(PROJECT, record(f"new-{turn}-{chance.randint(0, 3)}"))
    elif what == "run":
        store.put(PROJECT, change(record(f"run-{turn}"), tags=RUNNING, duration=None))
    elif what == "again":
        store.put(PROJECT, commented(record(f"run-{chance.randint(0, 9)}"), "made anew"))
    elif there:
        one = chance.choice(there)
        if what == "remove":
            store.remove(*one)
        elif what == "conflict":
            store.put(one.project, change(store.records[one], version=str(chance.randint(0, 9))))
        elif what == "tag":
            store.put(one.project, tagged(store.records[one], str(turn)))
        else:
            store.put(one.project, commented(store.records[one], str(turn)))


async def test_store_that_was_looked_at_by_others_is_decided_whole(world):
    """What has changed since a look that the cycle did not see, nobody can tell."""
    world.right.put(PROJECT, tagged(B, "right"))
    await world.right.scan()
    world.left.put(PROJECT, record("new"))

    report = await in_daemon(world)

    assert (report.ok, report.right.created, report.left.updated) == (True, 1, 1)
    assert world.memory is not None
    assert world.memory.was_whole
    assert world.contents.left == world.contents.right
