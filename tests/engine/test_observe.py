"""A store's contents are in its index: a cycle decides what has changed, whichever process has seen it."""

from __future__ import annotations

import random

import msgspec
import pytest
from anyio import to_thread

from smtd.engine import plan as planning
from smtd.engine.undo import undo
from smtd.errors import StoreUnreachable
from smtd.journal.index import StoreIndex
from smtd.merge.decide import Mode
from tests.build import PROJECT, RUNNING, change, commented, key, record, tagged
from tests.engine.servers import ServerStore
from tests.engine.world import RefusingStore, TestStore, UnlockedStore, World, counts, written
from tests.sampling import SOAK, sampled

RECORDS = [record(f"run-{number}") for number in range(9)]
A, B, C, D = RECORDS[:4]


@pytest.fixture
def decided(monkeypatch):
    """Return the list of the keys that each plan was about (None: all)."""
    found = []
    draft = planning.build_plan

    def drafted(known, policy, keys=None):
        found.append(keys if keys is None else {each.label for each in keys})
        return draft(known, policy, keys)

    monkeypatch.setattr(planning, "build_plan", drafted)
    return found


@pytest.fixture
async def world(tmp_path):
    """A pair in sync, with records of two projects."""
    world = await World(tmp_path / "world").synced(*RECORDS)
    world.left.put("Other", record("elsewhere"))
    await world.cycle()
    reset(world)
    return world


def reset(world):
    """Count looks from now on."""
    world.left.scans = world.right.scans = 0


def looks(world):
    """Return how often each store was looked at since `reset`."""
    return world.left.scans, world.right.scans


def another_process(world):
    """Make the next cycle one of a process that has seen neither store."""
    world.left, world.right = world.left.copy(), world.right.copy()


def go_on(_world):
    """Make the next cycle one of the same process."""


whoever = pytest.mark.parametrize("then", [go_on, another_process])


@whoever
async def test_cycle_decides_only_changed_keys(world, decided, then):
    """One edited and one new record, of ten."""
    then(world)
    world.left.put(PROJECT, commented(A, "seen"))
    world.right.put(PROJECT, record("new"))

    report = await world.cycle()

    assert decided == [{"run-0", "new"}]
    assert (report.ok, report.in_sync, report.projects) == (True, 11, ["MyProject", "Other"])
    assert world.contents.left == world.contents.right


@whoever
@pytest.mark.parametrize("side", ["left", "right"])
async def test_unchanged_side_is_not_looked_at(world, side, then):
    then(world)
    reset(world)
    store = getattr(world, side)
    store.put(PROJECT, commented(A, "seen"))
    store.put(PROJECT, record("new"))
    store.remove(PROJECT, B.label)

    report = await world.cycle()

    other = "right" if side == "left" else "left"
    assert looks(world) == ((1, 0) if side == "left" else (0, 1))
    assert counts(report) == written(**{other: (1, 1, 1)})
    assert (report.ok, report.in_sync, report.left.records, report.right.records) == (True, 10, 10, 10)
    assert world.contents.left == world.contents.right


@whoever
async def test_own_writes_cause_no_look(world, decided, then):
    """Nor are they decided again."""
    world.left.put(PROJECT, record("new"))
    await world.cycle()
    then(world)
    reset(world)
    decided.clear()

    report = await world.cycle()

    assert (looks(world), decided) == ((0, 0), [])
    assert (report.ok, report.in_sync, report.right.written) == (True, 11, 0)


@pytest.mark.parametrize(
    ("then", "moment"),
    [
        (go_on, "after scan"),
        (go_on, "before write"),
        (another_process, "after resume"),
        (another_process, "before write"),
    ],
)
@pytest.mark.parametrize("deed", ["same", "another", "away"])
async def test_edit_during_a_cycle_is_not_lost(world, moment, deed, then):
    """The same cycle merges it, or the next one copies it."""

    def edit():
        if deed == "away":
            world.right.remove(PROJECT, A.label)
        else:
            world.right.put(PROJECT, tagged(A if deed == "same" else B, "right"))

    then(world)
    world.left.put(PROJECT, commented(A, "left"))
    world.right.meanwhile[moment] = edit

    await world.cycle()
    await world.cycle()
    await world.cycle()

    assert world.left.records[key("run-0")].outcome == "left"
    assert world.contents.left == world.contents.right


@whoever
async def test_edit_and_its_reversal_are_both_synced(world, then):
    """A, B, and A again: the second A is copied, too."""
    states = []
    for one in (commented(A, "once"), A, commented(A, "once"), A):
        world.left.put(PROJECT, one)
        await world.cycle()
        then(world)
        states.append(world.right.records[key("run-0")])

    assert states == [commented(A, "once"), A, commented(A, "once"), A]


async def test_report_equals_that_of_a_cycle_without_an_index(world, decided, tmp_path):
    """With new, edited, conflicting and unfinished records, and records of other projects."""
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
        whole = await world.forgetful(tmp_path / str(number)).cycle()

        report = await world.cycle()

        assert (decided[-2], decided[-1] is None) == (None, False)
        assert msgspec.to_builtins(report) == msgspec.to_builtins(whole)


