"""smtd merges edits of an old state of a shelf with its unseen writes, and knows edits that had seen them.

A program reads a whole project of a shelf, changes one record, and writes all of it back.
"""

from __future__ import annotations

import pytest

from smtd.engine.report import Hold
from smtd.engine.resolve import Resolution, resolve
from smtd.journal.decisions import Choice
from smtd.merge.decide import Conflicts
from smtd.merge.sides import SIDES, Both, Side
from tests.build import FINISHED, PROJECT, RUNNING, change, commented, key, record, tagged
from tests.engine.world import (
    TestStore,
    UnlockedStore,
    World,
    alike,
    both_sides,
    second_cycle_does_nothing,
    stale,
)

A, B, C, D = (record(label) for label in "abcd")
OWN = record("own")


@pytest.fixture
def world(tmp_path):
    """Two empty stores that other programs can write old states to."""
    return World(tmp_path, UnlockedStore("left"), UnlockedStore("right"))


def comments(world, side):
    """Return the lines of the comment of record a."""
    return {*world[side].records[key("a")].outcome.split("\n")}


@both_sides
@pytest.mark.parametrize(
    ("before", "rounds", "mine", "words"),
    [
        pytest.param(A, [["theirs"]], ["mine"], {"theirs", "mine"}, id="one write"),
        pytest.param(
            A,
            [["one"], ["one", "two"], ["one", "two", "three"]],
            ["mine"],
            {"one", "two", "three", "mine"},
            id="many writes",
        ),
        pytest.param(
            commented(commented(A, "one"), "two"),
            [["two", "three", "one"]],
            ["one", "two", "four"],
            {"one", "two", "three", "four"},
            id="a line that a merge put elsewhere is nothing new of it",
        ),
    ],
)
async def test_edit_of_an_old_state_is_merged_with_all_unseen_writes(
    world, side, before, rounds, mine, words
):
    """A `smt comment` that had read the shelf before removes unseen comments of the other side."""
    await world.synced(before, B)
    save = world[side].opened()
    for lines in rounds:
        world[side.other].put(PROJECT, change(A, outcome="\n".join(lines)))
        await world.cycle()
    save(change(A, outcome="\n".join(mine)))

    report = await world.cycle()

    assert report.ok
    assert world.contents.left == world.contents.right
    assert comments(world, side) == words
    assert await second_cycle_does_nothing(world)


@both_sides
async def test_edit_that_removes_a_restored_write_again_is_held(world, side):
    """The second time a user may mean it."""
    await world.synced(A, B)
    world[side.other].put(PROJECT, commented(A, "wrong"))
    await world.cycle()
    world[side].put(PROJECT, commented(A, "right"))
    await world.cycle()
    assert "wrong" in world[side].records[key("a")].outcome
    world[side].put(PROJECT, commented(A, "right, finally"))

    report = await world.cycle()

    assert [(held.label, held.kind) for held in report.held] == [("a", Hold.LOST_WRITE)]
    assert "wrong" in world[side.other].records[key("a")].outcome


@both_sides
async def test_edit_of_an_old_state_is_merged_after_a_crash_too(world, side):
    """smtd repeats the other lost writes, then the process ends; it still recognizes the edit afterwards."""
    save = await stale(world, side, [A, B], [commented(A, "theirs"), C])
    save(commented(A, "mine"))
    await world.crash(world[side])

    report = await world.cycle()

    assert report.ok
    assert world.contents.left == world.contents.right
    assert comments(world, side) == {"theirs", "mine"}
    assert key("c") in world[side].records


@both_sides
@pytest.mark.parametrize(
    ("before", "writes", "mine", "later"),
    [
        pytest.param(
            A,
            [commented(A, "wrong"), tagged(B, "later")],
            commented(A, "right"),
            tagged(B, "later"),
            id="a later write is there",
        ),
        pytest.param(
            commented(commented(A, "good"), "wrong"),
            [commented(A, "good")],
            commented(commented(A, "good"), "more"),
            B,
            id="all lines that were left, and not the one that was removed",
        ),
    ],
)
async def test_edit_that_had_seen_the_write_is_copied_at_once(world, side, before, writes, mine, later):
    """The state that it was based on shows that."""
    await world.synced(before, B)
    for each in writes:
        world[side.other].put(PROJECT, each)
        await world.cycle()
    world[side].put(PROJECT, mine)

    report = await world.cycle()

    assert report.ok
    assert world.contents == alike(mine, later)


