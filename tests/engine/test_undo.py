"""Undo reverts a cycle on both sides, and restore brings one record back with every field."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from smtd.engine.edit import restore
from smtd.engine.explain import explain, show
from smtd.engine.report import Hold
from smtd.engine.undo import undo
from smtd.errors import JournalError, UsageError
from smtd.merge.decide import Conflicts, Mode
from smtd.merge.sides import SIDES, Side
from smtd.output import shapes
from smtd.output.english import sentence
from smtd.records.record import Component, Parameters
from tests.build import PROJECT, RUNNING, change, commented, full, key, record, tagged
from tests.engine.world import (
    RefusingStore,
    UnlockedStore,
    World,
    alike,
    counts,
    on,
    second_cycle_does_nothing,
    written,
)

A, B, C, D = (full(label) for label in "abcd")


async def check(pair):
    """Check the history of *pair*."""
    return await pair.journal.history.check()


async def prune(pair, **limits):
    """Prune the history to the *limits*."""
    return await pair.journal.history.prune(**limits)


def last_cycle(world):
    """Return the number of the last cycle that wrote."""
    ((number,),) = world.journal("SELECT max(cycle) FROM history")
    return number


#: For what is written to stores, as those without a lock have a log of writes.
with_and_without_a_lock = pytest.mark.parametrize("world", ["locked", "unlocked"], indirect=True)


@pytest.fixture
async def world(request, tmp_path):
    """Two stores in sync; then a creation, an edit and a deletion on each side, and a merge."""
    kind = getattr(request, "param", "locked")
    stores = (UnlockedStore("left"), UnlockedStore("right")) if kind == "unlocked" else ()
    made = await World(tmp_path, *stores).synced(A, B, C, D, full("e"))
    made.left.put(PROJECT, tagged(A, "edited"))
    made.right.put(PROJECT, change(B, outcome="edited"))
    made.left.remove(PROJECT, "c")
    made.right.remove(PROJECT, "d")
    made.left.put(PROJECT, commented(full("e"), "left"))
    made.right.put(PROJECT, commented(full("e"), "right"))
    made.left.put(PROJECT, full("new left"))
    made.right.put(PROJECT, full("new right"))
    return made


async def explained(world, name, **policy):
    """Return what `smtd-ctl explain` prints of a record."""
    return shapes.explanation(await world.do(explain, name, policy=policy))


@with_and_without_a_lock
async def test_cycle_is_undone_on_both_sides(world):
    """Both stores hold what they held before it, and keep it."""
    before = world.contents, dict(world.left.records), dict(world.right.records)
    assert (await world.cycle()).ok
    assert world.contents.left == world.contents.right

    result = await world.do(undo, last_cycle(world))

    assert result.refused == []
    assert sorted((step.label, step.side.value, step.action) for step in result.done) == [
        ("a", "right", "update"),
        ("b", "left", "update"),
        ("c", "right", "create"),
        ("d", "left", "create"),
        ("e", "left", "update"),
        ("e", "right", "update"),
        ("new left", "right", "delete"),
        ("new right", "left", "delete"),
    ]
    assert (world.contents, world.left.records, world.right.records) == before
    report = await world.cycle()
    assert (counts(report), {held.kind for held in report.held}, len(report.held)) == (
        written(),
        {Hold.UNDONE},
        7,
    )
    assert await second_cycle_does_nothing(world)


@with_and_without_a_lock
async def test_undo_can_be_undone(world):
    """What it overwrote is in the history, too."""
    await world.cycle()
    after = world.contents
    await world.do(undo, last_cycle(world))

    result = await world.do(undo, last_cycle(world))

    assert result.refused == []
    assert world.contents == after


@with_and_without_a_lock
async def test_keys_that_changed_since_are_refused_and_the_rest_is_undone(world):
    """Undo does not overwrite what a user wrote since, and refuses such a key on both sides."""
    await world.cycle()
    world.left.put(PROJECT, tagged(world.left.records[key("e")], "later"))
    world.right.put(PROJECT, tagged(world.right.records[key("a")], "later"))
    kept = {label: world.right.records[key(label)] for label in ("a", "e")}

    result = await world.do(undo, last_cycle(world))

    assert [(each.label, each.side) for each in result.refused] == [("a", Side.RIGHT), ("e", Side.LEFT)]
    assert "it has changed since" in sentence(result.refused[0].why)
    assert {label: world.right.records[key(label)] for label in ("a", "e")} == kept
    assert key("new left") not in world.right.records


async def test_dry_run_of_an_undo_reports_the_same_and_writes_nothing(world):
    """The same list, and no byte changes."""
    await world.cycle()
    before = world.contents, world.knowledge()

    told = await world.do(undo, last_cycle(world), dry_run=True)

    assert (world.contents, world.knowledge()) == before
    done = await world.do(undo, last_cycle(world))
    assert told == done


@with_and_without_a_lock
async def test_edit_of_an_undone_record_is_synced_again(world):
    """Undone records stay pinned until a user changes them."""
    await world.cycle()
    await world.do(undo, last_cycle(world))
    world.left.put(PROJECT, tagged(A, "edited", "again"))

    report = await world.cycle()

    assert counts(report) == on(Side.RIGHT, updated=1)
    assert world.right.records[key("a")].tags == tagged(A, "edited", "again").tags


async def test_cycle_that_wrote_nothing_cannot_be_undone(world):
    """Nor a cycle of another pair, or one that never ran."""
    with pytest.raises(UsageError, match="cycle 4711 of this pair wrote nothing; smtd history lists"):
        await world.do(undo, 4711)


async def test_write_without_digests_in_the_history_is_not_undone(world):
    """An older smtd did not record them, so a user's edit since would not show."""
    await world.cycle()
    world.change_journal(
        "UPDATE history SET before = NULL, after = NULL WHERE label = 'a' AND action = 'update'"
    )

    result = await world.do(undo, last_cycle(world))

    ((label, error),) = [(each.label, sentence(each.why)) for each in result.refused]
    assert (label, "an older smtd wrote it" in error) == ("a", True)
    assert key("new left") not in world.right.records


