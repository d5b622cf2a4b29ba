"""A program reads a record in a database, smtd writes it, and the program saves what it had read."""

from __future__ import annotations

import pytest

from smtd.engine import lost_updates
from smtd.merge.decide import Mode
from smtd.merge.sides import Side
from smtd.stores.base import Capabilities
from tests.build import FINISHED, PROJECT, RUNNING, change, commented, key, record, tagged
from tests.engine.servers import later, words
from tests.engine.world import TestStore, World, counts, on, written

A, B = record("a"), record("b")


class Database(TestStore):
    """A store whose transactions do not stop a program from saving what it had read before."""

    capabilities = Capabilities(
        exclusive_writes=True, batch=None, keeps_opaque=True, saves_records=True, resumes=True
    )


@pytest.fixture
async def world(tmp_path, clock):
    """Two databases in sync; smtd has copied a comment to one of them."""
    world = await World(tmp_path, Database("left"), Database("right")).synced(A, B)
    world.left.put(PROJECT, commented(A, "theirs"))
    assert counts(await world.cycle()) == on(Side.RIGHT, updated=1)
    return world


@pytest.mark.parametrize(
    ("saves", "expected"),
    [
        pytest.param(
            ["mine"], ["mine", "theirs"], id="no user removed the comment: the program did not see it"
        ),
        pytest.param(["mine", "mine alone"], ["mine alone"], id="it has seen the comment that was restored"),
        pytest.param(["theirs\nand mine"], ["and mine", "theirs"], id="it has seen the comment"),
        pytest.param(["theirs\nand mine", ""], [""], id="it has seen the comment, and removes it later"),
        pytest.param([""], [""], id="an exact revert: no program saves a record without a change"),
    ],
)
async def test_edit_of_an_old_state_is_merged_with_the_unseen_write(world, clock, saves, expected):
    """Any other edit is copied."""
    for text in saves:
        world.right.put(PROJECT, commented(A, text) if text else A)
        report = await later(world, clock)

    assert report.ok
    assert words(world.left) == words(world.right) == expected


async def test_tag_that_is_saved_over_is_restored(world, clock):
    world.right.put(PROJECT, tagged(A, "mine"))

    await later(world, clock)

    assert world.left.records == world.right.records
    assert words(world.left) == ["theirs"]
    assert "mine" in world.left.records[key("a")].tags


RUN = record("a", tags=RUNNING, duration=None)


@pytest.fixture
async def running(tmp_path, clock):
    """Two databases that mirror a record whose run goes on; smtd has copied a comment to it."""
    world = await World(tmp_path, Database("left"), Database("right")).synced()
    world.right.put(PROJECT, RUN)
    await world.cycle(hold_unfinished=False)
    world.left.put(PROJECT, commented(RUN, "theirs"))
    await world.cycle(hold_unfinished=False)
    return world


@pytest.mark.parametrize("pause", [1.0, lost_updates.UNSEEN + 1.0], ids=["soon", "much later"])
async def test_comment_on_a_running_record_survives_every_save_of_the_run(running, clock, pause):
    """The program that runs never reads the record again, however long it runs."""
    world = running
    saves = [change(RUN, user="ada"), change(RUN, user="ada", script_arguments="x")]
    over = change(saves[-1], duration=3.0, tags=FINISHED)

    for saved in [*saves, over]:
        world.right.put(PROJECT, saved)
        await later(world, clock, pause, hold_unfinished=False)

    assert world.left.records == world.right.records
    assert words(world.left) == ["theirs"]
    assert world.left.records[key("a")].duration == 3.0


async def test_edit_after_the_end_of_a_run_is_an_edit(running, clock):
    """The program that ran saves no more: who removes the comment then has seen it."""
    world = running
    over = change(RUN, duration=3.0, tags=FINISHED)
    world.right.put(PROJECT, over)
    await later(world, clock, hold_unfinished=False)

    world.right.put(PROJECT, commented(over, "mine alone"))
    await later(world, clock, hold_unfinished=False)

    assert words(world.left) == words(world.right) == ["mine alone"]


async def test_edit_long_after_the_write_is_an_edit(world, clock):
    """No program takes that long to save what it has read; the log then drops the write."""
    await later(world, clock, lost_updates.UNSEEN + 1.0)
    world.right.put(PROJECT, commented(A, "mine"))

    await later(world, clock)

    assert words(world.left) == words(world.right) == ["mine"]
    assert world.journal("SELECT * FROM written WHERE side = 'right'") == []


async def test_one_way_pair_leaves_edits_of_its_target(tmp_path, clock):
    world = await World(tmp_path, Database("left"), Database("right")).synced(A)
    world.left.put(PROJECT, commented(A, "theirs"))
    await world.cycle(mode=Mode.LEFT_TO_RIGHT)
    world.right.put(PROJECT, commented(A, "mine"))

    await later(world, clock, mode=Mode.LEFT_TO_RIGHT)

    assert (words(world.left), words(world.right)) == (["theirs"], ["mine"])


async def test_write_of_a_crashed_cycle_is_logged_too(tmp_path, clock):
    """A program that read the record before it may save it after the restart."""
    world = await World(tmp_path, Database("left"), Database("right")).synced(A, B)
    world.left.put(PROJECT, commented(A, "theirs"))
    await world.crash(world.right)
    await later(world, clock)
    world.right.put(PROJECT, commented(A, "mine"))

    await later(world, clock)

    assert words(world.left) == words(world.right) == ["mine", "theirs"]


async def test_creation_is_not_logged(tmp_path, clock):
    """No program can have read the record before."""
    world = await World(tmp_path, Database("left"), Database("right")).synced(A, B)

    assert world.journal("SELECT * FROM written") == []
    assert written() == counts(await world.cycle())
