"""A program reads a record in a database, smtd writes it, and the program saves what it had read."""

from __future__ import annotations

import pytest

from smtd.engine import lost_updates
from smtd.merge.decide import Mode
from smtd.merge.sides import Side
from smtd.stores.base import Capabilities
from tests.build import PROJECT, commented, key, record, tagged
from tests.engine.servers import later, words
from tests.engine.world import TestStore, World, counts, on, written

A, B = record("a"), record("b")


class Database(TestStore):
    """A store whose transactions keep nobody from saving what they had read before."""

    capabilities = Capabilities(
        exclusive_writes=True, batch=None, keeps_opaque=True, saves_records=True, resumes=True
    )


@pytest.fixture
async def world(tmp_path, clock):
    """Two databases in sync, to one of which smtd has brought a comment of the other one."""
    world = await World(tmp_path, Database("left"), Database("right")).synced(A, B)
    world.left.put(PROJECT, commented(A, "theirs"))
    assert counts(await world.cycle()) == on(Side.RIGHT, updated=1)
    return world


async def test_edit_of_what_was_there_before_is_merged_with_what_smtd_wrote(world, clock):
    """Nobody has taken the comment away: the program did not see it."""
    world.right.put(PROJECT, commented(A, "mine"))

    report = await later(world, clock)

    assert report.ok
    assert words(world.left) == words(world.right) == ["mine", "theirs"]


async def test_tag_that_is_saved_over_is_brought_back(world, clock):
    world.right.put(PROJECT, tagged(A, "mine"))

    await later(world, clock)

    assert world.left.records == world.right.records
    assert words(world.left) == ["theirs"]
    assert "mine" in world.left.records[key("a")].tags


async def test_who_takes_it_away_once_more_means_it(world, clock):
    """That program has seen it."""
    world.right.put(PROJECT, commented(A, "mine"))
    await later(world, clock)
    world.right.put(PROJECT, commented(A, "mine alone"))

    await later(world, clock)

    assert words(world.left) == words(world.right) == ["mine alone"]


async def test_edit_of_what_smtd_wrote_is_an_edit(world, clock):
    """Also if it takes the comment away again: its program has seen it."""
    world.right.put(PROJECT, commented(A, "theirs\nand mine"))
    await later(world, clock)
    assert words(world.left) == ["and mine", "theirs"]

    world.right.put(PROJECT, A)
    await later(world, clock)

    assert world.left.records[key("a")] == A


async def test_record_that_is_put_back_as_it_was_is_an_edit(world, clock):
    """A person may well do that, and no program saves what it has not changed."""
    world.right.put(PROJECT, A)

    report = await later(world, clock)

    assert counts(report) == on(Side.LEFT, updated=1)
    assert world.left.records[key("a")] == A


async def test_edit_a_while_later_is_an_edit(world, clock):
    """No program takes so long to save what it has read; then nothing more is remembered."""
    await later(world, clock, lost_updates.UNSEEN + 1.0)
    world.right.put(PROJECT, commented(A, "mine"))

    await later(world, clock)

    assert words(world.left) == words(world.right) == ["mine"]
    assert world.journal("SELECT * FROM written WHERE side = 'right'") == []


async def test_one_way_pair_leaves_its_target_as_people_left_it(tmp_path, clock):
    world = await World(tmp_path, Database("left"), Database("right")).synced(A)
    world.left.put(PROJECT, commented(A, "theirs"))
    await world.cycle(mode=Mode.LEFT_TO_RIGHT)
    world.right.put(PROJECT, commented(A, "mine"))

    await later(world, clock, mode=Mode.LEFT_TO_RIGHT)

    assert (words(world.left), words(world.right)) == (["theirs"], ["mine"])


async def test_write_that_a_crash_left_open_is_remembered_too(tmp_path, clock):
    """Whoever read the record before it may save it after the restart."""
    world = await World(tmp_path, Database("left"), Database("right")).synced(A, B)
    world.left.put(PROJECT, commented(A, "theirs"))
    await world.crash(world.right)
    await later(world, clock)
    world.right.put(PROJECT, commented(A, "mine"))

    await later(world, clock)

    assert words(world.left) == words(world.right) == ["mine", "theirs"]


async def test_new_record_is_not_remembered(tmp_path, clock):
    """Nobody can have read it before."""
    world = await World(tmp_path, Database("left"), Database("right")).synced(A, B)

    assert world.journal("SELECT * FROM written") == []
    assert written() == counts(await world.cycle())