@pytest.mark.parametrize(("gone", "new"), [(11, 40), (9, 100), (3, 20)])
async def test_interrupted_cycle_hides_no_deletion(tmp_path, gone, new):
    """The next one holds as many as the first one would have."""
    world = await World(tmp_path / "world").synced(*RECORDS, record("last"), record("very last"))
    for held in sorted(world.left.records)[:gone]:
        world.left.remove(*held)
    for number in range(new):
        world.left.put(PROJECT, record(f"new-{number}"))
    whole = world.forgetful(tmp_path / "whole")
    expected = await whole.cycle()
    world.right.meanwhile["before write"] = broken
    with pytest.raises(StoreUnreachable):
        await world.cycle()
    another_process(world)

    report = await world.cycle()

    assert len(report.held) == len(expected.held)
    assert report.right.deleted == expected.right.deleted


def broken():
    """Raise an error."""
    raise StoreUnreachable("it is locked")


@pytest.mark.parametrize("mode", [Mode.LEFT_TO_RIGHT, Mode.RIGHT_TO_LEFT])
async def test_new_policy_applies_to_what_the_old_one_left(world, mode):
    """What is permitted now is done now."""
    forbidden = Mode.RIGHT_TO_LEFT if mode is Mode.LEFT_TO_RIGHT else Mode.LEFT_TO_RIGHT
    source = world.left if mode is Mode.LEFT_TO_RIGHT else world.right
    source.put(PROJECT, commented(A, "seen"))
    assert not (await world.cycle(mode=forbidden)).wrote

    await world.cycle(mode=mode)

    assert world.left.records[key("run-0")] == world.right.records[key("run-0")] == commented(A, "seen")


async def test_newly_synced_projects_are_looked_at_whole(world):
    """Earlier changes there are synced."""
    only = frozenset({PROJECT})
    world.left.put("Other", commented(record("elsewhere"), "meanwhile"))
    world.left.put("Third", record("new"))
    await world.cycle(projects=only)
    world.left.put(PROJECT, commented(A, "seen"))
    await world.cycle(projects=only)
    assert world.contents.left != world.contents.right

    report = await world.cycle()

    assert (report.ok, report.in_sync, report.projects) == (True, 11, ["MyProject", "Other", "Third"])
    assert world.contents.left == world.contents.right


async def test_reopened_store_is_looked_at_whole(world, decided):
    """Its scans have no predecessor; still only changed keys are decided."""
    fresh = TestStore("left", world.left.records)
    fresh.put(PROJECT, commented(A, "seen"))
    world.left = fresh

    report = await world.cycle()

    assert (decided, report.ok) == ([{"run-0"}], True)


async def test_project_name_that_is_not_text_fails_no_cycle(world):
    """Every cycle reports it."""
    for store in (world.left, world.right):
        store.put("bad\udcff", record("x"))
    for edit in ("one", "two", "three"):
        world.left.put(PROJECT, commented(A, edit))

        report = await world.cycle()

        assert [failure.project for failure in report.failed] == ["bad\\udcff"]
        assert report.projects == ["MyProject", "Other"]
        assert report.in_sync == 10


@whoever
async def test_pin_of_a_record_ends_when_both_sides_delete_it(world, then):
    """If it comes back, it is new."""
    world.left.put(PROJECT, record("c"))
    await world.cycle()
    ((cycle,),) = world.journal("SELECT max(cycle) FROM history")
    await world.do(undo, cycle)
    await world.cycle()
    world.left.remove(PROJECT, "c")
    await world.cycle()
    then(world)
    world.left.put(PROJECT, record("c"))

    report = await world.cycle()

    assert report.held == []
    assert key("c") in world.right.records


@whoever
async def test_refused_write_is_retried_only_when_it_is_due(tmp_path, then):
    """And not with each new record."""
    world = await World(tmp_path, right=RefusingStore("right")).synced(*RECORDS)
    RefusingStore.refused = frozenset({"bad"})
    try:
        world.left.put(PROJECT, record("bad"))
        await world.cycle(force_retry=False)
        then(world)
        world.right.changes.clear()
        world.left.put(PROJECT, record("new"))

        report = await world.cycle(force_retry=False)
    finally:
        RefusingStore.refused = frozenset()

    assert [failure.label for failure in report.failed] == ["bad"]
    assert world.writes.right == ["new"]


@pytest.mark.parametrize("report", ["x'92c0ffee'", "x'a2ff'", "x''"])
async def test_undecodable_report_stops_no_cycle(world, report):
    """Without it the next cycle looks, and finds nothing to do."""
    world.change_journal(f"UPDATE checkpoint SET report = {report}")

    idle = await world.cycle()
    world.change_journal(f"UPDATE checkpoint SET report = {report}")
    world.left.put(PROJECT, record("new"))
    after = await world.cycle()

    assert (idle.in_sync, after.in_sync) == (10, 11)


KINDS = [TestStore, UnlockedStore, ServerStore]


