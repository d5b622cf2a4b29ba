"""The next cycle carries out a user's decision on conflicts and held deletions, once, or not at all."""

from __future__ import annotations

import pytest

from smtd.engine import cycle
from smtd.engine.report import Hold, PairReport
from smtd.engine.resolve import Resolution, resolve
from smtd.engine.undo import undo
from smtd.errors import PlanChanged, UsageError
from smtd.journal.decisions import Choice
from smtd.merge.decide import Conflicts, Mode
from smtd.merge.sides import Both, Side
from smtd.output.english import sentence
from smtd.records.record import Key
from tests.build import MOMENT, PROJECT, change, key, record, tagged
from tests.engine.world import World, both_sides, counts, holding, on, second_cycle_does_nothing, written

A = record("a")
#: Two experiments under one label.
ONE, OTHER = change(A, version="1111"), change(A, version="2222")
MANY = [record(f"run-{number:02}") for number in range(30)]
GONE = [each.label for each in MANY[:25]]


async def decided(world: World, wish: Resolution, **policy) -> list[Key]:
    """Store a decision, as the worker does before a cycle."""
    return await world.do(resolve, wish, policy=policy)


async def after(world: World, wish: Resolution, **policy) -> PairReport:
    """Decide, and run the cycle that carries the decision out."""
    await decided(world, wish, **policy)
    return await world.cycle(**policy)


@pytest.fixture
async def conflict(tmp_path) -> World:
    """Two stores with different experiments under one label."""
    world = World(tmp_path)
    world.left.put(PROJECT, ONE)
    world.right.put(PROJECT, OTHER)
    assert len((await world.cycle()).conflicts) == 1
    return world


@pytest.fixture
async def emptied(tmp_path) -> World:
    """Two stores, of which the left one lost more records than a user is likely to delete."""
    world = await World(tmp_path).synced(*MANY)
    for label in GONE:
        world.left.remove(PROJECT, label)
    assert len((await world.cycle()).held) == 25
    return world


@both_sides
async def test_chosen_side_replaces_the_other(conflict, side):
    """Its record goes to the other side; the replaced record is in the history."""
    chosen = {Side.LEFT: ONE, Side.RIGHT: OTHER}
    choice = Choice.LEFT if side is Side.LEFT else Choice.RIGHT

    report = await after(conflict, Resolution(choice))

    assert (report.ok, report.in_sync, counts(report)) == (True, 1, on(side.other, updated=1))
    assert conflict.contents[Side.LEFT] == conflict.contents[Side.RIGHT] == holding(chosen[side])
    assert [row[:3] for row in conflict.history()] == [(side.other.value, "a", "update")]
    assert await second_cycle_does_nothing(conflict)


async def test_both_records_are_kept_with_the_right_one_under_an_alias(conflict):
    """Then each side has both. The alias is free on both sides, and the history has it."""
    conflict.left.put(PROJECT, record("a-2"))
    conflict.right.put(PROJECT, record("a-2"))
    await conflict.cycle()

    report = await after(conflict, Resolution(Choice.BOTH))

    assert (report.ok, report.in_sync) == (True, 3)
    expected = holding(ONE, record("a-2"), change(OTHER, label="a-3"))
    assert conflict.contents[Side.LEFT] == conflict.contents[Side.RIGHT] == expected
    assert conflict.left.records[key("a-3")].label == "a-3"
    assert any("kept beside" in reason for (reason,) in conflict.journal("SELECT reason FROM history"))
    assert await second_cycle_does_nothing(conflict)


async def test_decision_is_void_once_a_side_changes(conflict):
    """The user decided about two records, and not about a third."""
    await decided(conflict, Resolution(Choice.LEFT))
    conflict.right.put(PROJECT, change(OTHER, version="3333"))

    report = await conflict.cycle()

    assert (len(report.conflicts), counts(report)) == (1, written())
    assert conflict.journal("SELECT * FROM decision") == []


async def test_decision_applies_only_to_matching_keys(tmp_path):
    """By label, by glob, by project. If nothing matches, an error says where to look."""
    world = World(tmp_path)
    for label in ("a", "ab", "b"):
        world.left.put(PROJECT, change(ONE, label=label))
        world.right.put(PROJECT, change(OTHER, label=label))
    await world.cycle()

    assert await decided(world, Resolution(Choice.LEFT, PROJECT, ("[a]",))) == [key("a")]
    assert sorted(await decided(world, Resolution(Choice.LEFT, labels=("a*",)))) == [key("ab")]
    with pytest.raises(UsageError, match="no conflict matches; smtd conflicts lists them"):
        await decided(world, Resolution(Choice.LEFT, "Other"))
    with pytest.raises(UsageError, match="no held deletion matches; smtd holds lists"):
        await decided(world, Resolution(Choice.APPROVE))
    report = await world.cycle()
    assert [each.label for each in report.conflicts] == ["b"]
    assert report.right.updated == 2


