"""What users do between a crash and the end of the recovery is not lost."""

from __future__ import annotations

import anyio
import pytest

from smtd.engine import recovery
from smtd.engine.resolve import Resolution, resolve
from smtd.errors import StoreUnreachable
from smtd.journal.decisions import Choice
from smtd.stores.base import Capabilities
from tests.build import PROJECT, change, commented, full, key, record, tagged
from tests.engine.world import (
    TestStore,
    World,
    alike,
    counts,
    crash_after_write,
    keep_editing,
    written,
)

A, B, C = record("a"), record("b"), record("c")
MOMENTS = ["after scan", "after read", "before write"]
at_any_moment = pytest.mark.parametrize("moment", MOMENTS)


@pytest.fixture
async def crashed(world):
    """Two stores with a comment that was copied to the right, where the process ended after the write."""
    await world.synced(A, B)
    world.left.put(PROJECT, commented(A, "left"))
    await world.crash(world.right)
    return world


@at_any_moment
async def test_edit_during_recovery_does_not_become_the_baseline(crashed, moment):
    """smtd first sees it while it recovers: only one side has it."""
    crashed.left.put(PROJECT, commented(commented(A, "left"), "after the crash"))
    crashed.right.meanwhile[moment] = lambda: crashed.right.put(
        PROJECT, tagged(commented(commented(A, "left"), "meanwhile"), "good")
    )

    await crashed.cycle()
    report = await crashed.cycle()

    assert report.ok
    assert crashed.contents.left == crashed.contents.right
    assert sorted(crashed.left.records[key("a")].outcome.split("\n")) == [
        "after the crash",
        "left",
        "meanwhile",
    ]
    assert crashed.left.records[key("a")].tags == {"_finished_", "good"}


async def test_edit_of_a_new_record_during_recovery_loses_no_words(world):
    """What smtd saw of it a moment before does not become the baseline."""
    await world.synced(B)
    world.left.put(PROJECT, A)
    await world.crash(world.right)
    world.left.put(PROJECT, commented(A, "after the crash"))
    world.right.meanwhile["after read"] = lambda: world.right.put(PROJECT, tagged(A, "meanwhile"))

    await world.cycle()
    report = await world.cycle()

    assert (report.ok, world.contents.left) == (True, world.contents.right)
    found = world.left.records[key("a")]
    assert ("after the crash" in found.outcome, "meanwhile" in found.tags) == (True, True)


async def test_dry_run_after_a_crash_answers_although_a_record_changes(crashed):
    """While the dry run looks at what the crash left."""
    crashed.right.put(PROJECT, commented(commented(A, "left"), "after the crash"))
    crashed.right.meanwhile["after scan"] = lambda: crashed.right.put(
        PROJECT, tagged(commented(A, "left"), "meanwhile")
    )

    report = await crashed.cycle(dry_run=True)

    assert (report.ok, report.in_sync, counts(report)) == (True, 2, written(left=(0, 1, 0)))
    assert crashed.writes.left == []


async def test_edits_before_and_during_recovery_are_copied_together(crashed):
    """A user edits a record after a crash, and once more while smtd looks at it."""
    crashed.right.put(PROJECT, commented(commented(A, "left"), "after the crash"))
    crashed.right.meanwhile["after scan"] = lambda: crashed.right.put(
        PROJECT, tagged(commented(A, "left"), "meanwhile")
    )

    report = await crashed.cycle()

    assert report.ok
    assert crashed.contents == alike(tagged(commented(A, "left"), "meanwhile"), B)


async def test_record_that_changes_during_recovery_holds_back_no_other(crashed):
    """It does not stop the pair."""
    crashed.right.put(PROJECT, commented(commented(A, "left"), "after the crash"))
    crashed.left.put(PROJECT, C)
    keep_editing(crashed.right, A, "after scan")

    report = await crashed.cycle()

    assert crashed.right.records[key("c")] == C
    assert {failure.label for failure in report.failed} <= {"a"}


async def test_crash_is_recovered_from_project_by_project(world):
    """A cycle of one project leaves the open writes of another project to that one's own cycle."""
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
    """A store that writes a record in steps."""

    capabilities = Capabilities(exclusive_writes=True, batch=None, keeps_opaque=True, atomic_updates=False)


HALF = full("a", output_data=(), dependencies=())


async def die_in_the_middle(world, half):
    """Make the right store of *world* fail when it has *half* a record, or none."""

    def die():
        if half is None:
            world.right.remove(PROJECT, "a")
        else:
            world.right.put(PROJECT, half)
        raise StoreUnreachable("it is gone")

    world.right.meanwhile["before write"] = die
    with pytest.raises(StoreUnreachable, match="it is gone"):
        await world.cycle()


@pytest.fixture
async def stepwise(tmp_path):
    """A pair whose right store failed in the middle of a new record."""
    made = World(tmp_path, right=StepwiseStore("right"))
    made.left.put(PROJECT, full("a"))
    await die_in_the_middle(made, HALF)
    return made