async def test_record_is_restored_to_an_earlier_time(tmp_path):
    """On both sides, whether it was deleted or edited since; the replaced record is in the history."""
    world = await World(tmp_path).synced(A, B)
    then = datetime.now(timezone.utc)
    world.left.put(PROJECT, change(A, outcome="spoilt"))
    world.right.remove(PROJECT, "b")
    await world.cycle()

    for label in ("a", "b"):
        report = await world.do(restore, key(label), then)
        assert report.failed == []

    assert world.contents == alike(A, B)
    assert counts(await world.cycle()) == written()
    with pytest.raises(UsageError, match="MyProject/a is the same as at"):
        await world.do(restore, key("a"), then)
    for label, at in (("a", then - timedelta(days=1)), ("nobody", then)):
        with pytest.raises(UsageError, match=f"smtd has no version of MyProject/{label} from"):
            await world.do(restore, key(label), at)


async def test_restore_of_a_misspelt_label_names_the_likely_one(tmp_path):
    """Whatever the time; a record that smtd knew is none."""
    world = await World(tmp_path).synced(record("wave"), record("sound"))
    world.left.remove(PROJECT, "sound")
    await world.cycle()

    for at in (datetime.now(timezone.utc), datetime.now(timezone.utc) - timedelta(days=1)):
        with pytest.raises(
            UsageError, match=r"no version of MyProject/waev from .*; did you mean 'MyProject/wave'\?"
        ):
            await world.do(restore, key("waev"), at)
    with pytest.raises(UsageError, match=r"no version of MyProject/sound from .*; what it knows"):
        await world.do(restore, key("sound"), datetime.now(timezone.utc) - timedelta(days=1))


@pytest.mark.parametrize("side", SIDES, ids=["left", "right"])
async def test_restore_ignores_an_edit_that_was_never_synced(tmp_path, side):
    """Without a later write the record was as agreed, whichever side was edited since."""
    world = await World(tmp_path).synced(A)
    then = datetime.now(timezone.utc)
    world[side].put(PROJECT, change(A, outcome="spoilt"))

    report = await world.do(restore, key("a"), then)

    assert counts(report) == on(side, updated=1)
    assert world.contents == alike(A)


async def test_check_finds_every_change_of_the_history(world):
    """A change of any sealed column, an extra row, a missing row."""
    await world.cycle()

    seal = await world.do(check)
    assert seal.entries == len(world.journal("SELECT id FROM history"))
    for number, tampering in enumerate(
        (
            "UPDATE history SET reason = 'another' WHERE id = 3",
            "UPDATE history SET record = NULL WHERE action = 'update'",
            "DELETE FROM history WHERE id = 4",
            "INSERT INTO history SELECT id + 100, cycle, at, side, project, label, action, reason, record,"
            " before, after, landed FROM history WHERE id = 1",
            "UPDATE seal SET hash = x'00' WHERE last > 0",
        )
    ):
        other = world.fork(world.directory / f"tampered {number}")
        assert other.change_journal(tampering) > 0
        with pytest.raises(JournalError, match="the history was altered"):
            await other.do(check)