@whoever
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", sampled(range(20), 7))
async def test_random_changes_are_decided_as_without_an_index(tmp_path, kind, seed, then):
    """Anything may happen between two cycles; the reports and the stores are the same."""
    chance = random.Random(seed)
    world = await World(tmp_path / "world", right=kind("right")).synced(*RECORDS)
    for turn in range(6 if SOAK else 3):
        for _ in range(chance.randint(1, 4)):
            happen(chance, world, turn, with_server=kind is ServerStore)
        forgetful = world.forgetful(tmp_path / str(turn))
        whole = await forgetful.cycle(force_retry=False)
        then(world)

        report = await world.cycle(force_retry=False)

        assert told(report) == told(whole)
        assert world.contents == forgetful.contents


def told(report):
    """Return *report* without the time of the next read, which is random."""
    return msgspec.to_builtins(msgspec.structs.replace(report, again=None))


def happen(chance, world, turn, *, with_server):
    """Make a random change to one of the stores; an edit on a server shows only when it is read again."""
    store = chance.choice((world.left, world.right))
    there = sorted(store.records)
    whats = ("add", "add", "edit", "tag", "remove", "conflict", "run", "again")
    what = chance.choice(("add", "remove") if with_server and store is world.right else whats)
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


# Pairs with a common store


@pytest.fixture
async def hub(world):
    """Three pairs that share their left store, in sync."""
    pairs = [world] + [World(world.directory, world.left, TestStore(name)) for name in ("second", "third")]
    for each in pairs:
        await each.cycle()
    reset(world)
    return pairs


@whoever
async def test_change_in_a_shared_store_needs_one_look(hub, then):
    """Each pair sees all of it."""
    store = hub[0].left
    store.put(PROJECT, commented(A, "seen"))
    store.put(PROJECT, record("new"))
    store.remove(PROJECT, "run-1")
    if then is another_process:
        for each in hub:
            each.left = store.copy()

    reports = [await each.cycle() for each in hub]

    scans = store.scans + sum(each.left.scans for each in hub if each.left is not store)
    assert scans == 1
    assert [counts(report) for report in reports] == [written(right=(1, 1, 1))] * 3
    assert {each.contents.right == hub[0].contents.left for each in hub} == {True}


async def test_write_of_one_pair_to_a_shared_store_is_copied_by_the_others(hub):
    """Without a look: the index has the write."""
    first, second, third = hub
    first.right.put(PROJECT, commented(A, "first"))
    await first.cycle()

    for each in (second, third):
        await each.cycle()

    assert looks(first) == (0, 1)
    assert second.right.records[key("run-0")] == third.right.records[key("run-0")] == commented(A, "first")


async def test_change_seen_by_another_pair_while_a_cycle_begins_is_synced(hub, monkeypatch):
    first, second, _ = hub
    head, turns = StoreIndex.head, iter([True])

    async def after_another_look(index, projects):
        if index.identity == first.left.location and next(turns, False):
            first.left.put(PROJECT, commented(A, "seen"))
            await second.cycle()
        return await head(index, projects)

    monkeypatch.setattr(StoreIndex, "head", after_another_look)
    await first.cycle()

    assert first.contents.right == first.contents.left


async def test_look_of_another_pair_ends_no_conflict(hub):
    """A pair with a conflict reports it, whichever pair looks at the store in between."""
    first, second, _ = hub
    first.left.put(PROJECT, change(A, version="1111"))
    first.right.put(PROJECT, change(A, version="2222"))
    listed = []
    for label in ("one", "two", "three"):
        first.left.put(PROJECT, record(label))
        await second.cycle()
        listed += [[each.label for each in (await first.cycle()).conflicts]]

    assert listed == [["run-0"]] * 3
    assert second.right.records[key("run-0")].version == "1111"


async def test_pair_that_was_paused_for_long_gets_all_changes_at_once(hub):
    """Other pairs have already seen them all, and more."""
    first, second, third = hub
    for number in range(5):
        first.left.put(PROJECT, record(f"new-{number}"))
        await second.cycle()
    first.left.remove(PROJECT, "new-0")
    await second.cycle()

    report = await third.cycle()

    assert counts(report) == written(right=(4, 0, 0))
    assert third.contents.right == first.contents.left


@pytest.mark.parametrize("side", ["left", "right"])
async def test_look_overtaken_by_another_process_is_repeated(world, side):
    """smtd cannot tell which of the two was later."""
    store = getattr(world, side)
    store.put(PROJECT, commented(A, "seen"))
    look = store.scan

    async def overtaken(projects):
        store.scan = look
        found = await look(projects)
        await to_thread.run_sync(world.change_journal, "UPDATE store SET seq = seq + 1")
        return found

    store.scan = overtaken
    await world.cycle()
    reset(world)

    report = await world.cycle()

    assert getattr(world, side).scans == 1
    assert (report.ok, report.in_sync) == (True, 10)
    assert world.left.records[key("run-0")] == world.right.records[key("run-0")] == commented(A, "seen")
