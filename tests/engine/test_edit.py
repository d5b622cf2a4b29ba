"""An edit of what people write reaches both sides, with the earlier record in the history."""

from __future__ import annotations

import pytest

from smtd.engine.edit import Edit, edit
from smtd.engine.undo import undo
from smtd.errors import PlanChanged, UsageError
from smtd.merge.decide import Mode
from smtd.merge.sides import SIDES
from smtd.output.english import sentence
from smtd.records import canonical
from smtd.stores.base import Capabilities
from tests.build import PROJECT, RUNNING, change, full, key, record, tagged
from tests.engine.world import UnlockedStore, World, keep_editing, second_cycle_does_nothing, written
from tests.engine.world import counts as counted

RUN = tagged(full("a"), "old")
EXPECT = canonical.digest(RUN).hex()


with_and_without_a_lock = pytest.mark.parametrize("world", ["locked", "unlocked"], indirect=True)


@pytest.fixture
async def world(request, tmp_path):
    """Two stores in sync."""
    kind = getattr(request, "param", "locked")
    stores = (UnlockedStore("left"), UnlockedStore("right")) if kind == "unlocked" else ()
    return await World(tmp_path, *stores).synced(RUN, full("b"))


@with_and_without_a_lock
async def test_edit_reaches_both_sides(world):
    """Only what is wanted changes; the status stays, and the next cycle has nothing to do."""
    report = await world.do(edit, key("a"), Edit(reason="better", tags=frozenset({"new"})), EXPECT)

    assert counted(report) == written(left=(0, 1, 0), right=(0, 1, 0))
    for side in SIDES:
        found = world[side].records[key("a")]
        assert (found.reason, found.outcome, found.tags) == ("better", RUN.outcome, {"_finished_", "new"})
    assert counted(await world.cycle()) == written()
    assert await second_cycle_does_nothing(world)


@with_and_without_a_lock
async def test_edit_can_be_undone(world):
    """Its cycle is in the history, with what was there before."""
    before = world.contents
    await world.do(edit, key("a"), Edit(outcome="wrong"), EXPECT)
    ((number,),) = world.journal("SELECT max(cycle) FROM history")

    result = await world.do(undo, number)

    assert (result.refused, world.contents) == ([], before)


async def test_edit_that_changes_nothing_writes_nothing(world):
    """And begins no cycle."""
    report = await world.do(edit, key("a"), Edit(reason=RUN.reason), EXPECT)

    assert counted(report) == written()
    assert world.writes.left == world.writes.right == []


@pytest.mark.parametrize("sides", [("left",), ("left", "right")], ids=["one side", "both sides"])
async def test_edit_of_a_record_that_has_changed_is_refused(world, sides):
    """Nothing is written, whichever side has changed."""
    for side in sides:
        getattr(world, side).put(PROJECT, change(RUN, outcome="theirs"))

    with pytest.raises(PlanChanged, match="look at it again"):
        await world.do(edit, key("a"), Edit(outcome="mine"), EXPECT)

    assert world.writes.left == world.writes.right == []


@pytest.mark.parametrize("side", ["left", "right"])
async def test_edit_of_a_record_that_is_gone_is_refused(world, side):
    """It is not made again."""
    getattr(world, side).remove(PROJECT, "a")

    with pytest.raises(PlanChanged):
        await world.do(edit, key("a"), Edit(outcome="mine"), EXPECT)


async def test_edit_during_the_write_is_reported(world):
    """As a failure that says what to do; the edit of the other program stays."""
    keep_editing(world.left, change(RUN, outcome="theirs"))

    report = await world.do(edit, key("a"), Edit(outcome="mine"), EXPECT)

    assert [sentence(each.why) for each in report.failed] == ["it changed during the edit; edit it again"]
    assert world.left.records[key("a")].outcome == "theirs"


async def test_edit_of_a_one_way_pair_is_refused(world):
    """Its source is never written."""
    with pytest.raises(UsageError, match="syncs one way"):
        await world.do(edit, key("a"), Edit(reason="x"), EXPECT, policy={"mode": Mode.LEFT_TO_RIGHT})


async def test_edit_of_a_store_that_only_is_read_is_refused(world):
    """It says why nothing is written there."""
    world.right.capabilities = Capabilities(True, None, True, read_only="it belongs to an old Sumatra")

    with pytest.raises(UsageError, match="right store of pair pair: it belongs to an old Sumatra"):
        await world.do(edit, key("a"), Edit(reason="x"), EXPECT)


async def test_edit_of_an_unfinished_run_is_refused(tmp_path):
    """smt run would save its own state over it."""
    running = record("r", tags=RUNNING, duration=None)
    world = World(tmp_path)
    for side in SIDES:
        world[side].put(PROJECT, running)

    with pytest.raises(UsageError, match="is not over"):
        await world.do(edit, key("r"), Edit(reason="x"), canonical.digest(running).hex())