async def test_pruned_history_can_still_be_checked(world):
    """Pruning by age or size removes whole cycles, and leaves the seal of the last one."""
    await world.cycle()
    (before,) = world.journal("SELECT max(id) FROM history")
    world.left.put(PROJECT, tagged(world.left.records[key("a")], "later"))
    await world.cycle()
    world.change_journal("UPDATE history SET at = '2020-01-01' WHERE id <= 4")

    assert await world.do(prune, age=timedelta(days=365), size=10**9) == 0  # a part of a cycle
    world.change_journal(f"UPDATE history SET at = '2020-01-01' WHERE id <= {before[0]}")
    assert await world.do(prune, age=timedelta(days=365), size=10**9) == before[0]
    assert (await world.do(check)).entries == len(world.journal("SELECT id FROM history"))
    assert await world.do(prune, age=timedelta(days=365), size=0) > 0
    assert world.journal("SELECT id FROM history WHERE record IS NOT NULL") == []
    assert (await world.do(check)).entries == len(world.journal("SELECT id FROM history"))


async def forget(pair, cycles):
    """Prune the oldest *cycles*, as history_size does."""
    (cut,) = await pair.journal._db.fetch(
        "SELECT sum(length(record)) FROM history WHERE cycle >= (SELECT max(cycle) FROM ("
        "SELECT DISTINCT cycle FROM history WHERE record NOT NULL ORDER BY cycle LIMIT ?))",
        (cycles,),
    )
    await pair.journal.history.prune(timedelta(days=365), cut[0] - 1)


@pytest.fixture
async def edited(tmp_path):
    """A record that was edited three times, the first edit pruned; with the times before each edit."""
    world, times = await World(tmp_path).synced(A, B), []
    for outcome in ("first", "second", "third"):
        times.append(datetime.now(timezone.utc))
        world.left.put(PROJECT, change(A, outcome=outcome))
        world.left.put(PROJECT, change(B, outcome=outcome))
        await world.cycle()
    await world.do(forget, 1)
    return world, times


async def test_restore_refuses_a_time_before_the_kept_history(edited):
    """With the oldest known time; from then on a restore works."""
    world, (first, second, third) = edited
    before = world.contents

    with pytest.raises(
        UsageError, match=r"has no version of MyProject/a from .*; .* goes back to 20\d\d-.*\+00:00"
    ) as told:
        await world.do(restore, key("a"), first)
    assert world.contents == before
    oldest = datetime.fromisoformat(str(told.value).rsplit(" ", 1)[-1])
    assert first < oldest <= second

    for at, outcome in ((oldest, "first"), (third, "second")):
        await world.do(restore, key("a"), at)
        assert world.left.records[key("a")].outcome == outcome


async def test_cycle_that_was_pruned_in_part_or_whole_is_not_undone(edited):
    """Not even in part, and the error says why; later cycles can be undone."""
    world, _ = edited
    cycles = [number for (number,) in world.journal("SELECT id FROM cycle ORDER BY id")]

    assert world.journal(f"SELECT id FROM history WHERE cycle <= {cycles[1]}") == []
    for number in cycles[:2]:
        with pytest.raises(
            UsageError, match=r"cycle \d is no longer complete in the history, which goes back to 20"
        ):
            await world.do(undo, number)
    # A cycle of which a part was pruned.
    world.change_journal(f"UPDATE forgotten SET cycle = {cycles[2]}")
    with pytest.raises(UsageError, match="is no longer complete in the history"):
        await world.do(undo, cycles[2])
    assert (await world.do(undo, cycles[3])).refused == []


async def test_explanation_says_how_far_the_history_goes_back(edited):
    """A user who sees no entry must not conclude that nothing was written."""
    world, _ = edited

    told = await world.do(explain, key("a"))
    shown = await world.do(show, key("a"))

    ((at,),) = world.journal("SELECT at FROM forgotten")
    assert (told.forgotten, shown.forgotten) == (at, at)


async def test_restore_cannot_go_back_before_an_equal_edit_of_both_sides(tmp_path):
    """smtd wrote nothing then, so the history does not have the previous state."""
    world = await World(tmp_path).synced(A)
    then = datetime.now(timezone.utc)
    for store in (world.left, world.right):
        store.put(PROJECT, change(A, outcome="seen by both"))
    await world.cycle()

    with pytest.raises(UsageError, match="smtd has no version of MyProject/a from"):
        await world.do(restore, key("a"), then)


async def test_wrong_clock_makes_no_entry_old(world):
    """Pruning keeps entries that were written before and after it with the right time."""
    await world.cycle()
    world.change_journal("UPDATE history SET at = '1970-01-01' WHERE id = (SELECT max(id) FROM history)")

    assert await world.do(prune, age=timedelta(days=365), size=10**9) == 0


