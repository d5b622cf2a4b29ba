"""Every step of a cycle fails once; a new start then converges, and no record is lost or doubled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from smtd.merge.sides import SIDES, Both
from smtd.records.canonical import Digest
from smtd.records.record import Key
from tests.build import FINISHED, PROJECT, change, commented, full, record, tagged
from tests.engine.faults import EVERY, crashes
from tests.engine.world import TestStore, UnlockedStore, World, second_cycle_does_nothing

BYSTANDERS = [record(f"bystander {number}") for number in range(4)]
BEFORE = [
    full(label, tags=frozenset({"_finished_", "old"})) for label in ("one", "two", "three", "four", "five")
]
ONE, TWO, THREE, FOUR, FIVE = BEFORE


def creations(left: TestStore, right: TestStore) -> None:
    """Create records on both sides."""
    left.put(PROJECT, full("new 1"))
    left.put(PROJECT, full("new 2"))
    right.put(PROJECT, full("new 3"))
    right.put(PROJECT, full("new 4"))


def updates(left: TestStore, right: TestStore) -> None:
    """Edit records on both sides."""
    left.put(PROJECT, commented(tagged(ONE, "left"), "left"))
    left.put(PROJECT, change(TWO, tags=FINISHED))
    right.put(PROJECT, commented(tagged(THREE, "right"), "right"))
    right.put(PROJECT, change(FOUR, tags=FINISHED))


def deletions(left: TestStore, right: TestStore) -> None:
    """Delete records on both sides."""
    left.remove(PROJECT, "one")
    left.remove(PROJECT, "two")
    right.remove(PROJECT, "three")
    right.remove(PROJECT, "four")


def merges(left: TestStore, right: TestStore) -> None:
    """Comment on the same records on both sides."""
    for before in (ONE, TWO):
        left.put(PROJECT, commented(tagged(before, "left"), "left"))
        right.put(PROJECT, commented(tagged(before, "right"), "right"))


def mixed(left: TestStore, right: TestStore) -> None:
    """Create, edit, delete and merge records, and make some equal."""
    left.put(PROJECT, full("new"))
    left.put(PROJECT, commented(tagged(ONE, "left"), "left"))
    left.remove(PROJECT, "two")
    left.put(PROJECT, commented(tagged(THREE, "left"), "left"))
    right.put(PROJECT, commented(tagged(THREE, "right"), "right"))
    left.put(PROJECT, tagged(FOUR, "same"))
    right.put(PROJECT, tagged(FOUR, "same"))
    right.remove(PROJECT, "five")


#: `mixed` has some of each; `make soak` also tries each kind of change by itself.
SCENARIOS = [
    mixed,
    *(pytest.param(alone, marks=pytest.mark.soak) for alone in (creations, updates, deletions, merges)),
]


async def prepared(world: World, scenario: Callable[[TestStore, TestStore], None]) -> World:
    """Return *world* in sync, with the changes of *scenario*."""
    await world.synced(*BYSTANDERS, *BEFORE)
    scenario(world.left, world.right)
    return world


@dataclass(frozen=True)
class Found:
    """What a new start made of a world; `left_over` has reports and intents."""

    contents: Both[dict[Key, Digest]]
    left_over: list[object]
    lost: list[tuple[str, str]]
    quiet: bool


async def restarted(world: World, before: World) -> Found:
    """Run a cycle on *world*, which was copied from *before*, and return all that it has then."""
    held = [*records(before), *records(world)]
    report = await world.cycle()
    kept = set(records(world)) | {(side, label, each) for side, label, _, each in world.history()}
    return Found(
        world.contents,
        [*report.conflicts, *report.held, *report.failed, *world.journal("SELECT * FROM intent")],
        [(side, label) for side, label, each in held if (side, label, each) not in kept],
        await second_cycle_does_nothing(world),
    )


def records(world: World) -> list[tuple[str, str, Digest]]:
    """Return side, label and digest of all records of both stores."""
    return [(side.value, name.label, each) for side in SIDES for name, each in world.contents[side].items()]


async def swept(world: World, when: str, how: str) -> dict[str, Found]:
    """Return what a new start made of every crash, by the step that failed."""
    return {step: await restarted(crashed, world) async for step, crashed in crashes(world, when, how)}


async def undisturbed(world: World) -> Found:
    """Return what a cycle without a crash makes of *world*."""
    found = await restarted(world.fork(world.directory.with_name("undisturbed")), world)
    assert (found.contents.left, found.left_over, found.lost) == (found.contents.right, [], [])
    return found


@pytest.mark.parametrize("when", ["before", "during", "after"])
@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_failure_at_any_step_converges(tmp_path, scenario, when):
    """A new start leaves what an undisturbed cycle would have left, with all before-images."""
    world = await prepared(World(tmp_path / "world"), scenario)
    expected = await undisturbed(world)

    found = await swept(world, when, "error")

    assert len(found) * EVERY >= {"before": 20, "during": 1, "after": 20}[when]
    assert {step: each for step, each in found.items() if each != expected} == {}


@pytest.mark.parametrize("when", [pytest.param("before", marks=pytest.mark.soak), "after"])
async def test_start_with_the_sides_exchanged_converges(tmp_path, when):
    """Recovery judges a crash by the order of the writes, and not by the names of the sides."""
    world = await prepared(World(tmp_path / "world"), mixed)
    turned = world.fork(tmp_path / "turned")
    await turned.mirrored.cycle()
    straight, other = (await undisturbed(world)).contents.left, turned.contents.left

    found = {}
    async for step, crashed in crashes(world, when, "kill"):
        await crashed.mirrored.cycle()
        found[step] = await restarted(crashed, world)

    assert len(found) >= 5
    assert {step: each for step, each in found.items() if each.left_over or each.lost or not each.quiet} == {}
    for step, each in found.items():
        # In merged texts the lines of the side that was called left come first.
        odd = [name for name, held in each.contents.left.items() if held not in (straight[name], other[name])]
        assert (step, each.contents.left, odd) == (step, each.contents.right, [])


@pytest.mark.parametrize("how", ["kill", "cancel"])
@pytest.mark.parametrize("when", ["during", "after"])
async def test_kill_or_cancellation_at_any_step_converges(tmp_path, when, how):
    """They leave no more behind than an error does."""
    world = await prepared(World(tmp_path / "world"), mixed)
    expected = await undisturbed(world)

    found = await swept(world, when, how)

    assert len(found) >= {"during": 1, "after": 8}[when]
    assert {step: each for step, each in found.items() if each != expected} == {}


async def test_crash_with_stores_without_a_lock_converges(tmp_path):
    """The log has the writes that may get lost later, and a crash does not make them look lost."""
    world = World(tmp_path / "world", UnlockedStore("left"), UnlockedStore("right"))
    await prepared(world, mixed)
    expected = await undisturbed(world)

    found = await swept(world, "after", "kill")

    assert {step: each for step, each in found.items() if each != expected} == {}


async def test_second_crash_during_recovery_converges(tmp_path):
    """It makes no difference either."""
    world = await prepared(World(tmp_path / "world"), mixed)
    expected = await undisturbed(world)
    first = {step: crashed async for step, crashed in crashes(world, "after", "kill") if "write" in step}

    found = {step: await swept(crashed, "after", "kill") for step, crashed in first.items()}

    assert len(found) >= 4
    assert [
        (first_step, step, each)
        for first_step, steps in found.items()
        for step, each in steps.items()
        if (each.contents, each.left_over) != (expected.contents, [])
    ] == []


async def test_crash_in_the_first_cycle_converges(tmp_path):
    """At any step."""
    world = World(tmp_path / "world")
    await World(tmp_path / "world").cycle()
    for store, label in ((world.left, "left"), (world.right, "right")):
        store.put(PROJECT, full("equal"))
        store.put(PROJECT, tagged(full("merged"), label))
        store.put(PROJECT, full(f"only {label}"))
    expected = await undisturbed(world)

    found = await swept(world, "after", "error")

    assert {step: each for step, each in found.items() if each != expected} == {}
