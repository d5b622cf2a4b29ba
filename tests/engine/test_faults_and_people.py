"""A user edits, deletes or reverts records between a crash and the restart: their change stays."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

import pytest

from smtd.engine.report import Conflict, Failure, Held
from smtd.merge.sides import SIDES, Side
from smtd.records.canonical import digest
from smtd.records.record import Key, Record
from tests.build import FINISHED, PROJECT, change, commented, full, key, record, tagged
from tests.engine.faults import crashes
from tests.engine.world import TestStore, World, second_cycle_does_nothing
from tests.sampling import sampled

BYSTANDERS = [record(f"bystander {number}") for number in range(6)]
UPDATED, DELETED, MERGED, UNTOUCHED = (
    tagged(full(label), "old") for label in ("updated", "deleted", "merged", "untouched")
)
CREATED = tagged(full("created"), "old")
#: The records that the user works on, as in their baselines.
BASELINES = {key(each.label): each for each in (UPDATED, DELETED, MERGED, UNTOUCHED)}
ALL = {**BASELINES, key("created"): CREATED}
#: The record that smtd creates on one side. If the crash left no answer, another client may have created it.
CREATED_THERE = key("created")
#: Records that only one side has changed; there the user may do anything to them.
OF_ONE_SIDE = {CREATED_THERE, key("updated"), key("untouched")}


async def prepared(world: World, source: Side) -> World:
    """Return *world* in sync, and then changed, mostly on the side *source*."""
    await world.synced(*BYSTANDERS, *BASELINES.values())
    here, there = world[source], world[source.other]
    here.put(PROJECT, CREATED)
    here.put(PROJECT, commented(tagged(UPDATED, "here"), "here"))
    here.remove(PROJECT, "deleted")
    here.put(PROJECT, commented(tagged(MERGED, "here"), "here"))
    there.put(PROJECT, commented(tagged(MERGED, "there"), "there"))
    return world


def edit(store: TestStore, name: Key) -> None:
    """Comment on a record and tag it, if it exists."""
    if name in store.records:
        store.put(PROJECT, commented(tagged(store.records[name], "person"), "by a person"))


def rewrite(store: TestStore, name: Key) -> None:
    """Replace the reason of a record, if it exists."""
    if name in store.records:
        store.put(PROJECT, change(store.records[name], reason="by a person"))


def untag(store: TestStore, name: Key) -> None:
    """Remove a tag from a record, if it exists."""
    if name in store.records:
        store.put(PROJECT, change(store.records[name], tags=store.records[name].tags - {"old"}))


def untag_all(store: TestStore, name: Key) -> None:
    """Remove all tags of the user from a record, if it exists."""
    if name in store.records:
        store.put(PROJECT, change(store.records[name], tags=FINISHED))


def delete(store: TestStore, name: Key) -> None:
    """Delete a record, if it exists."""
    if name in store.records:
        store.remove(PROJECT, name.label)


def revert(store: TestStore, name: Key) -> None:
    """Revert a record to its baseline."""
    if name in BASELINES:
        store.put(PROJECT, BASELINES[name])


@dataclass(frozen=True)
class Story:
    """One record through a crash, what a user then did to it on *side*, and a restart."""

    name: Key
    side: Side
    source: Side
    #: Each side before the crash, at the restart, and after it.
    crashed: dict[Side, Record | None]
    met: dict[Side, Record | None]
    after: dict[Side, Record | None]

    @property
    def acted(self) -> bool:
        """Whether the user found something to do."""
        return self.crashed[self.side] != self.met[self.side]

    @property
    def result(self) -> Record | None:
        """What both sides hold in the end."""
        return self.after[Side.LEFT]


async def stories(
    world: World,
    source: Side,
    action: Callable[[TestStore, Key], None],
    undecided: Collection[Key] = (),
) -> list[Story]:
    """Return every record that the user changed after any crash of *world*.

    Fail if a restart leaves anything lost, or, except for the keys *undecided*, undecided or unequal.
    """
    told: list[Story] = []
    complaints: list[object] = []
    async for step, crashed in crashes(world, "after", "kill"):
        for side in SIDES:
            here = crashed.fork(crashed.directory.with_name(f"{crashed.directory.name}-{side.value}"))
            before = states(here)
            for name in ALL:
                action(here[side], name)
            met = states(here)
            report = await here.cycle()
            left_over: list[Conflict | Held | Failure] = [*report.conflicts, *report.held, *report.failed]
            waiting = {Key(each.project, each.label) for each in report.conflicts} & set(undecided)
            left_over = [each for each in left_over if Key(each.project, each.label) not in waiting]
            complaints += [(step, side, each) for each in [*left_over, *lost(met, here)]]
            complaints += [(step, side, f"{each} is not in sync") for each in unequal(here) - waiting]
            if not await second_cycle_does_nothing(here):
                complaints.append((step, side, "a second cycle wrote"))
            after = states(here)
            told += [Story(name, side, source, before[name], met[name], after[name]) for name in ALL]
    assert complaints == []
    return [story for story in told if story.acted]


def states(world: World) -> dict[Key, dict[Side, Record | None]]:
    """Return what each side holds of each record."""
    return {name: {side: world[side].records.get(name) for side in SIDES} for name in ALL}


def lost(met: dict[Key, dict[Side, Record | None]], world: World) -> Iterator[str]:
    """Yield the records that a side held, and that neither it nor the history holds now."""
    kept = {each for *_, each in world.history()}
    for name, sides in met.items():
        for side, was in sides.items():
            now = world[side].records.get(name)
            if was is not None and digest(was) not in kept | ({digest(now)} if now else set()):
                yield f"{name} of {side} is lost"


def unequal(world: World) -> set[Key]:
    """Return the records that differ between the sides."""
    contents = world.contents
    names = contents.left.keys() | contents.right.keys()
    return {name for name in names if contents.left.get(name) != contents.right.get(name)}


def created_there(story: Story) -> bool:
    """Say whether the user changed the record on the side where smtd had just created it."""
    return story.name == CREATED_THERE and story.side is not story.source


def lines(made: Record | None) -> list[str]:
    """Return the lines of the outcome, sorted."""
    return [] if made is None else sorted((made.outcome or "").split("\n"))


def tags(made: Record | None) -> frozenset[str]:
    """Return the tags of a record, and none of a missing one."""
    return frozenset() if made is None else made.tags


def both(part: Callable[[Record | None], Iterable[str]], story: Story) -> set[str]:
    """Return what the sides held at the restart, taken together."""
    return {each for side in SIDES for each in part(story.met[side])}


#: The side of most changes. Each test uses one of them; make soak tries both.
from_the_left = pytest.mark.parametrize("source", sampled(SIDES, 2))
from_the_right = pytest.mark.parametrize("source", sampled(SIDES, 2, first=1))


@pytest.fixture
async def world(tmp_path, source):
    """Two stores that have not been synced yet."""
    return await prepared(World(tmp_path / "world"), source)


@from_the_left
async def test_edit_after_a_crash_is_merged_with_the_edits_before_it(world, source):
    """The user's comment and tag are kept beside all others, each once."""
    acted = await stories(world, source, edit)

    assert {story.name for story in acted} == ALL.keys()
    assert [story for story in acted if lines(story.result) != sorted(both(lines, story))] == []
    assert [story for story in acted if tags(story.result) != both(tags, story)] == []