@pytest.mark.parametrize(
    ("label", "rule", "then"),
    [
        ("a", "changed on the left", "the next cycle copies it to the right"),
        ("d", "deleted on the right", "the next cycle deletes it from the left"),
        ("e", "both sides changed it", "the next cycle writes it to both sides"),
        ("new right", "new on the right", "the next cycle copies it to the left"),
        ("kept", "in sync: both sides hold the same record", "nothing"),
        ("running", "held: running", "smtd syncs it when its run is over"),
        ("conflict", "both sides changed version", "use smtd resolve to take left, right or both"),
    ],
)
async def test_explanation_says_which_rule_decides_and_what_follows(world, label, rule, then):
    """For each state of a record."""
    world.left.put("Other", record("kept"))
    await world.cycle(projects=frozenset({"Other"}))
    world.left.put(PROJECT, record("running", tags=RUNNING, duration=None))
    for store, version in ((world.left, "1"), (world.right, "2")):
        store.put(PROJECT, record("conflict", version=version))

    found = await explained(world, key(label, "Other" if label == "kept" else PROJECT))

    assert found["rule"].startswith(rule)
    assert found["next"].startswith(then)


async def test_explanation_has_the_baseline_and_the_last_writes(world):
    """With their times."""
    await world.cycle()

    found = await explained(world, key("a"))

    assert found["left"] == found["right"] is not None
    assert found["agreed"]["left"] == found["left"]
    assert datetime.fromisoformat(found["agreed"]["at"]).tzinfo is not None
    assert [(each["side"], each["action"], each["reason"]) for each in found["history"]] == [
        ("right", "update", "changed on the left"),
        ("right", "create", "new on the left"),
    ]
    with pytest.raises(UsageError, match="neither side has MyProject/nobody, and smtd has no history of it"):
        await world.do(explain, key("nobody"))


async def test_record_is_shown_field_by_field(world):
    """What each side has, the baseline, and which fields differ."""
    found = await world.do(show, key("e"))

    assert found.differing == ["outcome"]
    assert found.fields["outcome"] == {
        "left": "converged\nleft",
        "right": "converged\nright",
        "agreed": "converged",
    }
    with pytest.raises(UsageError, match="neither side has MyProject/nobody"):
        await world.do(show, key("nobody"))


@with_and_without_a_lock
async def test_edit_after_an_undone_merge_overwrites_neither_comment(world):
    """Both sides had a comment; the user is asked which record to keep."""
    await world.cycle()
    await world.do(undo, last_cycle(world))
    world.left.put(PROJECT, tagged(world.left.records[key("e")], "later"))

    report = await world.cycle()

    assert [(each.label, each.fields) for each in report.conflicts] == [("e", ("outcome",))]
    assert world.right.records[key("e")].outcome == "converged\nright"


@with_and_without_a_lock
async def test_edit_after_an_undone_update_is_merged_with_the_other_side(world):
    """The edit that was undone on one side is still on the other, and is not lost there."""
    await world.cycle()
    await world.do(undo, last_cycle(world))
    world.right.put(PROJECT, change(world.right.records[key("a")], reason="by a person"))

    await world.cycle()

    for store in (world.left, world.right):
        assert (store.records[key("a")].reason, "edited" in store.records[key("a")].tags) == (
            "by a person",
            True,
        )


async def test_edit_after_an_undone_resolution_is_a_conflict_again(tmp_path):
    """Two experiments under one label, as before the decision."""
    world = World(tmp_path)
    world.left.put(PROJECT, change(A, version="1111"))
    world.right.put(PROJECT, change(A, version="2222"))
    await world.cycle(conflicts=Conflicts.LEFT)
    await world.do(undo, last_cycle(world))
    world.left.put(PROJECT, change(A, version="1111", outcome="edited"))

    report = await world.cycle()

    assert [(each.label, "version" in each.fields) for each in report.conflicts] == [("a", True)]
    assert (counts(report), world.right.records[key("a")].version) == (written(), "2222")