@both_sides
async def test_intact_write_to_another_project_proves_nothing(world, side):
    """A program that saves an old state of one project leaves smtd's writes to the others."""
    await world.synced(A)
    world[side.other].put("Other", D)
    await world.cycle()
    save = world[side].opened()
    world[side.other].put(PROJECT, B)
    world[side.other].put("Other", C)
    await world.cycle()
    save(OWN)

    report = await world.cycle()

    assert report.ok
    assert key("b") in world.left.records
    assert key("b") in world.right.records


@both_sides
async def test_deletion_after_an_edit_of_the_write_is_carried(world, side):
    """smtd remembers that the edit had seen its write when the record is deleted."""
    await world.synced(A)
    world[side.other].put(PROJECT, B)
    await world.cycle()
    world[side].put(PROJECT, commented(B, "seen"))
    await world.cycle()
    world[side.other].put(PROJECT, C)
    await world.cycle()
    world[side].remove(PROJECT, "b")

    report = await world.cycle()

    assert report.ok
    assert world.contents == alike(A, C)


def reasons(rule):
    """Two reasons, of which one must win, whatever *rule* says."""
    theirs, mine = (change(A, reason=reason) for reason in ("theirs", "mine"))
    return pytest.param(theirs, mine, lambda _world, _side: None, rule, id=f"two reasons under {rule}")


@both_sides
@pytest.mark.parametrize(
    ("theirs", "mine", "meanwhile", "rule"),
    [
        pytest.param(
            commented(A, "theirs"),
            commented(A, "mine"),
            lambda world, side: world[side.other].remove(PROJECT, "a"),
            Conflicts.ASK,
            id="the other side has deleted the record",
        ),
        pytest.param(
            commented(A, "theirs"),
            commented(A, "mine"),
            lambda world, _: world.change_journal("UPDATE history SET record = x'00ff' WHERE record NOTNULL"),
            Conflicts.ASK,
            id="the history lacks the record that it was based on",
        ),
        *map(reasons, (Conflicts.ASK, Conflicts.LEFT, Conflicts.RIGHT)),
    ],
)
async def test_edit_of_an_old_state_that_cannot_be_merged_is_an_ordinary_edit(
    world, side, theirs, mine, meanwhile, rule
):
    """It is copied."""
    await world.synced(A, B)
    world[side.other].put(PROJECT, theirs)
    await world.cycle(conflicts=rule)
    world[side].put(PROJECT, mine)
    meanwhile(world, side)

    report = await world.cycle(conflicts=rule)

    assert report.ok
    assert world.contents == alike(mine, B)


@both_sides
async def test_end_of_a_run_saved_from_an_old_state_is_copied(world, side):
    """The other side's copy of the run never ends by itself."""
    running = change(A, tags=RUNNING, duration=None)
    world[side].put(PROJECT, running)
    await world.cycle(hold_unfinished=False)
    world[side.other].put(PROJECT, commented(running, "theirs"))
    await world.cycle(hold_unfinished=False)
    world[side].put(PROJECT, A)

    report = await world.cycle()

    assert (report.ok, report.held) == (True, [])
    assert world[side.other].records[key("a")].tags >= FINISHED
    assert comments(world, side) == comments(world, side.other) == {"theirs"}


@both_sides
async def test_write_that_is_lost_repeatedly_is_held(world, side):
    """By edits and by reverts in turn: the second time a user is asked."""
    await world.synced(A, B)
    world[side.other].put(PROJECT, tagged(A, "x"))
    await world.cycle()
    now, held = A, []
    for edit in range(4):
        now = tagged(now, f"y{edit}") if edit % 2 == 0 else now
        world[side].put(PROJECT, now)
        held.append([each.kind for each in (await world.cycle()).held])

    assert held == [[], [Hold.LOST_WRITE], [Hold.LOST_WRITE], [Hold.LOST_WRITE]]
    assert "x" in world[side.other].records[key("a")].tags


@both_sides
@pytest.mark.parametrize("take", [Side.LEFT, Side.RIGHT], ids=str)
async def test_held_edit_is_resolved_by_taking_a_side(world, side, take):
    """A user who replaces the other's comment twice looks like a program that has not seen it."""
    await world.synced(A)
    world[side.other].put(PROJECT, commented(A, "theirs"))
    await world.cycle()
    for words in ("mine", "mine again"):
        world[side].put(PROJECT, change(A, outcome=words))
        report = await world.cycle()
    assert [each.kind for each in report.held] == [Hold.LOST_WRITE]
    chosen = world[take].records[key("a")]

    await world.do(resolve, Resolution(Choice.LEFT if take is Side.LEFT else Choice.RIGHT, PROJECT, ("a",)))
    report = await world.cycle()

    assert (report.ok, report.held) == (True, [])
    assert world.contents == alike(chosen)
    world[side].put(PROJECT, commented(chosen, "later"))
    assert (await world.cycle()).ok
    assert world.contents == alike(commented(chosen, "later"))