@from_the_right
async def test_reason_replaced_after_a_crash_causes_no_conflict(world, source):
    """Both sides get the user's reason, except where another client may have created the record."""
    acted = await stories(world, source, rewrite, undecided=[CREATED_THERE])
    sure = [story for story in acted if not created_there(story)]

    assert {story.name for story in sure} == ALL.keys()
    assert [story for story in sure if story.result is None or story.result.reason != "by a person"] == []
    assert [story for story in sure if lines(story.result) != sorted(both(lines, story))] == []


@from_the_left
async def test_tag_removed_after_a_crash_stays_removed(world, source):
    """A tag that both sides had, and a user removed, does not come back.

    It does in a record that smtd had just created: a record of another client looks the same.
    """
    acted = await stories(world, source, untag)

    assert {story.name for story in acted} == ALL.keys()
    back = [story for story in acted if story.result is None or "old" in story.result.tags]
    assert [story for story in back if not created_there(story)] == []


@from_the_right
async def test_merged_tags_removed_after_a_crash_stay_removed(world, source):
    """smtd writes to the right side last: if that has the merged record, the left one had it, too."""
    acted = await stories(world, source, untag_all)
    merged = [
        story
        for story in acted
        if (story.name, story.side) == (key("merged"), Side.LEFT)
        and story.crashed[Side.LEFT] == story.crashed[Side.RIGHT]
    ]

    assert len(merged) >= 2
    assert [story for story in merged if tags(story.result) != FINISHED] == []


@from_the_left
async def test_deletion_after_a_crash_is_carried_unless_the_other_side_has_a_change(world, source):
    """The record is gone, unless the other side has a change that the deleting side never had."""
    acted = await stories(world, source, delete)
    at_the_source = [story for story in acted if story.side is source and story.name in OF_ONE_SIDE]

    assert {story.name for story in acted} == ALL.keys()
    assert [story for story in at_the_source if story.result is not None] == []
    assert [
        story for story in acted if story.result is not None and story.result != story.met[story.side.other]
    ] == []


@from_the_right
async def test_revert_after_a_crash_is_no_conflict(world, source):
    """smtd takes the reverted record as it is, if only the user has changed it."""
    acted = await stories(world, source, revert)
    at_the_source = [
        story for story in acted if story.side is source and story.name in {key("updated"), key("deleted")}
    ]

    assert {story.name for story in acted} >= {key("updated"), key("deleted"), key("merged")}
    assert [story for story in at_the_source if story.result != BASELINES[story.name]] == []
