"""After a crash people go on: what they do before and during the restart is theirs."""

from __future__ import annotations

import anyio
import pytest

from smtd.engine import recover
from smtd.errors import StoreUnreachable
from smtd.merge.sides import SIDES, Both
from smtd.stores.base import Capabilities
from tests.build import PROJECT, change, commented, full, key, record, tagged
from tests.engine.world import (
    TestStore,
    World,
    counts,
    crash_after_write,
    holding,
    keep_editing,
    written,
)

A, B, C = record("a"), record("b"), record("c")
both_sides = pytest.mark.parametrize("side", SIDES, ids=["left", "right"])
MOMENTS = ["after scan", "after read", "before write"]
at_any_moment = pytest.mark.parametrize("moment", MOMENTS)


@pytest.fixture
def world(tmp_path):
    """Two empty stores that have never been synced."""
    return World(tmp_path)


@at_any_moment
async def test_edit_while_a_crash_is_recovered_from_is_not_taken_for_common(world, moment):
    """An edit that smtd first sees while it recovers belongs to the person, not to both sides."""
    await world.synced(A, B)
    world.left.put(PROJECT, commented(A, "left"))
    crash_after_write(world.right)
    with pytest.raises(StoreUnreachable, match="it is gone"):
        await world.cycle()
    world.left.put(PROJECT, commented(commented(A, "left"), "after the crash"))
    world.right.meanwhile[moment] = lambda: world.right.put(
        PROJECT, tagged(commented(commented(A, "left"), "meanwhile"), "good")
    )

    await world.cycle()
    report = await world.cycle()

    assert report.ok
    assert world.contents.left == world.contents.right
    assert sorted(world.left.records[key("a")].outcome.split("\n")) == [
        "after the crash",
        "left",
        "meanwhile",
    ]
    assert world.left.records[key("a")].tags == {"_finished_", "good"}


async def test_dry_run_during_which_somebody_edits_after_a_crash_says_what_it_saw(world):
    """A dry run is an answer, also if a record changes while it looks at what a crash left."""
    await world.synced(A, B)
    world.left.put(PROJECT, commented(A, "left"))
    crash_after_write(world.right)
    with pytest.raises(StoreUnreachable, match="it is gone"):
        await world.cycle()
    world.right.put(PROJECT, commented(commented(A, "left"), "after the crash"))
    world.right.meanwhile["after scan"] = lambda: world.right.put(
        PROJECT, tagged(commented(A, "left"), "meanwhile")
    )

    report = await world.cycle(dry_run=True)

    assert (report.ok, report.in_sync, counts(report)) == (True, 2, written(left=(0, 1, 0)))
    assert world.writes.left == []


async def test_edit_while_the_restart_looks_is_carried_with_those_before_it(world):
    """What a person edits after a crash, and once more while smtd looks at it, is one edit."""
    await world.synced(A, B)
    world.left.put(PROJECT, commented(A, "left"))
    crash_after_write(world.right)
    with pytest.raises(StoreUnreachable, match="it is gone"):
        await world.cycle()
    world.right.put(PROJECT, commented(commented(A, "left"), "after the crash"))
    world.right.meanwhile["after scan"] = lambda: world.right.put(
        PROJECT, tagged(commented(A, "left"), "meanwhile")
    )

    report = await world.cycle()

    assert report.ok
    assert world.contents == Both(*[holding(tagged(commented(A, "left"), "meanwhile"), B)] * 2)


async def test_record_that_moves_after_a_crash_keeps_no_other_back(world):
    """One record that changes under smtd's eyes does not stop the pair."""
    await world.synced(A, B)
    world.left.put(PROJECT, commented(A, "left"))
    crash_after_write(world.right)
    with pytest.raises(StoreUnreachable, match="it is gone"):
        await world.cycle()
    world.right.put(PROJECT, commented(commented(A, "left"), "after the crash"))
    world.left.put(PROJECT, C)
    keep_editing(world.right, A, "after scan")

    report = await world.cycle()

    assert world.right.records[key("c")] == C
    assert {failure.label for failure in report.failed} <= {"a"}


async def test_crash_is_recovered_from_project_by_project(world):
    """A cycle of one project leaves what a crash left of another one to its own cycle."""
    world.left.put("Other", B)
    await world.synced(A)
    crash_after_write(world.right)
    world.left.put("Other", C)
    with pytest.raises(StoreUnreachable, match="it is gone"):
        await world.cycle()
    await world.cycle(projects=frozenset({PROJECT}))
    world.left.put("Other", change(C, reason="after the crash"))

    report = await world.cycle()

    assert report.ok
    assert world.contents.left == world.contents.right
    assert world.right.records[key("c", "Other")].reason == "after the crash"


class StepwiseStore(TestStore):
    """A store that makes a record bit by bit."""

    capabilities = Capabilities(exclusive_writes=True, batch=None, keeps_opaque=True, atomic_updates=False)


HALF = full("a", output_data=(), dependencies=())


@pytest.fixture
def stepwise(tmp_path):
    """A pair whose right store dies in the middle of a new record."""
    made = World(tmp_path, right=StepwiseStore("right"))
    made.left.put(PROJECT, full("a"))

    def die():
        made.right.put(PROJECT, HALF)
        raise StoreUnreachable("it is gone")

    made.right.meanwhile["before write"] = die
    return made


async def test_half_a_record_is_made_whole(stepwise, monkeypatch):
    """What a store left in the middle of a record is neither a conflict nor an edit."""
    monkeypatch.setattr(recover, "SETTLED", 0.0)
    with pytest.raises(StoreUnreachable, match="it is gone"):
        await stepwise.cycle()
    assert stepwise.right.records == {key("a"): HALF}

    assert not (await stepwise.cycle(dry_run=True)).conflicts
    assert stepwise.right.records == {key("a"): HALF}
    report = await stepwise.cycle()

    assert report.ok
    assert stepwise.contents.left == stepwise.contents.right
    assert stepwise.right.records[key("a")].output_data == full("a").output_data


async def test_half_a_record_that_grows_is_left_alone(stepwise, monkeypatch):
    """A store that is still at it is not disturbed."""

    async def wait(seconds):
        assert seconds == recover.SETTLED
        stepwise.right.put(PROJECT, full("a"))

    with pytest.raises(StoreUnreachable, match="it is gone"):
        await stepwise.cycle()
    monkeypatch.setattr(anyio, "sleep", wait)

    report = await stepwise.cycle()

    assert report.ok
    assert [each for each in stepwise.right.changes if each.record is not None] == []
    assert stepwise.contents.left == stepwise.contents.right


async def test_what_lacks_more_than_a_store_leaves_out_is_a_conflict(stepwise, monkeypatch):
    """A record that says anything else is somebody's own."""
    monkeypatch.setattr(recover, "SETTLED", 0.0)
    with pytest.raises(StoreUnreachable, match="it is gone"):
        await stepwise.cycle()
    stepwise.right.put(PROJECT, change(HALF, stdout_stderr="another run"))

    report = await stepwise.cycle()

    assert [each.label for each in report.conflicts] == ["a"]
    assert stepwise.right.records[key("a")].stdout_stderr == "another run"
