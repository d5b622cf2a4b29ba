"""Decisions, undos and restores may fail at any step: each is done whole, or not at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from smtd.engine import cycle
from smtd.engine.edit import Edit, edit, restore
from smtd.engine.pair import Pair
from smtd.engine.resolve import Resolution, resolve
from smtd.engine.undo import undo
from smtd.journal.decisions import Choice
from smtd.merge.sides import SIDES
from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.record import Key
from tests.build import PROJECT, change, commented, full, key, record, tagged
from tests.engine.faults import crashes
from tests.engine.world import UnlockedStore, World, holding, second_cycle_does_nothing

A = record("a")
ONE, OTHER = change(A, version="1111"), change(A, version="2222")
MANY = [record(f"run-{number:02}") for number in range(24)]
Work = Callable[[Pair], Awaitable[Any]]

#: A cancellation after a step leaves the same as an error after it.
sweeps = pytest.mark.parametrize(
    ("when", "how"),
    [
        ("after", "kill"),
        pytest.param("before", "error", marks=pytest.mark.soak),
        pytest.param("after", "cancel", marks=pytest.mark.soak),
    ],
)


@pytest.fixture
def empty(tmp_path, how) -> World:
    """Two empty stores; after a kill of the process they have no lock."""
    stores = (UnlockedStore("left"), UnlockedStore("right")) if how == "kill" else ()
    return World(tmp_path / "world", *stores)


def decides(*wishes: Resolution) -> Work:
    """Return the work of a user who decides, and of the cycle that carries the decision out."""

    async def work(pair: Pair) -> None:
        for wish in wishes:
            await resolve(pair, wish)
        await cycle.run(pair)

    return work


async def restarted(pair: Pair) -> int:
    """Run a few cycles and check the history; return how many entries it has."""
    for _ in range(3):
        await cycle.run(pair)
    return (await pair.journal.history.check()).entries


@dataclass(frozen=True)
class Outcome:
    """The result of a crash after a few cycles."""

    step: str
    world: World

    @property
    def held(self) -> tuple[dict[Key, Digest], dict[Key, Digest]]:
        """What both stores hold."""
        return self.world.contents.left, self.world.contents.right


async def outcomes(world: World, when: str, how: str, work: Work) -> list[Outcome]:
    """Return the result of each crash of *work* after a few cycles; fail if a record is lost or left open."""
    found = []
    async for step, crashed in crashes(world, when, how, work):
        was = set(kept(world)) | set(kept(crashed))
        proven = await crashed.do(restarted)
        complaints: list[object] = [f"{each!r} is lost" for each in was - set(kept(crashed))]
        complaints += crashed.journal("SELECT label, side FROM intent")
        complaints += crashed.journal(
            "SELECT label, choice FROM decision WHERE choice NOT IN ('held', 'rest')"
        )
        if proven != len(crashed.journal("SELECT id FROM history")):
            complaints.append("the history is not proven whole")
        if not await second_cycle_does_nothing(crashed):
            complaints.append("another cycle wrote")
        assert (step, complaints) == (step, [])
        found.append(Outcome(step, crashed))
    return found


def kept(world: World) -> list[Digest]:
    """Return all records that a store or the history has."""
    return [
        *(each for side in SIDES for each in world.contents[side].values()),
        *(row[3] for row in world.history()),
    ]


async def conflicting(world: World) -> World:
    """Return *world* in sync, except for two experiments under one label."""
    await world.synced(record("other"), record("a-2"))
    world.left.put(PROJECT, ONE)
    world.right.put(PROJECT, OTHER)
    await world.cycle()
    return world


REST = holding(record("other"), record("a-2"))


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice.RIGHT, REST | holding(OTHER)),
        (Choice.BOTH, REST | holding(ONE, change(OTHER, label="a-3"))),
    ],
    ids=["right", "both"],
)
@sweeps
async def test_resolution_that_fails_at_any_step_is_done_or_conflict_stays(
    empty, when, how, choice, expected
):
    """Once stored, the decision is carried out; before that, the conflict stays. No record is doubled."""
    world = await conflicting(empty)
    undecided = world.contents.left, world.contents.right

    found = await outcomes(world, when, how, decides(Resolution(choice)))

    wrong = [(each.step, each.held) for each in found if each.held not in ((expected, expected), undecided)]
    assert wrong == []
    written = [each for each in found if ".write" in each.step and each.step.startswith("after")]
    assert [each.step for each in written if each.held != (expected, expected)] == []


@pytest.mark.parametrize("choice", [Choice.APPROVE, Choice.REJECT])
@sweeps
async def test_decision_on_deletions_that_fails_at_any_step_is_done_or_they_stay_held(
    empty, when, how, choice
):
    """Each record is deleted or restored as the user decided, or its deletion is still held."""
    world = await empty.synced(*MANY)
    for made in MANY[:21]:
        world.left.remove(PROJECT, made.label)
    assert len((await world.cycle()).held) == 21
    wishes = Resolution(choice, labels=("run-00", "run-01", "run-02")), Resolution(choice, labels=("run-03",))
    decided = [made.label for made in MANY[:4]]

    found = await outcomes(world, when, how, decides(*wishes))

    expected = choice is Choice.REJECT
    for each in found:
        left, right = each.held
        for made in MANY[:21]:
            name = key(made.label)
            there = (name in left, name in right)
            done = (expected, expected) if made.label in decided else (False, True)
            assert there in (done, (False, True)), (each.step, name)
        assert {key(made.label) for made in MANY[21:]} <= left.keys() & right.keys()


async def changed(world: World) -> World:
    """Return *world* with a creation, an edit, a deletion and a merge to carry out."""
    await world.synced(*(full(label) for label in "ace"), record("other"))
    world.left.put(PROJECT, tagged(full("a"), "edited"))
    world.right.remove(PROJECT, "c")
    world.left.put(PROJECT, commented(tagged(full("e"), "left"), "left"))
    world.right.put(PROJECT, commented(tagged(full("e"), "right"), "right"))
    world.left.put(PROJECT, full("new"))
    return world


def states(world: World) -> dict[Key, tuple[Digest | None, Digest | None]]:
    """Return what both sides hold under each key that either has."""
    left, right = world.contents.left, world.contents.right
    return {name: (left.get(name), right.get(name)) for name in left.keys() | right.keys()}


def last_cycle(world: World) -> int:
    """Return the number of the last cycle that wrote."""
    return int(world.journal("SELECT max(cycle) FROM history")[0][0])


@sweeps
async def test_undo_that_fails_at_any_step_reverts_each_record_whole_or_not_at_all(empty, when, how):
    """And what it reverted stays so."""
    world = await changed(empty)
    before = states(world)
    assert (await world.cycle()).ok
    after, number = states(world), last_cycle(world)

    found = await outcomes(world, when, how, lambda pair: undo(pair, number))

    assert len(found) >= 10
    for each in found:
        now = states(each.world)
        halves = {
            name: now.get(name)
            for name in before.keys() | after.keys()
            if now.get(name) not in (before.get(name), after.get(name))
        }
        assert (each.step, halves) == (each.step, {})


@sweeps
async def test_undo_of_a_resolution_that_fails_at_any_step_keeps_both_experiments(empty, when, how):
    """Either the conflict is back, or the resolution stands."""
    world = await conflicting(empty)
    await world.do(decides(Resolution(Choice.BOTH)))
    number = last_cycle(world)

    found = await outcomes(world, when, how, lambda pair: undo(pair, number))

    both = {*holding(ONE).values(), *holding(OTHER).values()}
    assert [each.step for each in found if not both <= {*each.held[0].values(), *each.held[1].values()}] == []


@pytest.mark.parametrize(
    "restored", [full("a"), full("c"), commented(tagged(full("e"), "left"), "left")], ids=["a", "c", "e"]
)
@sweeps
async def test_restore_that_fails_at_any_step_is_done_or_has_not_begun(empty, when, how, restored):
    """The same on both sides."""
    world = await changed(empty)
    then = datetime.fromisoformat(world.journal("SELECT max(at) FROM history")[0][0])
    await world.cycle()
    world.left.put(PROJECT, tagged(world.left.records[key("e")], "later"))
    await world.cycle()
    before = world.contents.left

    found = await outcomes(world, when, how, lambda pair: restore(pair, key(restored.label), then))

    done = before | holding(restored)
    assert len(found) >= 4
    assert [
        (each.step, each.held) for each in found if each.held not in ((done, done), (before, before))
    ] == []
    written = [each for each in found if ".write" in each.step and each.step.startswith("after")]
    assert [each.step for each in written if each.held != (done, done)] == []


@sweeps
async def test_edit_that_fails_at_any_step_is_done_or_has_not_begun(empty, when, how):
    """The same on both sides."""
    world = await empty.synced(A, full("b"))
    before, done = holding(A, full("b")), holding(change(A, outcome="edited"), full("b"))
    wanted, expect = Edit(outcome="edited"), canonical.digest(A).hex()

    found = await outcomes(world, when, how, lambda pair: edit(pair, key("a"), wanted, expect))

    assert len(found) >= 4
    assert [
        (each.step, each.held) for each in found if each.held not in ((done, done), (before, before))
    ] == []
    assert {each.held == (done, done) for each in found} == {True, False}


async def test_failed_restore_does_not_end_an_undo(tmp_path):
    """The undone record stays pinned until the restored record is there."""
    world = await changed(World(tmp_path / "world"))
    then = datetime.fromisoformat(world.journal("SELECT max(at) FROM history")[0][0])
    await world.cycle()
    await world.do(lambda pair: undo(pair, last_cycle(world)))
    undone = world.contents.left, world.contents.right

    found = await outcomes(world, "before", "kill", lambda pair: restore(pair, key("a"), then))

    done = tuple(held | holding(full("a")) for held in undone)
    assert {"journal.begin_cycle", "journal.intend"} <= {
        each.step.partition(", ")[2] for each in found if each.held == undone
    }
    assert [(each.step, each.held) for each in found if each.held not in (undone, done)] == []


async def test_undo_of_a_merge_that_fails_at_any_step_loses_no_later_edit(tmp_path):
    """Whatever a user adds afterwards, both comments are there, or there is a conflict."""
    world = await changed(World(tmp_path / "world"))
    await world.cycle()
    number = last_cycle(world)

    found = await outcomes(world, "after", "kill", lambda pair: undo(pair, number))

    for each in found:
        for store in (each.world.left, each.world.right):
            here = each.world.fork(
                each.world.directory.with_name(f"{each.world.directory.name}-{store.location}")
            )
            mine = here.left if store is each.world.left else here.right
            mine.put(PROJECT, tagged(mine.records[key("e")], "later"))
            report = await here.cycle()
            outcomes_now = [side.records[key("e")].outcome for side in (here.left, here.right)]
            texts = "\n".join(outcome or "" for outcome in outcomes_now)
            assert ("left" in texts, "right" in texts) == (True, True), (each.step, store.location)
            assert len(report.conflicts) == (outcomes_now[0] != outcomes_now[1])
