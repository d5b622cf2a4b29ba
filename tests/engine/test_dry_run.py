"""A dry run writes nothing, and reports exactly what the real run then does."""

from __future__ import annotations

from itertools import product
from typing import Any

import msgspec
import pytest

from smtd.merge.decide import Mode
from smtd.merge.sides import Both, Side
from tests.build import PROJECT, RUNNING, change, commented, full, key, record, tagged
from tests.engine.faults import crashes
from tests.engine.test_faults import mixed, prepared
from tests.engine.world import World, counts, written
from tests.sampling import sampled

A, B, C, D = (record(label) for label in "abcd")
E = full("e")


@pytest.fixture
async def world(tmp_path):
    """Two stores in sync."""
    return await World(tmp_path).synced(A, B, C, D, E)


def nothing(world):
    """Change nothing."""


def creations(world):
    """Create one record on each side, and an equal one on both."""
    world.left.put(PROJECT, record("new left"))
    world.right.put("Other", record("new right"))
    world.left.put(PROJECT, record("new"))
    world.right.put(PROJECT, record("new"))


def edits(world):
    """Edit one record on each side, and one equally on both."""
    world.left.put(PROJECT, tagged(A, "x"))
    world.right.put(PROJECT, commented(B, "good"))
    world.left.put(PROJECT, tagged(C, "x"))
    world.right.put(PROJECT, tagged(C, "x"))


def deletions(world):
    """Delete one record on each side, and one on both."""
    world.left.remove(PROJECT, "a")
    world.right.remove(PROJECT, "b")
    world.left.remove(PROJECT, "c")
    world.right.remove(PROJECT, "c")


def merges(world):
    """Edit one record on both sides."""
    world.left.put(PROJECT, commented(A, "left"))
    world.right.put(PROJECT, commented(A, "right"))


def merge_into_the_left(world):
    """Edit one record on both sides so that the left one holds both edits."""
    world.left.put(PROJECT, tagged(A, "x", "y"))
    world.right.put(PROJECT, tagged(A, "x"))


def merge_into_the_right(world):
    """Edit one record on both sides so that the right one holds both edits."""
    world.left.put(PROJECT, tagged(A, "x"))
    world.right.put(PROJECT, tagged(A, "x", "y"))


def robbery(world):
    """Remove an output, as Sumatra does when it saves another record."""
    world.left.put(PROJECT, tagged(change(E, output_data=()), "x"))


def leftovers(world):
    """Leave a conflict, an unfinished run, and an edit that wins over a deletion."""
    world.left.put(PROJECT, change(A, version="beef"))
    world.right.put(PROJECT, change(A, version="cafe"))
    world.left.put(PROJECT, change(record("running"), tags=RUNNING, duration=None))
    world.left.put(PROJECT, tagged(B, "x"))
    world.right.remove(PROJECT, "b")


def emptied(world):
    """Delete everything on one side, and add something on the other."""
    world.left.records.clear()
    world.left.put(PROJECT, record("new"))


CHANGES = [
    *(nothing, creations, edits, deletions, merges, merge_into_the_left, merge_into_the_right),
    *(robbery, leftovers, emptied),
]
POLICIES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "left to right": {"mode": Mode.LEFT_TO_RIGHT},
    "right to left": {"mode": Mode.RIGHT_TO_LEFT},
    "deletes kept": {"propagate_deletes": False},
    "runs mirrored": {"hold_unfinished": False},
    "one project": {"projects": frozenset({"Other"})},
}


@pytest.mark.parametrize(("policy", "changes"), sampled(product(POLICIES, CHANGES), 3))
async def test_dry_run_reports_what_the_real_run_does(world, changes, policy):
    """Its report equals that of the run which follows, to the last number."""
    changes(world)

    planned = await world.cycle(dry_run=True, **POLICIES[policy])
    done = await world.cycle(**POLICIES[policy])

    assert (done.plan, done.actions) == ("", [])
    assert msgspec.to_builtins(msgspec.structs.replace(planned, plan="", actions=[])) == msgspec.to_builtins(
        done
    )


@pytest.mark.parametrize("changes", CHANGES)
async def test_dry_run_writes_nothing(world, changes):
    """Neither the stores nor the journal change."""
    changes(world)
    before = world.contents, world.knowledge()

    await world.cycle(dry_run=True)

    assert (world.contents, world.knowledge()) == before
    assert world.writes == Both([], [])


async def test_dry_run_of_a_new_pair_writes_nothing(tmp_path):
    """The pair has agreed on nothing afterwards."""
    world = World(tmp_path)
    world.left.put(PROJECT, A)
    world.right.put(PROJECT, A)
    world.right.put(PROJECT, B)

    report = await world.cycle(dry_run=True)

    assert (counts(report), report.in_sync) == (written(left=(1, 0, 0)), 2)
    assert world.journal("SELECT * FROM agreed") == []
    assert world.left.records.keys() == {key("a")}


async def test_dry_run_after_a_kill_at_any_commit_reports_what_the_next_cycle_does(tmp_path):
    """Whatever that cycle has to recover first."""
    world = await prepared(World(tmp_path / "world"), mixed)
    different = {}
    async for step, left in crashes(world, "after", "kill"):
        planned = await left.cycle(dry_run=True)
        done = await left.cycle()
        said = msgspec.to_builtins(msgspec.structs.replace(planned, plan="", actions=[]))
        if said != msgspec.to_builtins(done):
            different[step] = (planned, done)

    assert different == {}


async def test_dry_run_after_a_crash_writes_nothing(world):
    """It takes into account what a crash left, and leaves it to the real run."""
    world.left.put(PROJECT, tagged(A, "x"))
    await world.crash(world.right)
    world.left.put(PROJECT, tagged(A, "x", "y"))
    before = world.knowledge()

    planned = await world.cycle(dry_run=True)

    assert world.knowledge() == before
    assert counts(planned) == written(right=(0, 1, 0))


async def test_dry_run_after_a_crashed_deletion_reports_that_the_record_comes_back(world):
    """A record that a user restored after smtd had deleted it elsewhere will be created there."""
    world.left.remove(PROJECT, "a")
    await world.crash(world.right)
    world.left.put(PROJECT, A)

    planned = await world.cycle(dry_run=True)

    assert counts(planned) == written(right=(1, 0, 0))


async def test_dry_run_counts_deletions_and_merges(tmp_path):
    """It counts deletions, and both halves of a merge, as the cycle does."""
    world = await World(tmp_path).synced(*(record(label) for label in "abc"))
    world.left.remove(PROJECT, "a")
    world.left.put(PROJECT, tagged(record("b"), "left"))
    world.right.put(PROJECT, tagged(record("b"), "right"))

    told = await world.cycle(dry_run=True)
    done = await world.cycle()

    assert counts(told) == counts(done) == written(left=(0, 1, 0), right=(0, 1, 1))
    assert sorted((each.action, each.label, each.side) for each in told.actions) == [
        ("delete", "a", Side.RIGHT),
        ("merge", "b", None),
    ]