@pytest.mark.parametrize(
    ("choice", "mode", "source"),
    [
        (Choice.RIGHT, Mode.LEFT_TO_RIGHT, Side.LEFT),
        (Choice.LEFT, Mode.RIGHT_TO_LEFT, Side.RIGHT),
        (Choice.BOTH, Mode.RIGHT_TO_LEFT, Side.RIGHT),
    ],
)
async def test_decision_does_not_write_to_the_source_of_a_one_way_pair(conflict, choice, mode, source):
    """It is held, with the reason; the other side can be taken."""
    report = await after(conflict, Resolution(choice), mode=mode)

    (held,) = report.held
    assert (held.kind, counts(report)) == (Hold.DECIDED, written())
    assert f"would write to the {source.value} store, which is the source of a one-way pair" in sentence(
        held.why
    )

    again = await after(conflict, Resolution(Choice(source.value)), mode=mode)

    assert (again.ok, again.side(source.other).updated) == (True, 1)


@pytest.mark.parametrize(
    ("rule", "winner"),
    [(Conflicts.LEFT, ONE), (Conflicts.RIGHT, OTHER), (Conflicts.NEWEST, OTHER)],
)
async def test_rule_resolves_a_conflict_and_the_loser_is_in_the_history(tmp_path, rule, winner):
    """No user is asked; the overwritten record can be restored."""
    later = change(OTHER, timestamp=MOMENT.replace(year=2025))
    winner = later if winner is OTHER else winner
    world = World(tmp_path)
    world.left.put(PROJECT, ONE)
    world.right.put(PROJECT, later)

    report = await world.cycle(conflicts=rule)

    assert (report.ok, report.in_sync) == (True, 1)
    assert world.contents.left == world.contents.right == holding(winner)
    assert len(world.history()) == 1


async def test_newest_leaves_a_conflict_within_one_run_to_the_user(conflict):
    """Sumatra does not record the time of an edit."""
    assert len((await conflict.cycle(conflicts=Conflicts.NEWEST)).conflicts) == 1


async def test_rule_does_not_write_to_the_source_of_a_one_way_pair(conflict):
    """The conflict stays."""
    report = await conflict.cycle(conflicts=Conflicts.RIGHT, mode=Mode.LEFT_TO_RIGHT)

    assert (len(report.conflicts), counts(report)) == (1, written())


async def test_approved_deletions_are_carried_out(emptied):
    """Only those that the user approved."""
    report = await after(emptied, Resolution(Choice.APPROVE, labels=("run-00", "run-01")))

    assert (counts(report), len(report.held)) == (on(Side.RIGHT, deleted=2), 23)
    assert len((await emptied.cycle()).held) == 23
    report = await after(emptied, Resolution(Choice.APPROVE))
    assert (report.ok, counts(report)) == (True, on(Side.RIGHT, deleted=23))
    assert len(emptied.right.records) == 5


async def test_rejected_deletions_restore_the_records(emptied):
    """On the side that lost them."""
    report = await after(emptied, Resolution(Choice.REJECT))

    assert (report.ok, report.in_sync, counts(report)) == (True, 30, on(Side.LEFT, created=25))
    assert emptied.contents.left == holding(*MANY)
    assert await second_cycle_does_nothing(emptied)


async def test_held_deletions_stay_held_however_the_store_grows(emptied):
    """If the share of missing records shrinks because others add records, that is no approval."""
    for number in range(300):
        emptied.left.put(PROJECT, record(f"new-{number}"))

    report = await emptied.cycle()

    assert (len(report.held), report.right.created, report.right.deleted) == (25, 300, 0)
    assert len(emptied.right.records) == 330


async def test_edit_of_a_record_ends_its_held_deletion(emptied):
    """A change wins over an absence."""
    emptied.right.put(PROJECT, tagged(MANY[0], "kept"))

    report = await emptied.cycle()

    assert (len(report.held), counts(report)) == (24, on(Side.LEFT, created=1))


async def test_plans_with_different_writes_have_different_identities(conflict):
    """And equal plans have the same identity."""
    conflict.left.put(PROJECT, record("new"))
    plan = await conflict.cycle(dry_run=True)
    again = await conflict.cycle(dry_run=True)

    assert plan.plan == again.plan
    assert [(each.action, each.label, each.side, sentence(each.why)) for each in plan.actions] == [
        ("create", "new", Side.RIGHT, "new on the left")
    ]
    conflict.left.put(PROJECT, record("newer"))
    assert (await conflict.cycle(dry_run=True)).plan != plan.plan