@pytest.fixture
async def stepwise_in_sync(tmp_path):
    """A pair with such a store, in sync, and an edit to be copied there."""
    made = await World(tmp_path, right=StepwiseStore("right")).synced(full("a"))
    made.left.put(PROJECT, tagged(full("a"), "edited"))
    return made


async def test_half_written_record_is_completed(stepwise, monkeypatch):
    """It is neither a conflict nor an edit."""
    monkeypatch.setattr(recovery, "ABANDONED_AFTER", 0.0)
    assert stepwise.right.records == {key("a"): HALF}

    assert not (await stepwise.cycle(dry_run=True)).conflicts
    assert stepwise.right.records == {key("a"): HALF}
    report = await stepwise.cycle()

    assert report.ok
    assert stepwise.contents.left == stepwise.contents.right
    assert stepwise.right.records[key("a")].output_data == full("a").output_data


async def test_record_that_a_store_is_still_writing_is_left_alone(stepwise, monkeypatch):
    """Recovery does not disturb the store."""

    async def wait(seconds):
        assert seconds == recovery.ABANDONED_AFTER
        stepwise.right.put(PROJECT, full("a"))

    monkeypatch.setattr(anyio, "sleep", wait)

    report = await stepwise.cycle()

    assert report.ok
    assert [each for each in stepwise.right.changes if each.record is not None] == []
    assert stepwise.contents.left == stepwise.contents.right


async def test_record_that_differs_beyond_the_missing_parts_is_a_conflict(stepwise, monkeypatch):
    """It was created by another program."""
    monkeypatch.setattr(recovery, "ABANDONED_AFTER", 0.0)
    stepwise.right.put(PROJECT, change(HALF, stdout_stderr="another run"))

    report = await stepwise.cycle()

    assert [each.label for each in report.conflicts] == ["a"]
    assert stepwise.right.records[key("a")].stdout_stderr == "another run"


async def test_record_deleted_by_an_interrupted_replacement_is_restored(stepwise_in_sync):
    """The store deletes a record before it writes the new one: that is no deletion."""
    world = stepwise_in_sync
    await die_in_the_middle(world, None)
    assert not (await world.cycle(dry_run=True)).held
    assert world.right.records == {}

    report = await world.cycle()

    assert (report.ok, world.left.records[key("a")]) == (True, tagged(full("a"), "edited"))
    assert world.contents.left == world.contents.right


async def test_record_half_written_by_an_interrupted_replacement_is_restored(stepwise_in_sync, monkeypatch):
    """smtd restores the previous record, and then makes the change."""
    monkeypatch.setattr(recovery, "ABANDONED_AFTER", 0.0)
    world = stepwise_in_sync
    await die_in_the_middle(world, tagged(HALF, "edited"))

    report = await world.cycle()

    assert report.ok
    assert world.contents.left == world.contents.right
    assert world.right.records[key("a")] == tagged(full("a"), "edited")


async def test_new_record_replaced_on_both_sides_after_a_crash_is_a_conflict(world):
    """smtd cannot know what it wrote, so there is no common ancestor."""
    world.left.put(PROJECT, record("a"))
    await world.crash(world.right)
    world.left.put(PROJECT, record("a", version="1111"))
    world.right.put(PROJECT, record("a", version="2222"))

    report = await world.cycle()

    assert [each.fields for each in report.conflicts] == [("version",)]


async def test_record_that_only_the_left_side_got_before_a_crash_is_merged_again(world):
    """A restore, or an alias, goes to both sides; the right one had nothing yet."""
    world.left.put(PROJECT, record("a", version="1111"))
    world.right.put(PROJECT, record("a", version="2222"))
    await world.cycle()
    await world.do(resolve, Resolution(Choice.BOTH))
    await world.crash(world.left)
    assert key("a-2") in world.left.records

    report = await world.cycle()

    assert (report.ok, world.contents.left, report.left.deleted) == (True, world.contents.right, 0)
    assert sorted(each.version for each in world.right.records.values()) == ["1111", "2222"]


async def test_record_that_another_client_created_after_a_request_was_lost_is_a_conflict(world):
    """It has the provenance of the record that smtd was about to create, but never had its words."""
    await world.synced(B)
    world.left.put(PROJECT, commented(A, "ours"))
    await world.crash(world.right, "before write")
    world.right.put(PROJECT, commented(A, "theirs"))

    report = await world.cycle()

    (conflict,) = report.conflicts
    assert (conflict.label, conflict.fields) == ("a", ("outcome",))
    assert (world.left.records[key("a")], world.right.records[key("a")]) == (
        commented(A, "ours"),
        commented(A, "theirs"),
    )


async def test_part_of_a_lost_change_that_another_client_made_does_not_stand_for_all_of_it(world):
    """Two people set the same tag; one of them also wrote a comment, which never reached the store."""
    await world.synced(A)
    world.left.put(PROJECT, tagged(commented(A, "ours"), "good"))
    await world.crash(world.right, "before write")
    world.right.put(PROJECT, tagged(A, "good"))

    report = await world.cycle()

    assert report.ok
    assert world.contents == alike(tagged(commented(A, "ours"), "good"))
