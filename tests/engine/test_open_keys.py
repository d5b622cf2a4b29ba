"""Which keys a cycle leaves open for the next one, though nothing about them has changed."""

from __future__ import annotations

from dataclasses import replace

from smtd.errors import Nameless
from smtd.records.record import Key
from tests.build import PROJECT, RUNNING, record
from tests.engine.test_trouble import unreadable
from tests.engine.world import TestStore, World

LABELS = "abcdefghijklmnop"


class NamelessStore(TestStore):
    """A store with a record that has no name."""

    async def scan(self, projects=None):
        found = await super().scan(projects)
        nameless = {Key(PROJECT, "(row 7, without a name)"): Nameless("correct it there")}
        return replace(found, unreadable={**found.unreadable, **nameless})


async def test_record_that_the_first_cycle_cannot_read_is_listed_by_the_next_one(tmp_path):
    """It was never agreed on, and is in no other store."""
    world = World(tmp_path)
    world.left.put(PROJECT, record("a"))
    unreadable(world.left, "a")
    first = await world.cycle()
    world.left.put(PROJECT, record("b"))

    second = await world.cycle()

    assert [failure.label for failure in first.failed] == ["a"]
    assert second.failed == first.failed


async def test_record_without_a_name_that_the_first_cycle_saw_lets_no_deletion_pass(tmp_path):
    """What is missing may be the record that has lost its name."""
    world = World(tmp_path, left=NamelessStore("left"))
    for label in LABELS:
        world.left.put(PROJECT, record(label))
    await world.cycle()
    world.left.remove(PROJECT, "a")

    report = await world.cycle()

    assert report.right.deleted == 0
    assert {failure.label for failure in report.failed} == {"a", "(row 7, without a name)"}


async def test_name_that_is_no_text_is_not_listed_once_its_record_is_gone(tmp_path):
    world = await World(tmp_path).synced(record("a"))
    world.left.put("bad\udcff", record("x"))
    assert len((await world.cycle()).failed) == 1
    world.left.remove("bad\udcff", "x")

    reports = [await world.cycle()]
    world.left.put(PROJECT, record("b"))
    reports.append(await world.cycle())

    assert [report.failed for report in reports] == [[], []]


async def test_record_that_is_gone_before_it_travelled_is_not_decided_for_ever(tmp_path):
    """A run that was held, and deleted."""
    world = await World(tmp_path).synced(record("a"))
    world.left.put(PROJECT, record("long", tags=RUNNING, duration=None))
    await world.cycle()
    world.left.remove(PROJECT, "long")

    await world.cycle()

    assert world.journal("SELECT label FROM out_of_sync") == []