@both_sides
async def test_decision_is_carried_out_only_once(tmp_path, side):
    """If the user deletes or restores a record again, the old decision does not apply."""
    world = await World(tmp_path).synced(*MANY)
    for label in GONE:
        world[side].remove(PROJECT, label)
    await world.cycle()
    await after(world, Resolution(Choice.REJECT, labels=("run-00",)))
    await after(world, Resolution(Choice.APPROVE, labels=("run-01",)))
    assert (key("run-00") in world[side].records, key("run-01") in world[side.other].records) == (True, False)

    world[side].remove(PROJECT, "run-00")
    world[side.other].put(PROJECT, MANY[1])
    report = await world.cycle()

    assert counts(report) == on(side, created=1)
    assert (key("run-00") in world[side].records, key("run-01") in world[side].records) == (False, True)
    assert len(report.held) == 24


@both_sides
async def test_approved_deletions_do_not_count_towards_the_limit(tmp_path, side):
    """Neither in the cycle that carries them out, nor in those after it."""
    world = await World(tmp_path).synced(*MANY)
    for label in GONE:
        world[side].remove(PROJECT, label)
    await world.cycle()
    await decided(world, Resolution(Choice.APPROVE))

    world[side].remove(PROJECT, "run-25")
    beside = await world.cycle()
    world[side].remove(PROJECT, "run-26")
    later = await world.cycle()

    assert (counts(beside), counts(later)) == (on(side.other, deleted=26), on(side.other, deleted=1))
    assert (beside.held, later.held) == ([], [])


@both_sides
async def test_decision_is_void_if_its_alias_is_taken_before_the_cycle(conflict, side):
    """smtd keeps no record under a label that another record has by now, and the conflict stays."""
    await decided(conflict, Resolution(Choice.BOTH))
    conflict[side].put(PROJECT, record("a-2", reason="somebody else's"))

    report = await conflict.cycle()

    assert [each.label for each in report.conflicts] == ["a"]
    assert (report.failed, counts(report)) == ([], on(side.other, created=1))
    assert (await after(conflict, Resolution(Choice.BOTH))).ok
    assert key("a-3") in conflict.left.records


async def test_decision_is_void_if_its_alias_is_taken_before_the_write(conflict):
    """The write notices it, and the conflict stays."""
    await decided(conflict, Resolution(Choice.BOTH))
    theirs = record("a-2", reason="somebody else's")
    conflict.left.meanwhile["before write"] = lambda: conflict.left.put(PROJECT, theirs)

    report = await conflict.cycle()

    assert [each.label for each in report.conflicts] == ["a"]
    assert conflict.right.records[key("a-2")] == theirs


async def test_decision_is_void_if_its_record_changes_before_the_write(conflict):
    """The user decided about another record."""
    await decided(conflict, Resolution(Choice.BOTH))
    edited = tagged(OTHER, "edited")
    conflict.right.meanwhile["after scan"] = lambda: conflict.right.put(PROJECT, edited)

    report = await conflict.cycle()

    assert [each.label for each in report.conflicts] == ["a"]
    assert (list(conflict.right.records.values()), list(conflict.left.records.values())) == ([edited], [ONE])


async def test_record_of_only_one_store_cannot_be_kept_twice(conflict):
    """There is only one to take."""
    await after(conflict, Resolution(Choice.LEFT))
    ((number,),) = conflict.journal("SELECT max(cycle) FROM history")
    conflict.left.put(PROJECT, record("b"))
    await conflict.cycle()
    await conflict.do(undo, number + 1)

    with pytest.raises(UsageError, match="MyProject/b is only in one store; take left or right"):
        await decided(conflict, Resolution(Choice.BOTH))


async def test_plan_shows_both_kept_records(conflict):
    """In one line, and in the counts of each side."""
    await decided(conflict, Resolution(Choice.BOTH))

    report = await conflict.cycle(dry_run=True)

    assert [(each.action, each.side, sentence(each.why)) for each in report.actions] == [
        ("split", None, "keep both: the right one becomes a-2")
    ]
    assert counts(report) == written(left=(1, 0, 0), right=(1, 1, 0))
    assert (
        report.plan
        != (await conflict.cycle(dry_run=True, conflicts=Conflicts.LEFT, mode=Mode.LEFT_TO_RIGHT)).plan
    )


async def test_outdated_plan_is_not_run(conflict):
    """smtd writes nothing, and reports it."""
    conflict.left.put(PROJECT, record("new"))
    seen = (await conflict.cycle(dry_run=True)).plan
    conflict.left.put(PROJECT, record("newer"))
    async with conflict.opened() as pair:
        with pytest.raises(PlanChanged, match=f"the stores have changed since plan {seen} was made"):
            await cycle.run(pair, expected_plan=seen)
        assert conflict.writes == Both([], [])
        now = (await cycle.preview(pair)).plan
        report = await cycle.run(pair, expected_plan=now)

    assert report.right.created == 2
