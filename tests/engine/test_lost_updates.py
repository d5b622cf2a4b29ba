"""Stores without a lock: what another program puts back over smtd's writes is no edit of a person.

A dumb shelf is read when a run starts and written when it ends: whatever smtd wrote in between
is then as it was before.
"""

from __future__ import annotations

import pytest

from smtd.engine.report import Hold
from smtd.merge.decide import Mode
from smtd.merge.sides import SIDES
from smtd.output.english import next_step, sentence
from tests.build import PROJECT, commented, key, record, tagged
from tests.engine.world import UnlockedStore, World, alike, both_sides, counts, holding, stale, written

A, B, C, D = (record(label) for label in "abcd")
AX, AXY, BX = tagged(A, "x"), tagged(A, "x", "y"), tagged(B, "x")
OWN = record("own")  # what the other program came to save


@pytest.fixture
def world(tmp_path):
    """Two empty stores that other programs can write old states to."""
    return World(tmp_path, UnlockedStore("left"), UnlockedStore("right"))


@both_sides
@pytest.mark.parametrize(
    ("before", "rounds", "after"),
    [
        pytest.param([A], [[B]], [A, B], id="a creation"),
        pytest.param([A, B], [[AX]], [AX, B], id="an edit"),
        pytest.param([A], [[B, C, D]], [A, B, C, D], id="a whole batch"),
        pytest.param([A, B], [[C], [BX], [D]], [A, BX, C, D], id="all of many cycles: a run of days"),
        pytest.param([A], [[B], [BX]], [A, BX], id="a creation and an edit of it"),
        pytest.param([A, B], [[AX], [AXY]], [AXY, B], id="two edits: what comes back is older than the last"),
    ],
)
async def test_what_another_program_had_not_seen_is_written_again(world, side, before, rounds, after):
    """What vanished was not deleted by a person, and what is as it was before was not reverted by one."""
    save = await stale(world, side, before, *rounds)
    save(OWN)

    report = await world.cycle()

    assert report.ok
    assert world.contents == alike(*after, OWN)


@both_sides
async def test_lost_half_of_a_merge_is_made_again(world, side):
    """A comment that arrived by a merge does not vanish from either side."""
    await world.synced(A, B)
    world.left.put(PROJECT, commented(A, "left"))
    world.right.put(PROJECT, commented(A, "right"))
    save = world[side].opened()
    await world.cycle()
    save(OWN)

    report = await world.cycle()

    assert report.ok
    assert world.contents.left == world.contents.right
    assert world.left.records[key("a")].outcome == "left\nright"


@both_sides
@pytest.mark.parametrize(
    ("before", "rounds", "meant", "after"),
    [
        pytest.param([A], [[B, C, D]], lambda store: store.remove(PROJECT, "c"), [A, B, D], id="of a batch"),
        pytest.param([A], [[B], [C]], lambda store: store.remove(PROJECT, "b"), [A, C], id="an earlier one"),
        pytest.param([A, B], [[AX], [BX]], lambda store: store.put(PROJECT, A), [A, BX], id="a revert"),
    ],
)
async def test_what_is_undone_while_another_write_is_there_was_meant(
    world, side, before, rounds, meant, after
):
    """Whoever saved while the rest of a batch or a later write was there had seen what they took away."""
    await stale(world, side, before, *rounds)
    meant(world[side])

    report = await world.cycle()

    assert report.ok
    assert world.contents == alike(*after)


async def test_program_that_read_in_the_middle_of_a_cycle_deletes_nothing(world):
    """One cycle writes more than once; what was written later can be lost alone."""
    await world.synced(A, B)
    saves = []
    world.left.put(PROJECT, C)
    world.left.put(PROJECT, commented(A, "left"))
    world.right.put(PROJECT, commented(A, "right"))
    world.right.meanwhile["after write"] = lambda: saves.append(world.right.opened())
    await world.cycle()
    (save,) = saves
    save(OWN)

    report = await world.cycle()

    assert report.ok
    assert world.contents.left == world.contents.right
    assert world.left.records[key("a")].outcome == "left\nright"
    assert world.right.records.keys() == {key(label) for label in ("a", "b", "c", "own")}


async def test_program_that_read_between_two_rounds_of_a_cycle_deletes_nothing(world):
    """A cycle that scans again writes again; what that wrote can be lost alone."""
    await world.synced(A, B)
    saves = []
    world.left.put(PROJECT, tagged(A, "x"))
    world.left.put(PROJECT, tagged(B, "x"))
    world.left.meanwhile["after scan"] = lambda: world.left.put(PROJECT, tagged(B, "x", "y"))
    world.right.meanwhile["after write"] = lambda: saves.append(world.right.opened())
    await world.cycle()
    (save,) = saves
    save(OWN)

    report = await world.cycle()

    assert report.ok
    assert world.contents == alike(tagged(A, "x"), tagged(B, "x", "y"), OWN)


