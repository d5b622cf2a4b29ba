"""Which keys a cycle leaves open for the next one although they have not changed."""

from __future__ import annotations

from dataclasses import replace

from smtd.errors import Nameless
from smtd.records.record import Key
from tests.build import PROJECT, RUNNING, record
from tests.engine.test_trouble import unreadable
from tests.engine.world import TestStore, World

LABELS = "abcdefghijklmnop"


class NamelessStore(TestStore):
    """A store with a record without a name."""

    async def scan(self, projects=None):
        found = await super().scan(projects)
        nameless = {Key(PROJECT, "(row 7, without a name)"): Nameless("correct it there")}
        return replace(found, unreadable={**found.unreadable, **nameless})


async def test_record_that_was_never_readable_is_reported_by_every_cycle(tmp_path):
    """It was never agreed on, and is in no other store."""
    world = World(tmp_path)
    world.left.put(PROJECT, record("a"))
    unreadable(world.left, "a")
    first = await world.cycle()
    world.left.put(PROJECT, record("b"))

    second = await world.cycle()

    assert [failure.label for failure in first.failed] == ["a"]
    assert second.failed == first.failed


async def test_nameless_record_of_an_earlier_cycle_still_holds_back_deletions(tmp_path):
    """The missing record may be the one that has lost its name."""
    world = World(tmp_path, left=NamelessStore("left"))
    for label in LABELS:
        world.left.put(PROJECT, record(label))
    await world.cycle()
    world.left.remove(PROJECT, "a")

    report = await world.cycle()

    assert report.right.deleted == 0
    assert {failure.label for failure in report.failed} == {"a", "(row 7, without a name)"}


async def test_name_that_is_not_text_is_reported_only_while_its_record_exists(tmp_path):
    world = await World(tmp_path).synced(record("a"))
    world.left.put("bad\udcff", record("x"))
    assert len((await world.cycle()).failed) == 1
    world.left.remove("bad\udcff", "x")

    reports = [await world.cycle()]
    world.left.put(PROJECT, record("b"))
    reports.append(await world.cycle())

    assert [report.failed for report in reports] == [[], []]


async def test_held_record_that_is_deleted_is_decided_no_more(tmp_path):
    """Its run was unfinished, and then it was deleted."""
    world = await World(tmp_path).synced(record("a"))
    world.left.put(PROJECT, record("long", tags=RUNNING, duration=None))
    await world.cycle()
    world.left.remove(PROJECT, "long")

    await world.cycle()

    assert world.journal("SELECT label FROM out_of_sync") == []
