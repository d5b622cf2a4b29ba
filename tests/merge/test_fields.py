"""Two versions of one record, field by field: what merges, what takes one side, what is a conflict."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings

from smtd.merge.fields import (
    ANNOTATIONS,
    PROVENANCE,
    WHEREABOUTS,
    Merged,
    Unmergeable,
    contains_all,
    is_built_on,
    mended,
    merge,
)
from smtd.records.canonical import digest
from smtd.records.record import (
    FIELDS,
    Component,
    DataKey,
    Executable,
    Parameters,
    Pickled,
    Platform,
    Repository,
)
from tests.build import FINISHED, MOMENT, NUMPY, OUTPUT, RUNNING, change, full, record, tagged
from tests.records.strategies import versions

#: As many as `make mutation` needs.
MANY = settings(max_examples=100)
ELSEWHERE = Component("FileSystemDataStore", {"root": "/elsewhere"})

#: Another value for every field of `full()`.
OTHER: dict[str, Any] = {
    "timestamp": MOMENT + timedelta(hours=1),
    "reason": "a second look",
    "duration": 2.5,
    "executable": Executable("/usr/bin/python3", "Python", "3.13.0", "-O"),
    "repository": Repository("GitRepository", "/other"),
    "main_file": "other.py",
    "version": "beef",
    "parameters": Parameters("SimpleParameterSet", "seed = 2"),
    "input_data": (DataKey("input/other.csv", "2" * 40),),
    "script_arguments": "<parameters> 8",
    "launch_mode": Component("SerialTqdmLaunchMode", {"working_directory": "/code", "options": None}),
    "datastore": ELSEWHERE,
    "input_datastore": ELSEWHERE,
    "outcome": "diverged",
    "output_data": (DataKey("run/other.csv", "3" * 40),),
    "tags": frozenset({"_finished_", "figure-3"}),
    "diff": "",
    "user": "bob",
    "dependencies": (),
    "platforms": (Platform(network_name="node-2"),),
    "stdout_stderr": "other\n",
    "repeats": None,
}


def record_of(result):
    """Return the merged record. Fails if there is a conflict."""
    assert isinstance(result, Merged), result
    return result.record


def test_fields_are_annotations_whereabouts_or_provenance():
    """Every field is of one kind, and the tests below have another value for it."""
    kinds = ANNOTATIONS + WHEREABOUTS + PROVENANCE

    assert sorted(kinds) == sorted(FIELDS) == sorted(OTHER)


@pytest.mark.parametrize("field", ANNOTATIONS + WHEREABOUTS)
def test_field_that_one_side_changed_is_taken_from_it(field):
    """An edit on one side is merged with an edit of another field on the other side."""
    other_field = "reason" if field != "reason" else "outcome"
    left, right = change(full(), **{field: OTHER[field]}), change(full(), **{other_field: "why not"})

    for result in (merge(full(), left, right), merge(full(), right, left)):
        assert digest(record_of(result)) == digest(
            change(full(), **{field: OTHER[field], other_field: "why not"})
        )


@pytest.mark.parametrize("field", ANNOTATIONS + WHEREABOUTS)
def test_equal_edit_of_a_field_on_both_sides_is_no_conflict(field):
    """The same edit on both sides is one edit."""
    left = tagged(change(full(), **{field: OTHER[field]}), "left")
    right = tagged(change(full(), **{field: OTHER[field]}), "right")
    expected = tagged(change(full(), **{field: OTHER[field]}), "left", "right")

    assert digest(record_of(merge(full(), left, right))) == digest(expected)


@pytest.mark.parametrize("field", PROVENANCE)
@pytest.mark.parametrize("ancestor", [full(), None], ids=["agreed", "never agreed"])
def test_different_provenance_is_a_conflict(ancestor, field):
    """It is another experiment: no rule decides, and the conflict names the field."""
    left, right = change(full(), **{field: OTHER[field]}), tagged(full(), "x")

    assert merge(ancestor, left, right) == Unmergeable((field,))
    assert merge(ancestor, right, left) == Unmergeable((field,))


@pytest.mark.parametrize("field", PROVENANCE)
def test_provenance_that_both_sides_changed_is_a_conflict(field):
    """There are two other experiments, also if the run was unfinished."""
    ancestor = full(**{"tags": RUNNING, "duration": None, field: OTHER[field]})
    left = full(tags=FINISHED)
    right = full(tags=FINISHED, **{field: WRONG[field]})

    assert merge(ancestor, left, right) == Unmergeable((field,))


#: A third value for every field of the provenance.
WRONG: dict[str, Any] = {field: getattr(record(), field) for field in PROVENANCE} | {
    "timestamp": MOMENT + timedelta(hours=2),
    "duration": 3.5,
    "executable": None,
    "repository": None,
    "main_file": "third.py",
    "version": "cafe",
    "parameters": Parameters("SimpleParameterSet", "seed = 3"),
    "launch_mode": Component("SlurmMPILaunchMode", {"n": 2}),
    "diff": "- c\n",
    "dependencies": (NUMPY, NUMPY.__class__("python", "scipy", "", "1")),
    "stdout_stderr": "third\n",
    "repeats": "third-run",
}


def test_conflict_names_all_fields_in_the_order_of_sumatra():
    """A user sees all differences at once."""
    left = change(full(), diff="", duration=2.5, version="beef", reason="one")
    right = change(full(), reason="another")

    assert merge(full(), left, right) == Unmergeable(("duration", "version", "diff"))


@pytest.mark.parametrize("field", ["reason", *WHEREABOUTS])
def test_field_that_both_sides_replaced_is_a_conflict(field):
    """If both sides replaced the old value by different ones, a user decides."""
    third = {"reason": "third", "datastore": full().launch_mode, "input_datastore": full().launch_mode}
    left, right = change(full(), **{field: OTHER[field]}), change(full(), **{field: third[field]})

    assert merge(full(), left, right) == Unmergeable((field,))


def test_fields_that_both_sides_replaced_are_all_named():
    """All conflicting annotations and data locations at once."""
    left = change(full(), reason="l", outcome="l", datastore=ELSEWHERE)
    right = change(full(), reason="r", outcome="r", datastore=full().launch_mode)

    assert merge(full(), left, right) == Unmergeable(("reason", "datastore", "outcome"))


@pytest.mark.parametrize("field", WHEREABOUTS)
def test_whereabouts_without_an_ancestor_are_a_conflict(field):
    """Nothing shows which side moved the data."""
    assert merge(None, change(full(), **{field: ELSEWHERE}), full()) == Unmergeable((field,))


COMPLETED = {
    "duration": 12.5,
    "output_data": (OUTPUT,),
    "stdout_stderr": "done\n",
    "repeats": "earlier-run",
    "tags": FINISHED,
}
STARTED = {"duration": None, "output_data": (), "stdout_stderr": "Not yet captured.", "tags": RUNNING}


def test_run_that_one_side_completed_is_complete_with_the_annotations_of_both():
    """Provenance changes during a run: the side that completed it has all of it."""
    ancestor = record(**STARTED)
    left = change(ancestor, **COMPLETED, outcome="good")
    right = tagged(change(ancestor, reason="why"), "figure-2")
    expected = tagged(change(left, reason="why"), "figure-2")

    assert digest(record_of(merge(ancestor, left, right))) == digest(expected)
    assert digest(record_of(merge(ancestor, right, left))) == digest(expected)


def test_run_that_both_sides_completed_equally_merges():
    """Two copies of the same end of a run are one."""
    ancestor = record(**STARTED)
    left = tagged(change(ancestor, **COMPLETED), "left")
    right = tagged(change(ancestor, **COMPLETED), "right")

    assert digest(record_of(merge(ancestor, left, right))) == digest(tagged(left, "right"))


def test_run_that_never_agreed_is_not_completed_by_guess():
    """Without an ancestor nothing shows that one record is the beginning of the other."""
    started = record(**STARTED)

    assert merge(None, started, change(started, **COMPLETED)) == Unmergeable(
        ("duration", "output_data", "stdout_stderr", "repeats")
    )


@pytest.mark.parametrize(
    "opaque",
    [{"on_changed": Pickled(b"1", b"1")}, {"parameters": Pickled(b"1", b"1", expressed=True)}],
    ids=["what smtd does not model", "the pickle of a value that any store can hold"],
)
def test_merge_keeps_what_only_a_shelf_has(opaque):
    """Whichever side the shelf is on."""
    left, right = tagged(full(), "left"), tagged(full(opaque=opaque), "right")

    assert record_of(merge(full(), left, right)).opaque == opaque
    assert record_of(merge(full(), right, left)).opaque == opaque


def test_completed_run_keeps_what_only_the_other_sides_shelf_has():
    """The side with the end of the run need not be the one with the shelf."""
    opaque = {"on_changed": Pickled(b"1", b"1")}
    ancestor = record(**STARTED)
    completed, shelved = change(ancestor, **COMPLETED), tagged(change(ancestor, opaque=opaque), "x")

    for result in (merge(ancestor, completed, shelved), merge(ancestor, shelved, completed)):
        assert record_of(result).opaque == opaque
        assert record_of(result).duration == completed.duration


@pytest.mark.parametrize("field", ANNOTATIONS + WHEREABOUTS)
def test_field_that_only_a_shelf_can_hold_is_taken_with_its_pickle(field):
    """Such a value goes with its field, not with the rest of the record."""
    ancestor = full(opaque={field: Pickled(b"1", b"1")})
    moved = {field: Pickled(b"2", b"2")}
    edited = change(ancestor, **({"outcome": "good"} if field == "tags" else {"tags": FINISHED}))
    expected = change(edited, opaque=moved)

    assert digest(record_of(merge(ancestor, edited, change(ancestor, opaque=moved)))) == digest(expected)
    assert digest(record_of(merge(ancestor, change(ancestor, opaque=moved), edited))) == digest(expected)


@pytest.mark.parametrize("field", ANNOTATIONS + WHEREABOUTS)
def test_field_replaced_by_an_ordinary_value_loses_its_pickle(field):
    """Any store can hold the new value."""
    ancestor = full(opaque={field: Pickled(b"1", b"1")})
    worded = change(ancestor, opaque={}, **{field: OTHER[field]})
    edited = change(ancestor, **({"outcome": "good"} if field == "tags" else {"tags": FINISHED}))
    expected = change(edited, opaque={}, **{field: OTHER[field]})

    assert digest(record_of(merge(ancestor, worded, edited))) == digest(expected)
    assert digest(record_of(merge(ancestor, edited, worded))) == digest(expected)


@pytest.mark.parametrize("field", ANNOTATIONS + WHEREABOUTS)
def test_field_that_only_a_shelf_can_hold_is_a_conflict_if_both_sides_changed_it(field):
    """smtd cannot merge what it cannot read."""
    ancestor, left, right = (full(opaque={field: Pickled(each, each)}) for each in (b"0", b"1", b"2"))

    assert merge(ancestor, left, right) == Unmergeable((field,))


@pytest.mark.parametrize("expressed", [False, True])
def test_completed_run_keeps_its_own_data_where_the_other_side_had_a_pickle(expressed):
    """The pickle of the unfinished run does not replace the data of its end."""
    ancestor = record(**STARTED, opaque={"output_data": Pickled(b"1", b"1", expressed)})
    left = change(ancestor, **COMPLETED, opaque={})
    right = tagged(ancestor, "x")

    for result in (merge(ancestor, left, right), merge(ancestor, right, left)):
        assert digest(record_of(result)) == digest(tagged(left, "x"))
        assert record_of(result).opaque == {}


BEFORE = full(outcome="old", reason="why", tags=frozenset({"_finished_", "a"}))
WANTED = change(BEFORE, outcome="old\nnew", tags=frozenset({"_finished_", "b"}))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"reason": "because"}, True),
        ({"outcome": "old\nnew\nby a person", "tags": FINISHED | {"a"}}, True),
        ({"outcome": "by a person\nnew", "tags": FINISHED | {"a"}}, True),
        ({"outcome": "old", "tags": frozenset({"b"})}, True),
        ({"outcome": "old", "tags": FINISHED}, True),
        ({"outcome": "old", "tags": FINISHED | {"a"}}, False),
        ({"outcome": "old\nby a person", "tags": FINISHED | {"a"}}, False),
        ({"outcome": "old", "tags": FINISHED | {"a", "c"}, "reason": "because"}, False),
    ],
)
def test_edit_that_has_a_part_of_a_change_is_built_on_it(changes, expected):
    """It was made by a program that had seen the change."""
    assert is_built_on(change(WANTED, **changes), WANTED, BEFORE) is expected


#: A text, what it was changed to, what it is now; whether that is built on the change, and holds all of it.
TEXTS = [
    ("old", "old\nnew", "by a person\nnew", True, True),
    ("old", "old\nnew", "by a person", False, False),
    ("old", "old\nXXXX", "", False, False),
    ("", "", "", False, True),
    # A change that removes a line leaves nothing else to recognize it by.
    ("kept\ngone", "kept", "kept", True, True),
    ("kept\ngone", "kept", "kept\nby a person", True, True),
    ("kept\ngone", "kept", "by a person\nkept", True, True),
    ("kept\ngone", "kept", "gone\nkept\nby a person", False, False),
    ("kept\ngone", "kept", "gone\nby a person", False, False),
    ("kept\ngone", "kept", "by a person", False, True),
    ("one\ntwo\ngone", "one\ntwo", "two\none", True, True),
    ("old", "new", "more\nnew", True, True),
    ("old", "new", "old\nnew", True, False),
]


@pytest.mark.parametrize(("old", "new", "now", "is_built", "is_whole"), TEXTS)
@pytest.mark.parametrize("field", ["reason", "outcome"])
def test_change_of_a_text_is_recognized_by_its_lines(field, old, new, now, is_built, is_whole):
    """By those that it added and removed, in whatever order and whatever a user wrote around them."""
    before, wanted, found = (change(BEFORE, **{field: text}) for text in (old, new, now))

    assert is_built_on(tagged(found, "x"), wanted, before) is is_built
    assert contains_all(found, wanted, before) is is_whole


@pytest.mark.parametrize("recognizes", [is_built_on, contains_all])
@pytest.mark.parametrize("field", WHEREABOUTS)
def test_change_of_a_data_location_is_recognized_by_it(field, recognizes):
    """The data location counts like any other field."""
    wanted = change(BEFORE, **{field: ELSEWHERE})

    assert recognizes(tagged(wanted, "x"), wanted, BEFORE)
    assert not recognizes(tagged(BEFORE, "x"), wanted, BEFORE)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"reason": "because"}, True),
        ({"outcome": "old\nnew\nby a person"}, True),
        ({"outcome": "by a person\nnew"}, True),
        ({"tags": FINISHED | {"b", "c"}}, True),
        ({"outcome": "old"}, False),
        ({"tags": FINISHED}, False),
        ({"tags": FINISHED | {"a", "b"}}, False),
    ],
)
def test_record_with_a_whole_change_is_recognized(changes, expected):
    """It has all that was added, and nothing that was removed; anything else may differ."""
    assert contains_all(change(WANTED, **changes), WANTED, BEFORE) is expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"outcome": "old\nnew\nmore", "tags": FINISHED | {"b", "c"}}, True),
        ({"outcome": "old"}, False),
        ({"tags": FINISHED}, False),
        ({"version": "beef"}, False),
    ],
)
def test_record_with_all_of_a_new_record_is_recognized(changes, expected):
    """The same experiment with fewer words was created by another client."""
    assert contains_all(change(WANTED, **changes), WANTED, None) is expected


@pytest.mark.parametrize("field", ["reason", "outcome"])
def test_record_with_all_of_a_new_record_has_each_line_of_its_texts(field):
    """In any order; and a text that the new record lacks may be there."""
    wanted = change(WANTED, **{field: "one\ntwo"})

    assert contains_all(change(wanted, **{field: "two\nmore\none"}), wanted, None)
    assert not contains_all(change(wanted, **{field: "one"}), wanted, None)
    assert contains_all(change(WANTED, **{field: "XXXX"}), change(WANTED, **{field: ""}), None)


def test_record_with_a_whole_change_may_have_no_other_tags_than_the_added_ones():
    before, wanted = change(BEFORE, tags=frozenset()), change(BEFORE, tags=frozenset({"a"}))

    assert contains_all(wanted, wanted, before)


def test_edit_of_a_new_record_is_built_on_it_if_it_is_the_same_experiment():
    """If there was no record before, equal provenance is no coincidence."""
    assert is_built_on(change(full(), reason="because", tags=FINISHED), full(), None)
    assert not is_built_on(change(full(), version="beef"), full(), None)


SECOND = DataKey("run/second.csv", "2" * 40)


@pytest.mark.parametrize("field", ["input_data", "output_data"])
def test_data_that_sumatra_removed_is_restored(field):
    """Deleting or saving another record can remove data, which no user meant."""
    before = full(**{field: (OUTPUT, SECOND)})
    robbed = tagged(change(before, **{field: (SECOND,)}), "x")

    assert digest(mended(before, robbed)) == digest(tagged(before, "x"))
    assert digest(record_of(merge(before, robbed, tagged(before, "y")))) == digest(tagged(before, "x", "y"))
    assert digest(record_of(merge(before, tagged(before, "y"), robbed))) == digest(tagged(before, "x", "y"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"tags": FINISHED}),
        ({}, {"output_data": (OUTPUT, SECOND)}),
        ({}, {"output_data": (SECOND,)}),
        ({"tags": RUNNING, "duration": None}, {"output_data": ()}),
        ({}, {"output_data": (), "tags": RUNNING, "duration": None}),
        ({}, {"output_data": (), "timestamp": MOMENT + timedelta(hours=1)}),
        ({"opaque": {"output_data": Pickled(b"1", b"1")}}, {"output_data": ()}),
        ({}, {"dependencies": ()}),
    ],
    ids=[
        *("nothing is missing", "more than before", "something else", "the run was not over"),
        *("the run is not over", "another run", "known to a shelf only", "not data"),
    ],
)
def test_record_without_removed_data_is_not_changed(before, after):
    """Only missing data of a finished run is restored."""
    left = full(**after)

    assert mended(full(**before), left) is left


@MANY
@given(versions, versions, versions)
def test_merge_is_symmetric(ancestor, left, right):
    """Neither side is preferred: only the order of appended lines shows which side was left."""
    one, other = merge(ancestor, left, right), merge(ancestor, right, left)

    assert unordered(one) == unordered(other)


@MANY
@given(versions, versions)
def test_merge_without_an_ancestor_is_symmetric(left, right):
    """Also in the first sync."""
    assert unordered(merge(None, left, right)) == unordered(merge(None, right, left))


def unordered(result):
    """Return the canonical part of a result, without the order of the lines of texts."""
    if isinstance(result, Unmergeable):
        return result
    lines = {
        field: sorted((getattr(result.record, field) or "").split("\n")) for field in ("reason", "outcome")
    }
    return lines, digest(change(result.record, reason="", outcome=""))


@MANY
@given(versions, versions)
def test_merge_with_an_unchanged_side_is_the_other_side(ancestor, changed):
    """If the edit is one that a user can make."""
    edit = change(changed, diff=ancestor.diff)

    assert digest(record_of(merge(ancestor, edit, ancestor))) == digest(edit)
    assert digest(record_of(merge(ancestor, ancestor, edit))) == digest(edit)
    assert digest(record_of(merge(ancestor, edit, edit))) == digest(edit)


@MANY
@given(versions, versions, versions)
def test_merged_record_merges_into_itself(ancestor, left, right):
    """Once one side has the merged record, merging it with the old record of the other gives it again."""
    result = merge(ancestor, left, change(right, diff=left.diff))
    merged = result.record if isinstance(result, Merged) else left

    assert digest(record_of(merge(left, merged, left))) == digest(merged)
    assert digest(
        record_of(merge(change(right, diff=left.diff), merged, change(right, diff=left.diff)))
    ) == digest(merged)


@MANY
@given(versions, versions, versions)
def test_merge_loses_no_line_and_no_tag_that_a_side_added(ancestor, left, right):
    """The merged record has all that users added on either side."""
    result = merge(ancestor, left, right)
    merged = result.record if isinstance(result, Merged) else None

    assert merged is None or added(ancestor, left) | added(ancestor, right) <= contents(merged)


def contents(made):
    """Return the lines of the outcome, and the tags that are no status."""
    return set((made.outcome or "").split("\n")) | {tag for tag in made.tags if "_" not in tag}


def added(before, after):
    """Return what *after* has in addition to *before*, if the old outcome is still there."""
    kept = (after.outcome or "").startswith(before.outcome or "")
    return (contents(after) - contents(before)) if kept else set()
