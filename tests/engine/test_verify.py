"""A store that is dear to read is read in turn, so that every edit shows after a while."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smtd.engine import cycle
from smtd.engine.explain import explain
from smtd.engine.resolve import Resolution, resolve
from smtd.engine.scrub.pace import next_turn
from smtd.engine.undo import undo
from smtd.journal.decisions import Choice
from smtd.journal.values import Rotation
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
def test_as_many_records_are_read_anew_as_time_has_passed(after, elapsed, expected, turned):
    """In order of their keys, from where the turn had come; all of them within the hour."""
    before = Rotation(None if after is None else key(after), 1000.0)

    found, rotation = next_turn(KEYS, before, 1000.0 + elapsed, HOUR, most=6)

    assert (labels(found), rotation) == (expected, Rotation(key(turned), 1000.0 + elapsed))


@pytest.mark.parametrize("elapsed", [0.0, 599.0, -5.0])
def test_time_adds_up_until_it_is_worth_a_record(elapsed):
    """Many short cycles read no less than a few long ones; a clock that was set back reads nothing."""
    before = Rotation(key("a"), 1000.0)

    assert next_turn(KEYS, before, 1000.0 + elapsed, HOUR, most=6) == (frozenset(), before)


@pytest.mark.parametrize(("most", "expected", "turned"), [(2, "bc", "c"), (1, "b", "b")])
def test_turn_reads_no_more_than_it_may(most, expected, turned):
    """The rest waits until the turn comes there; the time for it is over."""
    found, rotation = next_turn(KEYS, Rotation(key("a"), 1000.0), 1000.0 + HOUR, HOUR, most)

    assert (labels(found), rotation) == (expected, Rotation(key(turned), 1000.0 + HOUR))


def test_turn_that_may_read_nothing_stands_still():
    """Its time goes on adding up."""
    before = Rotation(key("a"), 1000.0)

    assert next_turn(KEYS, before, 1000.0 + HOUR, HOUR, most=0) == (frozenset(), before)


def test_turn_begins_where_there_is_something_to_read():
    """What has just been read for the first time needs no second look; no time adds up over nothing."""
    assert next_turn(KEYS, None, 1000.0, HOUR, most=6) == (frozenset(), Rotation(None, 1000.0))
    assert next_turn([], Rotation(None, 1.0), 1000.0, HOUR, most=6) == (frozenset(), Rotation(None, 1000.0))


@pytest.fixture(autouse=True)
def only_the_turn(monkeypatch):
    """Let records be read in their turn only."""
    believe(monkeypatch)


class DearStore(TestStore):
    """A store that believes what is known of its records, unless they are gone."""

    capabilities = Capabilities(exclusive_writes=True, batch=None, keeps_opaque=True, dear_reads=True)

    async def scan(self, projects=None, *, known=None):
        found = await super().scan(projects)
        trusted = {name: digest for name, digest in known.items() if name in found.digests}
        return replace(found, digests={**found.digests, **trusted})

    async def token(self):
        return None


async def disputed(directory):
    """Return a world whose last cycle has listed a conflict with the server about *OLD*."""
    world = await World(directory, right=DearStore("right")).synced(OLD)
    world.left.put(PROJECT, change(OLD, version="1111"))
    world.right.put(PROJECT, change(OLD, version="2222"))
    assert len((await world.cycle()).conflicts) == 1
    return world


async def test_edit_in_a_store_that_is_dear_to_read_shows_within_its_time(tmp_path, monkeypatch):
    """A dry run does not use the turn up."""
    now = 1_800_000_000.0
    monkeypatch.setattr("smtd.engine.scrub.server.time.time", lambda: now)
    made = World(tmp_path, right=DearStore("right"))
    world = await made.synced(*(record(label) for label in "abcdef"))
    await world.cycle()
    world.right.put(PROJECT, tagged(record("b"), "edited"))

    found = []
    for _ in range(2):
        now += 600.0
        found.append(counts(await world.cycle(dry_run=True)))
        found.append(counts(await world.cycle()))

    assert found == [written(), written(), on(Side.LEFT, updated=1), on(Side.LEFT, updated=1)]


async def test_every_verb_sees_the_conflict_that_a_cycle_lists(tmp_path):
    """The server's side of a conflict is read again, though a scan trusts what was agreed."""
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


async def test_plan_is_run_although_a_scan_would_trust_what_it_had_read(tmp_path):
    """The cycle that is to do what a plan says looks at what the plan has looked at."""
    world = await disputed(tmp_path)
    world.left.put(PROJECT, record("b"))
    plan = await world.cycle(dry_run=True)

    report = await world.do(cycle.run, expected_plan=plan.plan)

    assert (counts(report), len(report.conflicts)) == (on(Side.RIGHT, created=1), 1)


async def test_undo_sees_what_was_edited_on_the_server_since(tmp_path):
    """It refuses that record, and says why, even in a dry run."""
    world = await World(tmp_path, right=DearStore("right")).synced(OLD)
    world.left.put(PROJECT, tagged(OLD, "once"))
    await world.cycle()
    world.right.put(PROJECT, tagged(OLD, "once", "twice"))
    (number,) = world.journal("SELECT max(cycle) FROM history")[0]

    result = await world.do(undo, number, dry_run=True)

    assert (result.done, [each.label for each in result.refused]) == ([], ["a"])


async def test_what_only_the_server_shows_stays_listed(tmp_path, monkeypatch):
    """An edit on the server that the other side cannot hold is a failure of every cycle, not of one."""
    now = 1_800_000_000.0
    monkeypatch.setattr("smtd.engine.scrub.server.time.time", lambda: now)
    left = RefusingStore("left")
    made = World(tmp_path, left, DearStore("right"))
    world = await made.synced(OLD)
    left.refused = frozenset({"a"})
    world.right.put(PROJECT, tagged(OLD, "edited"))
    await world.cycle()
    now += HOUR

    failed = [[each.label for each in (await world.cycle()).failed] for _ in range(4)]

    assert failed == [["a"]] * 4
