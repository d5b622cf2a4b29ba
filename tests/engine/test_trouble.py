"""A record that cannot be written, read or kept is reported and left alone, and holds back no other."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import msgspec
import pytest

from smtd.engine.report import Failure
from smtd.errors import StoreError, StoreRefused, StoreUnreachable
from smtd.merge.sides import Both, Side
from smtd.output.english import sentence
from smtd.records.canonical import digest
from smtd.records.record import DataKey, Key, Parameters
from tests.build import FINISHED, PROJECT, RUNNING, change, commented, full, key, record, tagged
from tests.engine.world import (
    AlteringStore,
    RefusingStore,
    TestStore,
    World,
    alike,
    both_sides,
    counts,
    holding,
    second_cycle_does_nothing,
    written,
)

A, B, C = record("a"), record("b"), record("c")


def refusing(world, side=Side.RIGHT):
    """Replace the store of *side* by one that refuses records; return it."""
    store = RefusingStore(side.value)
    setattr(world, side.value, store)
    return store


async def test_refused_record_is_reported_and_the_others_are_synced(world):
    """With the side and the reason."""
    refusing(world).refused = frozenset({"a"})
    world.left.put(PROJECT, A)
    world.left.put(PROJECT, B)

    report = await world.cycle()

    (failure,) = report.failed
    assert (failure.project, failure.label, failure.side) == (PROJECT, "a", Side.RIGHT)
    assert sentence(failure.why) == "the right store cannot hold it: its label is too long"
    assert (report.ok, report.in_sync, counts(report)) == (False, 1, written(right=(1, 0, 0)))
    assert world.contents.right == holding(B)
    assert counts(await world.cycle()) == written()


async def test_refused_deletion_leaves_the_record(world):
    """A store that refuses to delete a record keeps it, and the report says so."""
    refusing(world)
    await world.synced(A, B)
    world.right.refused = frozenset({"a"})
    world.left.remove(PROJECT, "a")

    report = await world.cycle()

    assert [failure.label for failure in report.failed] == ["a"]
    assert counts(report) == written()
    assert world.contents.right == holding(A, B)


@both_sides
async def test_refused_half_of_a_merge_loses_nothing(world, side):
    """One side has the merged record, the other one its own; later edits build on that."""
    refusing(world, side)
    await world.synced(A, B)
    world.left.put(PROJECT, commented(A, "left"))
    world.right.put(PROJECT, commented(A, "right"))
    world[side].refused = frozenset({"a"})
    merged = commented(commented(A, "left"), "right")

    report = await world.cycle()
    assert world.writes.right == []  # it gets a merged record only when the left one has it
    world[side].refused = frozenset()
    world[side].put(PROJECT, commented(world[side].records[key("a")], "later"))
    last = await world.cycle()

    assert [(failure.label, failure.side) for failure in report.failed] == [("a", side)]
    assert last.ok
    assert lines(world.left) == lines(world.right) == {*lines_of(merged), "later"}
    assert world.contents.left == world.contents.right


def lines(store):
    """Return the comments of record a. Fails if one is there twice."""
    return lines_of(store.records[key("a")])


def lines_of(made):
    """Return the lines of the outcome. Fails if one is there twice."""
    found = made.outcome.split("\n")
    assert len(found) == len(set(found)), found
    return set(found)


async def test_record_that_a_store_alters_is_reported(world):
    """It is not in sync; the report names the fields."""
    world.right = AlteringStore("right", lambda each: change(each, user="nobody"))
    world.left.put(PROJECT, full())

    report = await world.cycle()

    (failure,) = report.failed
    assert (failure.label, failure.side) == ("full", Side.RIGHT)
    assert sentence(failure.why) == "the right store stored something different: user"
    assert (report.in_sync, world.contents.left) == (0, holding(full()))


@pytest.mark.parametrize(
    ("before", "edit", "alter"),
    [
        (A, full(), {"user": "nobody"}),
        (A, full(), {"output_data": ()}),
        (full(), tagged(full(), "good"), {"diff": ""}),
        (full(), commented(full(), "good"), {"duration": None, "tags": FINISHED}),
    ],
    ids=["created", "created without data", "tagged", "commented"],
)
async def test_store_that_alters_records_is_not_written_forever(world, before, edit, alter):
    """smtd does not write to it in every cycle, nor copy the alteration to the other side."""
    altered = {digest(edit): change(edit, **alter)}
    world.right = AlteringStore("right", lambda each: altered.get(digest(each), each))
    await world.synced(before)
    world.left.put(PROJECT, edit)

    report = await world.cycle()
    world.right.changes.clear()
    world.left.put(PROJECT, B)
    again = await world.cycle()

    assert [failure.side for failure in report.failed] == [Side.RIGHT]
    assert [failure.label for failure in again.failed] == ["full"]
    assert world.writes == Both([], ["b"])
    assert world.contents.left == holding(before, B) | holding(edit)


@pytest.mark.parametrize(
    ("edit", "alter"),
    [
        (tagged(full(), "good"), {"tags": FINISHED | {"goo"}}),
        (commented(full(), "good"), {"outcome": "converged\ngoo"}),
        (change(full(), reason="why"), {"reason": "wh"}),
    ],
    ids=["tags", "outcome", "reason"],
)
async def test_annotation_that_differs_in_the_read_back_is_an_edit(world, edit, alter):
    """A user was quicker than the read-back: their edit is copied, once, and nothing is lost."""
    altered = {digest(edit): change(edit, **alter)}
    world.right = AlteringStore("right", lambda each: altered.get(digest(each), each))
    await world.synced(full(), A)
    world.left.put(PROJECT, edit)

    await world.cycle()
    report = await world.cycle()

    assert report.ok
    assert world.contents == alike(change(edit, **alter), A)
    assert {each for *_, each in world.history()} >= {digest(full()), digest(edit)}
    assert await second_cycle_does_nothing(world)


@pytest.mark.parametrize("error", [StoreUnreachable, StoreRefused])
@both_sides
async def test_unreadable_store_stops_the_cycle(world, side, error):
    """A store that cannot be read whole is an error; smtd writes and deletes nothing."""
    await world.synced(A, B)
    world.left.remove(PROJECT, "a")
    before = world.contents, world.knowledge()["agreed"]

    async def scan(_projects):
        raise error("it is locked")

    world[side].scan = scan
    world[side].touch()

    with pytest.raises(error, match="it is locked"):
        await world.cycle()
    assert (world.contents, world.knowledge()["agreed"]) == before


async def test_two_unreadable_stores_raise_one_plain_error(world):
    """The caller gets an error that it can show, not a group of errors."""

    async def scan(_projects):
        raise StoreUnreachable("it is locked")

    world.left.scan = world.right.scan = scan

    with pytest.raises(StoreError, match="it is locked"):
        await world.cycle()


@both_sides
async def test_unreadable_record_is_reported_and_left_alone(world, side):
    """smtd neither deletes, overwrites nor copies it."""
    await world.synced(A, B)
    unreadable(world[side], "a")
    world.left.put(PROJECT, tagged(B, "good"))
    before = world[side.other].records[key("a")]

    report = await world.cycle()

    (failure,) = report.failed
    assert (failure.label, failure.side, sentence(failure.why)) == (
        "a",
        side,
        "it cannot be read: torn",
    )
    assert (report.in_sync, counts(report)) == (1, written(right=(0, 1, 0)))
    assert world[side.other].records[key("a")] is before


def unreadable(store, label):
    """Make a record of *store* one that cannot be read."""
    whole = store.scan

    async def scan(projects):
        found = await whole(projects)
        digests = {name: each for name, each in found.digests.items() if name.label != label}
        return type(found)(digests, found.unfinished, {key(label): "torn"})

    store.scan = scan
    store.touch()


async def test_record_that_the_history_cannot_hold_is_not_overwritten(world):
    """It is reported as failed."""
    await world.synced(A, B)
    world.right.put(PROJECT, change(A, outcome="\ud800"))
    world.left.put(PROJECT, commented(A, "good"))
    world.left.put(PROJECT, tagged(B, "good"))
    before = world.right.records[key("a")]

    report = await world.cycle()

    assert {failure.label for failure in report.failed} | {found.label for found in report.conflicts} == {"a"}
    assert world.right.records[key("a")] is before
    assert world.contents.right[key("b")] == digest(tagged(B, "good"))


@pytest.mark.parametrize("name", ["project", "label"])
async def test_record_whose_name_is_not_text_is_reported(world, name):
    """With a readable form of the name, which no journal or report can hold; the others are synced."""
    project, label = ("lone\ud800", "a") if name == "project" else (PROJECT, "lone\ud800")
    world.left.put(project, record(label))
    world.left.put(PROJECT, B)

    report = await world.cycle()

    (failure,) = report.failed
    assert "lone\\ud800" in (failure.project, failure.label)
    assert sentence(failure.why) == "its name is not text; rename it there"
    assert set(world.right.records) == {key("b")}


async def test_store_message_that_is_not_text_is_escaped(world):
    """Everything else is synced."""
    world.left.put(PROJECT, A)
    world.left.put(PROJECT, B)
    whole = world.left.scan

    async def scan(projects):
        found = await whole(projects)
        return type(found)({key("b"): found.digests[key("b")]}, (), {Key(PROJECT, "lone\ud800"): "\udcff"})

    world.left.scan = scan

    report = await world.cycle()
    again = await world.cycle()

    (failure,) = report.failed
    assert (failure.label, sentence(failure.why)) == ("lone\\ud800", "it cannot be read: \\udcff")
    assert msgspec.json.decode(msgspec.json.encode(report.failed), type=list[Failure]) == again.failed
    assert set(world.right.records) == {key("b")}


async def test_record_with_another_label_than_its_key_is_not_written(world):
    """A store that returns another record than requested overwrites nothing, and the others are synced."""
    await world.synced(A, B)
    world.left.put(PROJECT, commented(B, "good"))
    world.left.records[key("a")] = commented(B, "of another")
    world.left._version += 1

    report = await world.cycle()

    assert [(each.label, sentence(each.why)) for each in report.failed] == [
        ("a", "a store returned b when asked for a")
    ]
    assert digest(world.right.records[key("a")]) == digest(A)
    assert digest(world.right.records[key("b")]) == digest(commented(B, "good"))


async def test_unfinished_run_of_the_last_date_is_held(world):
    """Its end cannot be computed, which stops nothing."""
    end = datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone.utc)
    world.left.put(PROJECT, record("late", timestamp=end, tags=RUNNING, duration=None))
    world.left.put(PROJECT, A)

    report = await world.cycle(stale_after=7 * 86_400.0)

    assert [(held.label, held.until) for held in report.held] == [("late", None)]
    assert set(world.right.records) == {key("a")}


#: Metadata that only a shelf can hold, and that count as equal to {"1": 2}.
BEYOND_WORDS: Any = {1: 2}


async def test_equal_records_that_the_journal_cannot_hold_stop_nothing(world):
    """smtd reports them, and agrees on the others."""
    beyond = full(output_data=(DataKey("run/result.csv", "1" * 40, None, BEYOND_WORDS),))
    for store in (world.left, world.right):
        store.put(PROJECT, beyond)
        store.put(PROJECT, A)

    report = await world.cycle()

    assert [failure.label for failure in report.failed] == ["full"]
    assert (report.in_sync, counts(report)) == (1, written())


@both_sides
async def test_merge_with_a_side_that_the_history_cannot_hold_loses_nothing(world, side):
    """Neither side's comment is overwritten."""
    before = full(output_data=(DataKey("run/result.csv", "1" * 40, None, {"1": 2}),))
    same_meaning = change(before, output_data=(DataKey("run/result.csv", "1" * 40, None, BEYOND_WORDS),))
    await world.synced(before, A)
    world[side].put(PROJECT, commented(same_meaning, "here"))
    world[side.other].put(PROJECT, commented(before, "there"))

    await world.cycle()
    world.left.put(PROJECT, B)
    report = await world.cycle()

    assert "full" in {failure.label for failure in report.failed}
    assert "here" in world[side].records[key("full")].outcome
    assert "there" in world[side.other].records[key("full")].outcome


