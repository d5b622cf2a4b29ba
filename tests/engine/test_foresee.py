"""What a decision would do is known before it is made, and nothing else is done."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from smtd.engine.edit import restore
from smtd.engine.resolve import Resolution, foresee, resolve
from smtd.engine.undo import undo
from smtd.errors import PlanChanged, UsageError
from smtd.journal.decisions import Choice
from smtd.merge.decide import Mode
from smtd.merge.sides import Side
from smtd.records.record import Key
from smtd.stores.base import Capabilities
from tests.build import PROJECT, change, key, record, tagged
from tests.engine.world import World, counts, holding, on, written

ONE, OTHER = record("a", version="1111"), record("a", version="2222")
MANY = [record(f"run-{number:02}") for number in range(30)]


@pytest.fixture
async def conflicts(tmp_path) -> World:
    """Two stores with different experiments under the labels a and b, and one that both have."""
    world = await World(tmp_path).synced(record("same"))
    for made, side in ((ONE, world.left), (OTHER, world.right)):
        side.put(PROJECT, made)
        side.put(PROJECT, change(made, label="b"))
    assert len((await world.cycle()).conflicts) == 2
    return world


@pytest.fixture
async def emptied(tmp_path) -> World:
    """Two stores, of which the left one lost too many records."""
    world = await World(tmp_path).synced(*MANY)
    for each in MANY[:25]:
        world.left.remove(PROJECT, each.label)
    assert len((await world.cycle()).held) == 25
    return world


def only(*labels: str) -> frozenset[Key]:
    """Return the keys of *labels*."""
    return frozenset(map(key, labels))


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice.LEFT, on(Side.RIGHT, updated=1)),
        (Choice.RIGHT, on(Side.LEFT, updated=1)),
        (Choice.BOTH, written(left=(1, 0, 0), right=(1, 1, 0))),
    ],
)
async def test_choice_does_what_was_foreseen(conflicts, choice, expected):
    """For the chosen record alone; to foresee it writes nothing, and decides nothing."""
    wish = Resolution(choice, keys=only("a"))
    before = conflicts.contents

    seen = await conflicts.do(foresee, wish)
    assert (conflicts.contents, conflicts.journal("SELECT * FROM decision")) == (before, [])
    await conflicts.do(resolve, Resolution(choice, keys=only("a"), expected_plan=seen.plan))
    done = await conflicts.cycle()

    assert counts(seen) == expected
    assert {each.label for each in seen.actions} == {"a"}
    assert counts(done)["right"][1] == expected["right"][1]
    assert counts(done)["left"][1] == expected["left"][1]
    assert [each.label for each in done.conflicts] == ["b"]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [(Choice.APPROVE, (0, 0, 2)), (Choice.REJECT, (2, 0, 0))],
    ids=lambda each: str(each),
)
async def test_some_of_many_held_deletions_are_decided(emptied, choice, expected):
    """The others stay held."""
    wish = Resolution(choice, keys=only("run-00", "run-01"))

    seen = await emptied.do(foresee, wish)
    await emptied.do(resolve, wish)
    done = await emptied.cycle()

    side = "right" if choice is Choice.APPROVE else "left"
    assert counts(seen) == counts(done) == written(**{side: expected})
    assert len(done.held) == 23


async def test_choice_is_refused_if_a_record_has_changed_since(conflicts):
    """Nothing is decided; what it would do now has another plan."""
    wish = Resolution(Choice.LEFT)
    seen = await conflicts.do(foresee, wish)
    conflicts.left.put(PROJECT, tagged(ONE, "edited"))

    with pytest.raises(PlanChanged, match="the records have changed since plan"):
        await conflicts.do(resolve, Resolution(Choice.LEFT, expected_plan=seen.plan))

    assert conflicts.journal("SELECT * FROM decision") == []
    assert (await conflicts.do(foresee, wish)).plan != seen.plan


async def test_choice_for_a_record_that_does_not_wait_is_refused(conflicts):
    """As for a glob that matches none."""
    with pytest.raises(UsageError, match="no conflict matches"):
        await conflicts.do(foresee, Resolution(Choice.LEFT, keys=only("same")))


@pytest.mark.parametrize(("mode", "read_only"), [(Mode.TWO_WAY, "it is old"), (Mode.RIGHT_TO_LEFT, "")])
async def test_choice_that_would_write_where_smtd_must_not_says_so(conflicts, mode, read_only):
    """To a read-only side, or to the source of a one-way pair: it would wait, and write nothing."""
    conflicts.right.capabilities = Capabilities(True, None, True, read_only=read_only)

    seen = await conflicts.do(foresee, Resolution(Choice.LEFT, keys=only("a")), policy={"mode": mode})

    assert (seen.actions, [each.label for each in seen.held]) == ([], ["a"])


async def test_undo_is_refused_if_it_would_do_something_else(tmp_path):
    """Than the dry run said; then the records stay as they are."""
    world = await World(tmp_path).synced(record("a"), record("b"))
    ((number,),) = world.journal("SELECT max(cycle) FROM history")
    planned = await world.do(undo, number, dry_run=True)
    world.right.put(PROJECT, tagged(record("a"), "edited"))

    with pytest.raises(PlanChanged, match="the records have changed since plan"):
        await world.do(undo, number, expected_plan=planned.plan)
    again = await world.do(undo, number, dry_run=True)
    done = await world.do(undo, number, expected_plan=again.plan)

    assert {each.label for each in planned.done} == {"a", "b"}
    assert [each.label for each in done.done] == ["b"]
    assert done.plan == again.plan != planned.plan
    assert world.contents.right == holding(tagged(record("a"), "edited"))


async def test_restore_does_what_its_dry_run_said_or_nothing(tmp_path):
    """The dry run writes nothing."""
    world = await World(tmp_path).synced(record("a", outcome="first"))
    before = datetime.now(timezone.utc)
    await world.synced(record("a", outcome="second"))
    seen = await world.do(restore, key("a"), before, dry_run=True)
    assert world.contents.left == world.contents.right == holding(record("a", outcome="second"))

    world.right.put(PROJECT, record("a", outcome="third"))
    with pytest.raises(PlanChanged, match="the records have changed since plan"):
        await world.do(restore, key("a"), before, expected_plan=seen.plan)
    again = await world.do(restore, key("a"), before, dry_run=True)
    done = await world.do(restore, key("a"), before, expected_plan=again.plan)

    assert counts(seen) == counts(again) == counts(done) == written(left=(0, 1, 0), right=(0, 1, 0))
    assert world.contents.left == world.contents.right == holding(record("a", outcome="first"))
