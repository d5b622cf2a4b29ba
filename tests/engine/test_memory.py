"""What a process remembers of a pair: the next cycle decides what has changed, and decides it alike."""

from __future__ import annotations

import msgspec
import pytest

from smtd.engine import plan as planning
from smtd.engine.pair import Policy
from smtd.engine.undo import undo
from smtd.journal.journal import open_journal
from smtd.merge.decide import Mode
from tests.build import PROJECT, RUNNING, change, commented, key, record, tagged
from tests.engine.world import TestStore, World, counts, crash_after_write, written

RECORDS = [record(f"run-{number}") for number in range(9)]
A, B = RECORDS[:2]


@pytest.fixture
def decided(monkeypatch):
    """What keys each draft of a plan was about (None: all)."""
    found = []
    draft = planning.draft

    def drafted(known, policy, keys=None):
        found.append(keys if keys is None else {each.label for each in keys})
        return draft(known, policy, keys)

    monkeypatch.setattr(planning, "draft", drafted)
    return found


@pytest.fixture
async def world(tmp_path):
    """A pair in sync, after a cycle that had nothing to do."""
    world = await World(tmp_path).synced(*RECORDS)
    world.left.put(PROJECT, record("last"))
    await world.cycle()
    world.left.put("Other", record("elsewhere"))
    await world.cycle()
    await world.cycle()
    return world


async def test_only_what_has_changed_is_decided(world, decided):
    """One edit, and a record that is new, of eleven."""
    world.left.put(PROJECT, commented(A, "seen"))
    world.right.put(PROJECT, record("new"))

    report = await world.cycle()

    assert decided == [{"run-0", "new", "elsewhere"}]
    assert (report.ok, report.in_sync, report.projects) == (True, 12, ["MyProject", "Other"])
    assert world.contents.left == world.contents.right


async def test_report_is_that_of_a_cycle_that_looks_at_everything(world, decided, tmp_path):
    """Whatever has happened: new, edited by one or by both, in conflict, still running, of other projects."""
    happenings = [
        lambda: world.left.put(PROJECT, tagged(A, "left")),
        lambda: world.right.put("Third", record("new")),
        lambda: world.right.put(PROJECT, change(B, version="1111")),
        lambda: world.left.put(PROJECT, change(B, version="2222")),
        lambda: world.left.put(PROJECT, record("long", tags=RUNNING, duration=None)),
        lambda: world.right.put(PROJECT, commented(RECORDS[2], "right")),
        lambda: world.left.put(PROJECT, record("long")),
    ]
    for number, happen in enumerate(happenings):
        happen()
        whole = await world.fork(tmp_path / str(number)).cycle()

        report = await world.cycle()

        assert (decided[-2], decided[-1]) != (None, None)
        assert msgspec.to_builtins(report) == msgspec.to_builtins(whole)


async def test_conflict_that_waits_is_listed_again_by_each_cycle(world, decided):
    """It has not changed since."""
    world.left.put(PROJECT, change(A, version="1111"))
    world.right.put(PROJECT, change(A, version="2222"))
    await world.cycle()
    world.left.put(PROJECT, commented(B, "seen"))

    report = await world.cycle()

    assert [conflict.label for conflict in report.conflicts] == ["run-0"]
    assert decided[-1] == {"run-0", "run-1"}


async def test_run_that_is_held_is_carried_when_it_ends(world):
    world.left.put(PROJECT, change(A, tags=RUNNING, duration=None))
    await world.cycle()
    world.left.put(PROJECT, A)

    report = await world.cycle()

    assert (report.held, report.in_sync) == ([], 11)


async def test_absence_is_judged_by_all_that_was_agreed(world, decided):
    """One deletion travels; and all of a store that is emptied are held."""
    world.left.remove(PROJECT, "run-0")
    assert counts(await world.cycle()) == written(right=(0, 0, 1))
    for held in list(world.left.records):
        world.left.remove(held.project, held.label)

    report = await world.cycle()

    assert decided == [None, None]
    assert len(report.held) == 10
    assert len(world.right.records) == 10


@pytest.mark.parametrize("mode", [Mode.LEFT_TO_RIGHT, Mode.RIGHT_TO_LEFT])
async def test_another_policy_is_for_all_records(world, decided, mode):
    """What is allowed now was not decided before."""
    await world.cycle(mode=mode)

    assert decided == [None]


async def test_everything_is_looked_at_after_a_cycle_that_failed(world, decided):
    """Nobody knows what it has left."""
    world.left.put(PROJECT, commented(A, "seen"))
    crash_after_write(world.right)
    with pytest.raises(Exception, match="it is gone"):
        await world.cycle()

    report = await world.cycle()

    assert decided[-1] is None
    assert (report.ok, report.in_sync) == (True, 11)


async def test_everything_is_looked_at_after_a_cycle_of_another_process(world, decided):
    """It may have adopted the pair anew, or undone something."""
    mine, world.memory = world.memory, None
    world.left.put(PROJECT, commented(A, "seen"))
    await world.cycle()
    world.memory = mine
    world.left.put(PROJECT, commented(B, "seen"))

    await world.cycle()

    assert decided == [None, None]


async def test_store_that_was_opened_anew_is_looked_at_whole(world, decided):
    """Its scans go on from none that was seen."""
    fresh = TestStore("left", world.left.records)
    fresh.put(PROJECT, commented(A, "seen"))
    world.left = fresh

    report = await world.cycle()

    assert decided == [None]
    assert report.ok


async def test_project_whose_name_is_no_text_fails_no_cycle(world):
    """It is listed, each time."""
    for store in (world.left, world.right):
        store.put("bad\udcff", record("x"))
    for edit in ("one", "two"):
        world.left.put(PROJECT, commented(A, edit))

        report = await world.cycle()

        assert [failure.project for failure in report.failed] == [r"bad\xff"] or report.failed
        assert report.projects == ["MyProject", "Other"]
        assert report.in_sync == 11


@pytest.mark.parametrize("remembers", [True, False])
async def test_decision_to_let_a_record_rest_is_void_once_both_sides_lost_it(world, remembers):
    """Should it come back, it is new, with a memory and without one."""
    world.memory = world.memory if remembers else None
    world.left.put(PROJECT, record("c"))
    await world.cycle()
    ((cycle,),) = world.journal("SELECT max(cycle) FROM history")
    async with open_journal(world.directory) as journal, journal.pair("left", "right") as known:
        await undo(world.pair(known, Policy()), cycle)
    await world.cycle()
    world.left.remove(PROJECT, "c")
    await world.cycle()
    world.left.put(PROJECT, record("c"))

    report = await world.cycle()

    assert report.held == []
    assert key("c") in world.right.records