async def test_refused_write_is_retried_at_growing_intervals(world, monkeypatch):
    """After one minute, two, four; at once if the record changed, or on request; all reports have it."""
    now = 1_800_000_000.0
    monkeypatch.setattr("smtd.engine.cycle.time.time", lambda: now)
    refusing(world).refused = frozenset({"a"})
    world.left.put(PROJECT, A)

    for pause in (60.0, 120.0, 240.0):
        report = await world.cycle(force_retry=False)
        assert (report.again, len(report.failed)) == (now + pause, 1)
        world.left.put(PROJECT, change(B, reason=str(pause)))  # a change of another record causes no retry
        later = await world.cycle(force_retry=False)
        assert (later.again, len(later.failed), later.right.written) == (now + pause, 1, 1)
        now += pause

    world.left.put(PROJECT, tagged(A, "edited"))
    report = await world.cycle(force_retry=False)
    assert report.again == now + 60.0
    world.right.refused = frozenset()
    assert (await world.cycle(force_retry=False)).failed != []
    report = await world.cycle()
    assert (report.ok, report.again, world.contents.right) == (True, None, world.contents.left)


async def test_refused_half_of_a_merge_is_retried_at_growing_intervals_too(world):
    """Neither half is written meanwhile."""
    refusing(world)
    await world.synced(A, B, C, record("d"))
    world.right.refused = frozenset({"a"})
    world.left.put(PROJECT, tagged(A, "left"))
    world.right.put(PROJECT, tagged(A, "right"))
    await world.cycle(force_retry=False)
    await world.cycle(force_retry=False)
    world.left.changes.clear()
    world.left.put(PROJECT, tagged(B, "left"))
    world.left.remove(PROJECT, "c")

    report = await world.cycle(force_retry=False)

    assert ([each.label for each in report.failed], counts(report)) == (["a"], written(right=(0, 1, 1)))
    assert world.left.changes == []


class BluntStore(TestStore):
    """A store that returns records which have no digest."""

    async def read(self, keys):
        return {name: self.records[name] for name in keys if name in self.records}


async def test_record_that_becomes_impossible_to_compare_is_not_overwritten(tmp_path):
    """It cannot be the record that the plan saw."""
    world = await World(tmp_path, BluntStore("left"), BluntStore("right")).synced(A, B)
    world.left.put(PROJECT, tagged(A, "edited"))
    spoilt = change(A, parameters=Parameters("dict", "print(1)"))
    world.right.meanwhile["after scan"] = lambda: world.right.put(PROJECT, spoilt)

    report = await world.cycle()

    assert world.right.records[key("a")] == spoilt
    assert not report.ok
