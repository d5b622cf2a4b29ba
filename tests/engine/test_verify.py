"""A store where each read costs a request is read in turn, so that every edit shows after a while."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smtd.engine import cycle
from smtd.engine.costly_reads import next_turn
from smtd.engine.explain import explain
from smtd.engine.resolve import Resolution, resolve
from smtd.engine.undo import undo
from smtd.journal.checkpoint import Rotation
from smtd.journal.decisions import Choice
from smtd.merge.sides import Side
from smtd.output.english import sentence
from smtd.records.canonical import digest
from smtd.stores.base import Capabilities
from tests.build import PROJECT, change, key, record, tagged
from tests.engine.servers import believe
from tests.engine.world import RefusingStore, TestStore, World, counts, on, written

KEYS = [key(label) for label in "abcdef"]
HOUR = 3600.0
OLD = record("a", version="0000")


def labels(keys):
    """Return the labels of *keys*, sorted."""
    return "".join(sorted(each.label for each in keys))


@pytest.mark.parametrize(
    ("after", "elapsed", "expected", "turned"),
    [
        (None, 600.0, "a", "a"),
        ("a", 600.0, "b", "b"),
        ("a", 1800.0, "bcd", "d"),
        ("e", 1200.0, "af", "a"),
        ("f", 600.0, "a", "a"),
        ("bb", 600.0, "c", "c"),
        ("c", HOUR, "abcdef", "c"),
        ("c", 99 * HOUR, "abcdef", "c"),
    ],
)
def test_number_of_rereads_grows_with_the_elapsed_time(after, elapsed, expected, turned):
    """In the order of their keys, from where the rotation is; all of them within the hour."""
    before = Rotation(None if after is None else key(after), 1000.0)

    found, rotation = next_turn(KEYS, before, 1000.0 + elapsed, HOUR, most=6)

    assert (labels(found), rotation) == (expected, Rotation(key(turned), 1000.0 + elapsed))


@pytest.mark.parametrize(("elapsed", "most"), [(0.0, 6), (599.0, 6), (-5.0, 6), (HOUR, 0)])
def test_elapsed_time_adds_up_until_a_record_may_be_read(elapsed, most):
    """Many short cycles read as much as a few long ones; a clock that was set back reads nothing."""
    before = Rotation(key("a"), 1000.0)

    assert next_turn(KEYS, before, 1000.0 + elapsed, HOUR, most) == (frozenset(), before)


@pytest.mark.parametrize(("most", "expected", "turned"), [(2, "bc", "c"), (1, "b", "b")])
def test_rotation_reads_no_more_than_permitted(most, expected, turned):
    """The rest is read when the rotation gets there; the elapsed time is used up."""
    found, rotation = next_turn(KEYS, Rotation(key("a"), 1000.0), 1000.0 + HOUR, HOUR, most)

    assert (labels(found), rotation) == (expected, Rotation(key(turned), 1000.0 + HOUR))


def test_rotation_begins_with_the_first_records():
    """They were just read for the first time, so nothing is due; without records no time adds up."""
    assert next_turn(KEYS, None, 1000.0, HOUR, most=6) == (frozenset(), Rotation(None, 1000.0))
    assert next_turn([], Rotation(None, 1.0), 1000.0, HOUR, most=6) == (frozenset(), Rotation(None, 1000.0))


@pytest.fixture(autouse=True)
def only_the_turn(monkeypatch):
    """Make cycles read records only in rotation."""
    believe(monkeypatch)


class CostlyReadStore(TestStore):
    """A store that trusts known records, unless they are gone."""

    capabilities = Capabilities(exclusive_writes=True, batch=None, keeps_opaque=True, costly_reads=True)

    async def scan(self, projects=None, *, known=None):
        found = await super().scan(projects)
        trusted = {name: digest for name, digest in known.items() if name in found.digests}
        return replace(found, digests={**found.digests, **trusted})

    async def token(self):
        return None


async def disputed(directory):
    """Return a world whose last cycle has reported a conflict with the server about *OLD*."""
    world = await World(directory, right=CostlyReadStore("right")).synced(OLD)
    world.left.put(PROJECT, change(OLD, version="1111"))
    world.right.put(PROJECT, change(OLD, version="2222"))
    assert len((await world.cycle()).conflicts) == 1
    return world


async def test_edit_on_a_server_shows_within_the_configured_time(tmp_path, monkeypatch):
    """A dry run does not move the rotation."""
    now = 1_800_000_000.0
    monkeypatch.setattr("smtd.engine.costly_reads.time.time", lambda: now)
    made = World(tmp_path, right=CostlyReadStore("right"))
    world = await made.synced(*(record(label) for label in "abcdef"))
    await world.cycle()
    world.right.put(PROJECT, tagged(record("b"), "edited"))

    found = []
    for _ in range(2):
        now += 600.0
        found.append(counts(await world.cycle(dry_run=True)))
        found.append(counts(await world.cycle()))

    assert found == [written(), written(), on(Side.LEFT, updated=1), on(Side.LEFT, updated=1)]


async def test_every_command_sees_a_reported_conflict(tmp_path):
    """It reads the server's side again, although a scan would trust what was agreed."""
    world = await disputed(tmp_path)

    plan = await world.cycle(dry_run=True)
    told = await world.do(explain, key("a"))
    keys = await world.do(resolve, Resolution(Choice.LEFT))
    report = await world.cycle()

    assert [each.label for each in plan.conflicts] == ["a"]
    assert counts(plan) == written()
    assert told.right == digest(change(OLD, version="2222")).hex()[:12]
    assert sentence(told.rule) == "both sides changed version"
    assert (keys, counts(report)) == ([key("a")], on(Side.RIGHT, updated=1))
    assert world.contents.right == world.contents.left


async def test_cycle_reads_again_what_its_expected_plan_had_read(tmp_path):
    """Otherwise a scan would trust the old state, and the plan would differ."""
    world = await disputed(tmp_path)
    world.left.put(PROJECT, record("b"))
    plan = await world.cycle(dry_run=True)

    report = await world.do(cycle.run, expected_plan=plan.plan)

    assert (counts(report), len(report.conflicts)) == (on(Side.RIGHT, created=1), 1)


async def test_undo_sees_later_edits_on_the_server(tmp_path):
    """It refuses that record, and says why, even in a dry run."""
    world = await World(tmp_path, right=CostlyReadStore("right")).synced(OLD)
    world.left.put(PROJECT, tagged(OLD, "once"))
    await world.cycle()
    world.right.put(PROJECT, tagged(OLD, "once", "twice"))
    (number,) = world.journal("SELECT max(cycle) FROM history")[0]

    result = await world.do(undo, number, dry_run=True)

    assert (result.done, [each.label for each in result.refused]) == ([], ["a"])


async def test_failure_that_only_the_server_shows_stays_in_every_report(tmp_path, monkeypatch):
    """An edit on the server that the other side cannot hold is a failure of every cycle, not of one."""
    now = 1_800_000_000.0
    monkeypatch.setattr("smtd.engine.costly_reads.time.time", lambda: now)
    left = RefusingStore("left")
    made = World(tmp_path, left, CostlyReadStore("right"))
    world = await made.synced(OLD)
    left.refused = frozenset({"a"})
    world.right.put(PROJECT, tagged(OLD, "edited"))
    await world.cycle()
    now += HOUR

    failed = [[each.label for each in (await world.cycle()).failed] for _ in range(4)]

    assert failed == [["a"]] * 4