@with_and_without_a_lock
@pytest.mark.parametrize("side", [Side.LEFT, Side.RIGHT], ids=["left", "right"])
async def test_edit_during_an_undo_is_kept_on_both_sides(world, side):
    """A merge is undone whole or not at all; the undo reports it, and pins nothing half way."""
    await world.cycle()
    merged = world[side].records[key("e")]
    edited = tagged(merged, "quicker")
    world[side].meanwhile["before write"] = lambda: world[side].put(PROJECT, edited)
    for label in ("a", "b", "c", "d", "new left", "new right"):  # so that the merge is undone first
        for each in (Side.LEFT, Side.RIGHT):
            world[each].records.pop(key(label), None)

    result = await world.do(undo, last_cycle(world))

    assert ("e", None) in {(each.label, each.side) for each in result.refused}
    assert "e" not in {step.label for step in result.done}
    assert world.journal("SELECT label FROM decision WHERE label = 'e'") == []
    await world.cycle()
    assert world.left.records[key("e")] == world.right.records[key("e")] == edited


async def test_record_that_becomes_unreadable_during_an_undo_is_not_overwritten(tmp_path):
    """The undo reports its side, and undoes the rest."""
    world = await World(tmp_path).synced(A, B)
    for made in (A, B):
        world.left.put(PROJECT, tagged(made, "edited"))
    await world.cycle()
    spoilt = change(A, launch_mode=Component("SerialLaunchMode", {"x": 2**70}))
    world.right.meanwhile["after scan"] = lambda: world.right.put(PROJECT, spoilt)

    result = await world.do(undo, last_cycle(world))

    assert [step.label for step in result.done] == ["b"]
    (refused,) = result.refused
    assert (refused.label, refused.side) == ("a", Side.RIGHT)
    assert sentence(refused.why).startswith("a value cannot be written as text")
    assert world.right.records == {key("a"): spoilt, key("b"): B}


async def test_record_that_changes_during_a_restore_is_not_overwritten(tmp_path):
    """The error asks the user to look again."""
    world = await World(tmp_path).synced(A)
    then = datetime.now(timezone.utc)
    world.left.put(PROJECT, tagged(A, "edited"))
    await world.cycle()
    quicker = tagged(A, "quicker")
    world.right.meanwhile["before write"] = lambda: world.right.put(PROJECT, quicker)

    report = await world.do(restore, key("a"), then)

    assert [(each.label, sentence(each.why)) for each in report.failed] == [
        ("a", "it changed during the restore; restore it again")
    ]
    assert world.right.records[key("a")] == quicker


async def test_explanation_says_why_a_record_is_left_alone(tmp_path):
    """A refusal, a failure, an edit not recorded yet, and a change that the pair does not copy."""
    world = await World(tmp_path, right=RefusingStore("right")).synced(A, B, C, D)
    refusing = world.right
    assert isinstance(refusing, RefusingStore)
    refusing.refused = frozenset({"refused"})
    world.left.put(PROJECT, full("refused"))
    world.left.put(PROJECT, full("\ud800"))
    await world.cycle()
    for store in (world.left, world.right):
        store.put(PROJECT, tagged(A, "same"))
        store.remove(PROJECT, "b")
    world.left.put(PROJECT, change(C, parameters=Parameters("dict", "print(1)")))
    world.right.remove(PROJECT, "d")

    told = {label: await explained(world, key(label)) for label in ("a", "b", "c", "refused")}
    kept = await explained(world, key("d"), propagate_deletes=False)
    waiting = await explained(world, key("refused"), mode=Mode.RIGHT_TO_LEFT)

    nothing = "nothing: the next cycle will record it"
    assert {label: (each["rule"], each["next"]) for label, each in told.items() if label in "ab"} == {
        "a": ("both sides are equal", nothing),
        "b": ("both sides are equal", nothing),
    }
    assert told["c"]["rule"] == "failed on the left"
    assert told["c"]["next"].startswith("it cannot be read")
    assert told["refused"]["next"] == "the next cycle copies it to the right"
    assert kept["rule"] == "the sides differ, but the pair does not sync this change"
    assert waiting["rule"] == "refused 1 times: the right store cannot hold it: its label is too long"
    assert waiting["next"].startswith("smtd tries again at ")


async def test_explanation_of_a_deleted_record_shows_its_history(tmp_path):
    """The history outlives the record."""
    world = await World(tmp_path).synced(A, B)
    world.left.remove(PROJECT, "a")
    await world.cycle()

    found = await explained(world, key("a"))

    assert (found["rule"], found["next"], found["left"], found["agreed"]) == (
        "neither side has it",
        "nothing",
        None,
        None,
    )
    assert [each["action"] for each in found["history"]] == ["delete", "create"]


async def test_record_of_only_one_side_is_shown(tmp_path):
    """With no values for the other side, and none for a baseline that never was."""
    world = World(tmp_path)
    world.left.put(PROJECT, A)

    found = await world.do(show, key("a"))

    assert found.differing == []
    assert found.fields["tags"] == {"left": ["_finished_", "figure-2"], "right": None, "agreed": None}
