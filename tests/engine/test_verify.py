"""A store that is dear to read is read in turn, so that every edit shows after a while."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smtd.engine.verify import due
from smtd.journal.knowledge import Rotation
from smtd.merge.sides import Side
from smtd.stores.base import Capabilities
from tests.build import PROJECT, key, record, tagged
from tests.engine.world import TestStore, World, counts, on, written

KEYS = [key(label) for label in "abcdef"]
HOUR = 3600.0


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

    found, rotation = due(KEYS, before, 1000.0 + elapsed, HOUR)

    assert (labels(found), rotation) == (expected, Rotation(key(turned), 1000.0 + elapsed))


@pytest.mark.parametrize("elapsed", [0.0, 599.0, -5.0])
def test_time_adds_up_until_it_is_worth_a_record(elapsed):
    """Many short cycles read no less than a few long ones; a clock that was set back reads nothing."""
    before = Rotation(key("a"), 1000.0)

    assert due(KEYS, before, 1000.0 + elapsed, HOUR) == (frozenset(), before)


def test_turn_begins_where_there_is_something_to_read():
    """What has just been read for the first time needs no second look; no time adds up over nothing."""
    assert due(KEYS, None, 1000.0, HOUR) == (frozenset(), Rotation(None, 1000.0))
    assert due([], Rotation(None, 1.0), 1000.0, HOUR) == (frozenset(), Rotation(None, 1000.0))


class DearStore(TestStore):
    """A store that believes what is known of its records, unless they are gone."""

    capabilities = Capabilities(exclusive_writes=True, batch=None, keeps_opaque=True, dear_reads=True)

    async def scan(self, projects=None, *, known=None):
        found = await super().scan(projects)
        trusted = {name: digest for name, digest in known.items() if name in found.digests}
        return replace(found, digests={**found.digests, **trusted})

    async def token(self):
        return None


async def test_edit_in_a_store_that_is_dear_to_read_shows_within_its_time(tmp_path, monkeypatch):
    """A dry run does not use the turn up."""
    now = 1_800_000_000.0
    monkeypatch.setattr("smtd.engine.verify.time.time", lambda: now)
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