@both_sides
async def test_write_that_is_undone_again_is_asked_about(world, side):
    """The second time it may have been a person: both states stay, and the report says how to go on."""
    save = await stale(world, side, [A], [B])
    save(OWN)
    await world.cycle()
    world[side].remove(PROJECT, "b")
    world[side].remove(PROJECT, "own")

    report = await world.cycle()

    assert {held.label for held in report.held} >= {"b"}
    assert f"undid smtd's last write to the {side.value} store twice" in sentence(report.held[0].why)
    assert world[side.other].records[key("b")] == B


@both_sides
async def test_write_that_was_lost_here_and_deleted_there_is_asked_about(world, side):
    """If the other side deleted the record meanwhile, there is nothing left to restore."""
    save = await stale(world, side, [A, C], [tagged(A, "x")])
    save(OWN)
    world[side.other].remove(PROJECT, "a")

    report = await world.cycle()

    assert [held.label for held in report.held] == ["a"]
    assert world.contents[side][key("a")] == holding(A)[key("a")]


@both_sides
async def test_lost_update_is_made_again_with_later_edits_of_the_other_side(world, side):
    """What is written again is what the other side holds now."""
    save = await stale(world, side, [A, B], [tagged(A, "x")])
    save(OWN)
    world[side.other].put(PROJECT, tagged(A, "x", "y"))

    report = await world.cycle()

    assert report.ok
    assert world.contents == alike(tagged(A, "x", "y"), B, OWN)


@both_sides
async def test_lost_deletion_brings_the_record_back(world, side):
    """A record that another program puts back is a record: nothing is lost by taking it so."""
    await world.synced(A, B)
    save = world[side].opened()
    world[side.other].remove(PROJECT, "a")
    await world.cycle()
    save(OWN)

    report = await world.cycle()

    assert report.ok
    assert world.contents == alike(A, B, OWN)


async def test_lost_update_is_not_restored_against_the_mode(world):
    """A pair that became one-way writes nothing to its source, not even what was lost there; it says so."""
    await world.synced(A, B)
    save = world.left.opened()
    world.right.put(PROJECT, tagged(A, "x"))
    await world.cycle()
    save(OWN)
    world.left.changes.clear()

    report = await world.cycle(mode=Mode.LEFT_TO_RIGHT)

    assert world.writes.left == []
    assert world.right.records[key("a")] == tagged(A, "x")
    assert [(held.label, held.kind) for held in report.held] == [("a", Hold.LOST_WRITE)]
    assert "edit the record in the left store" in next_step(report.held[0].why)
    world.left.put(PROJECT, commented(A, "on"))
    await world.cycle(mode=Mode.LEFT_TO_RIGHT)
    assert world.right.records[key("a")] == commented(A, "on")


async def test_lost_update_after_a_crash_is_no_deletion(world):
    """What a crashed cycle wrote and the next one found may get lost too."""
    await world.synced(A, B)
    save = world.right.opened()
    world.left.put(PROJECT, C)
    world.left.put(PROJECT, tagged(A, "x"))
    await world.crash(world.right)
    await world.cycle()
    save(OWN)

    report = await world.cycle()

    assert report.ok
    assert world.contents == alike(tagged(A, "x"), B, C, OWN)


async def test_stores_with_a_lock_lose_nothing(tmp_path):
    """Where nobody can write an old state, a deletion is a deletion at once."""
    world = await World(tmp_path).synced(A)
    world.left.put(PROJECT, B)
    await world.cycle()
    world.right.remove(PROJECT, "b")

    report = await world.cycle()

    assert counts(report) == written(left=(0, 0, 1))
    assert world.journal("SELECT * FROM written") == []


@both_sides
async def test_write_that_waits_for_a_person_goes_on_waiting_whatever_is_written_elsewhere(world, side):
    """A later write that is there shows nothing of who undid an earlier one (a campaign found this)."""
    save = await stale(world, side, [A], [B])
    save(OWN)
    await world.cycle()
    save(OWN)
    world[side.other].put(PROJECT, C)
    await world.cycle()

    report = await world.cycle()

    assert [(held.label, held.kind) for held in report.held] == [("b", Hold.LOST_WRITE)]
    assert world[side.other].records[key("b")] == B


@both_sides
async def test_write_that_is_undone_while_smtd_writes_another_is_no_deletion(world, side):
    """What another program undid between scan and write is made again by the next look."""
    save = await stale(world, side, [A], [B])
    world[side.other].put(PROJECT, C)
    world[side].meanwhile["before write"] = lambda: save(OWN)
    await world.cycle()

    report = await world.cycle()

    assert report.ok
    assert world.contents == alike(A, B, C, OWN)


@both_sides
async def test_write_that_was_found_undone_is_no_deletion_after_a_crash(world, side):
    """What is written before it can be made again, and a crash, do not make a person's deletion of it."""
    await world.synced(A)
    for each in SIDES:
        world[each].put(PROJECT, commented(A, each.value))
    save = world[side].opened()
    await world.cycle()
    save(OWN)
    world[side.other].put(PROJECT, C)
    await world.crash(world[side])

    report = await world.cycle()

    assert report.ok
    assert world.contents.left == world.contents.right
    assert {*world.left.records[key("a")].outcome.split("\n")} == {"left", "right"}