@both_sides
async def test_edit_after_a_restored_write_is_merged(world, side):
    """The restored loss does not count as the first edit, so no user is asked."""
    await world.synced(A, B)
    save = world[side].opened()
    now = A
    for word in ("one", "two"):
        now = commented(now, word)
        world[side.other].put(PROJECT, now)
        await world.cycle()
    save(OWN)
    await world.cycle()
    save(OWN, commented(A, "mine"))

    report = await world.cycle()

    assert report.held == []
    assert comments(world, side) == comments(world, side.other) == {"one", "two", "mine"}


@pytest.mark.parametrize("again", [(tagged(A, "mine", "more"),), (OWN,)], ids=["edited", "put back"])
@pytest.mark.parametrize("reached", ["one side", "both sides"])
async def test_merge_that_was_undone_before_the_journal_has_it_is_repeated(tmp_path, reached, again):
    """The process ends, also the next one; meanwhile a program saves what it had read before the merge."""
    left = UnlockedStore("left")
    world = World(tmp_path, left, TestStore("right"))
    await world.synced(A, B)
    world.left.put(PROJECT, tagged(A, "mine"))
    world.right.put(PROJECT, tagged(A, "theirs"))
    save = left.opened()
    if reached == "one side":
        await world.crash(world.left)
        await world.crash(world.right, "before write")
    else:
        await world.crash(world.right)
    save(*again)

    report = await world.cycle()

    assert report.ok
    assert world.contents.left == world.contents.right
    assert world.left.records[key("a")].tags == FINISHED | again[0].tags | {"mine", "theirs"}
    assert await second_cycle_does_nothing(world)


async def test_merge_that_concurrent_edits_keep_off_one_side_is_repeated_though_undone(tmp_path):
    """A program edits the record on the right again and again, so that the merge reaches only the left."""
    left = UnlockedStore("left")
    world = World(tmp_path, left, TestStore("right"))
    await world.synced(A, B)
    world.left.put(PROJECT, tagged(A, "mine"))
    world.right.put(PROJECT, tagged(A, "theirs"))
    save = left.opened()

    def edit():
        now = world.right.records[key("a")]
        world.right.put(PROJECT, tagged(now, f"more{len(now.tags)}"))
        world.right.meanwhile["before write"] = edit
        save()

    world.right.meanwhile["before write"] = edit
    await world.cycle()
    world.right.meanwhile.clear()

    report = await world.cycle()

    assert (report.conflicts, report.failed) == ([], [])
    held = world.left.records[key("a")].tags | world.right.records[key("a")].tags
    assert held >= {"mine", "theirs", "more2", "more3"}


@pytest.mark.parametrize("left", [(), (tagged(A, "one", "left"),)], ids=["put back", "edited"])
@pytest.mark.parametrize("right", [(), (tagged(A, "two", "right"),)], ids=["put back", "edited"])
async def test_writes_lost_on_both_sides_at_once_are_restored_on_both(world, left, right):
    """Programs save on both sides what they had read before smtd's writes."""
    await world.synced(A, B)
    world.left.put(PROJECT, tagged(A, "one"))
    world.right.put(PROJECT, tagged(A, "two"))
    saves = Both(*[world[side].opened() for side in SIDES])
    await world.cycle()
    saves.left(*left)
    saves.right(*right)

    report = await world.cycle()

    assert report.ok
    assert world.contents.left == world.contents.right
    assert world.left.records[key("a")].tags >= {"one", "two"}
    assert world.left.records[key("a")].tags >= {tag for each in (*left, *right) for tag in each.tags}
    assert await second_cycle_does_nothing(world)


async def test_writes_lost_on_both_sides_repeatedly_are_held(world):
    await world.synced(A, B)
    world.left.put(PROJECT, tagged(A, "one"))
    world.right.put(PROJECT, tagged(A, "two"))
    saves = Both(*[world[side].opened() for side in SIDES])
    kinds = []
    for _ in range(3):
        kinds.append([held.kind for held in (await world.cycle()).held])
        saves.left()
        saves.right()

    assert kinds == [[], [], [Hold.LOST_WRITE]]


@both_sides
async def test_edit_of_an_old_state_that_the_other_side_contradicts_is_a_conflict(world, side):
    """Like any other; smtd writes to neither side."""
    save = await stale(world, side, [A, B], [tagged(A, "x")])
    save(change(A, reason="mine"))
    world[side.other].put(PROJECT, tagged(change(A, reason="theirs"), "x"))
    before = world.contents

    report = await world.cycle()

    assert [(conflict.label, conflict.fields) for conflict in report.conflicts] == [("a", ("reason",))]
    assert world.contents == before
