"""In a store without a lock, a program that saves an old state over smtd's writes makes no edit.

A program reads a dumb shelf when a run starts and writes it when the run ends: smtd's writes in between are
lost.
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
async def test_write_that_a_program_saves_over_unseen_is_repeated(world, side, before, rounds, after):
    """No user deleted the missing records or reverted the others."""
    save = await stale(world, side, before, *rounds)
    save(OWN)

    report = await world.cycle()

    assert report.ok
    assert world.contents == alike(*after, OWN)


@both_sides
async def test_lost_half_of_a_merge_is_repeated(world, side):
    """A comment that arrived by a merge disappears from neither side."""
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
async def test_revert_beside_another_intact_write_is_an_edit(world, side, before, rounds, meant, after):
    """A program that saved while the rest of a batch or a later write was there had seen what it removed."""
    await stale(world, side, before, *rounds)
    meant(world[side])

    report = await world.cycle()

    assert report.ok
    assert world.contents == alike(*after)


async def test_program_that_read_during_a_cycle_deletes_nothing(world):
    """A cycle writes more than once; only its later writes may be lost."""
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
    """A cycle that starts over writes again; only these writes may be lost."""
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
async def test_write_that_is_undone_twice_is_held(world, side):
    """The second time it may have been a user: both states stay, and the report says what to do."""
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
async def test_lost_write_of_a_record_deleted_on_the_other_side_is_held(world, side):
    """There is nothing left to restore."""
    save = await stale(world, side, [A, C], [tagged(A, "x")])
    save(OWN)
    world[side.other].remove(PROJECT, "a")

    report = await world.cycle()

    assert [held.label for held in report.held] == ["a"]
    assert world.contents[side][key("a")] == holding(A)[key("a")]


@both_sides
async def test_lost_update_is_repeated_with_later_edits_of_the_other_side(world, side):
    """smtd writes what the other side holds now."""
    save = await stale(world, side, [A, B], [tagged(A, "x")])
    save(OWN)
    world[side.other].put(PROJECT, tagged(A, "x", "y"))

    report = await world.cycle()

    assert report.ok
    assert world.contents == alike(tagged(A, "x", "y"), B, OWN)


@both_sides
async def test_lost_deletion_restores_the_record(world, side):
    """smtd takes a record that a program saved again for a new one, so that nothing is lost."""
    await world.synced(A, B)
    save = world[side].opened()
    world[side.other].remove(PROJECT, "a")
    await world.cycle()
    save(OWN)

    report = await world.cycle()

    assert report.ok
    assert world.contents == alike(A, B, OWN)


async def test_lost_update_is_not_restored_against_the_mode(world):
    """A pair that became one-way does not write to its source, not even a lost write; it reports that."""
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
    """Writes that a crashed cycle made and the next one finished may get lost, too."""
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


async def test_deletion_in_a_store_with_a_lock_is_carried_at_once(tmp_path):
    """There no program can save an old state."""
    world = await World(tmp_path).synced(A)
    world.left.put(PROJECT, B)
    await world.cycle()
    world.right.remove(PROJECT, "b")

    report = await world.cycle()

    assert counts(report) == written(left=(0, 0, 1))
    assert world.journal("SELECT * FROM written") == []


@both_sides
async def test_held_lost_write_stays_held_whatever_smtd_writes_elsewhere(world, side):
    """A later intact write does not show who undid an earlier one (a campaign found this)."""
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
async def test_write_undone_while_smtd_writes_another_is_no_deletion(world, side):
    """The next look repeats what another program undid between scan and write."""
    save = await stale(world, side, [A], [B])
    world[side.other].put(PROJECT, C)
    world[side].meanwhile["before write"] = lambda: save(OWN)
    await world.cycle()

    report = await world.cycle()

    assert report.ok
    assert world.contents == alike(A, B, C, OWN)


@both_sides
async def test_write_found_undone_is_no_deletion_after_a_crash(world, side):
    """smtd writes something else before it can repeat the lost write, and crashes."""
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
