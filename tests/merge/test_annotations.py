"""Texts and tags that both sides changed: appendages, removals, and the status of a run."""

from __future__ import annotations

import pytest

from smtd.merge.fields import (
    Merged,
    Unmergeable,
    merge,
)
from smtd.records.canonical import differences
from tests.build import full, tagged


def record_of(result):
    """Return the merged record. Fails if there is a conflict."""
    assert isinstance(result, Merged), result
    return result.record


#: Ancestor, left, right, and what becomes of a text; None: a conflict.
TEXTS = [
    ("old", "old", "new", "new"),
    ("old", "new", "old", "new"),
    ("old", "new", "new", "new"),
    ("old", "old\nl", "old\nr", "old\nl\nr"),
    ("", "l", "r", "l\nr"),
    (None, "l", "r", "l\nr"),
    ("old", "old\nl", "old", "old\nl"),
    ("old", "old\nl", "old\nl\nr", "old\nl\nr"),
    ("old", "old\nl\nr", "old\nl", "old\nl\nr"),
    ("", "l", "l\nr", "l\nr"),
    ("old", "l", "r", None),
    ("old", "old\nl", "r", None),
    ("old", "l", "old\nr", None),
    ("old", "", "old\nr", "old\nr"),
    ("old", "", "r", "r"),
    ("old", "", "old", ""),
    ("old", None, "old", ""),
    ("old", "old\nsame\nl", "old\nsame\nr", "old\nsame\nl\nr"),
    # One side appended, the other took lines away.
    ("a\nb", "a", "a\nb\nr", "a\nr"),
    ("a\nb", "a\nb\nl", "b", "b\nl"),
    ("a\na", "a", "a\na\nr", "a\nr"),
    ("a\nb", "a", "b", None),
    # What came to both sides over other stores, in another order, is there once; all pairs choose one order.
    ("old", "old\na\nb", "old\nb\na", "old\na\nb"),
    ("old", "old\nb\na", "old\na\nb", "old\na\nb"),
    ("old", "old\na\nl", "old\nr\na", "old\na\nl\nr"),
    ("old", "old\na\nb", "old\nb\na\nr", "old\na\nb\nr"),
    # Who says the same once more means it.
    ("old", "old\nl", "old\nold\nr", "old\nl\nold\nr"),
    ("a\nb", "b\na\nl", "a\nb\nr", "b\na\nl\nr"),
    ("a\nb\nc", "a", "a\nb\nc\nr", "a\nr"),
    # Both appended the same lines first: these are there once.
    ("old", "old\n1\n2\nl", "old\n1\n2\nr", "old\n1\n2\nl\nr"),
    # What one side appended only begins like what the other did.
    ("", "run 1", "run 10", "run 1\nrun 10"),
    ("old", "old\nrun 1", "old\nrun 10", "old\nrun 1\nrun 10"),
    ("old", "old\nrun 10", "old\nrun 1", "old\nrun 10\nrun 1"),
]


@pytest.mark.parametrize(("before", "left", "right", "expected"), TEXTS)
@pytest.mark.parametrize("field", ["reason", "outcome"])
def test_texts_merge(field, before, left, right, expected):
    """A text takes the side that changed it; both appendages are kept; else it is a conflict."""
    ancestor = tagged(full(**{field: before}), "x")

    result = merge(ancestor, full(**{field: left}), full(**{field: right}))

    assert text_of(result, field) == expected


def text_of(result, field):
    """Return the text of a merged record, or None for a conflict in that field alone."""
    if isinstance(result, Merged):
        return getattr(result.record, field) or ""
    assert result.fields == (field,)
    return None


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("same", "same", "same"),
        ("", "r", "r"),
        ("l", "", "l"),
        ("l", None, "l"),
        ("first", "first\nsecond", "first\nsecond"),
        ("l", "r", None),
        ("run 1", "run 10", None),
    ],
)
@pytest.mark.parametrize("field", ["reason", "outcome"])
def test_texts_without_an_ancestor_merge_if_one_holds_the_other(field, left, right, expected):
    """Two records that never agreed: the text that goes on from the other one is kept."""
    one, other = full(**{field: left}), tagged(full(**{field: right}), "x")

    assert text_of(merge(None, one, other), field) == expected


#: Ancestor, left, right, and the merged tags; `-` is none, None a conflict.
TAGS = [
    ("a b", "a", "a b c", "a c"),
    ("a b", "a b", "a b c", "a b c"),
    ("a b", "a", "b", "-"),
    ("a", "a b", "a c", "a b c"),
    ("-", "a", "b", "a b"),
    ("a", "-", "a b", "b"),
    ("a b", "a b c", "a c", "a c"),
    ("_running_", "_finished_", "_running_ a", "_finished_ a"),
    ("_running_ a", "_running_", "_failed_ a", "_failed_"),
    ("_running_", "_finished_", "_finished_ a", "_finished_ a"),
    ("_pre_run_", "_running_", "_finished_", "_finished_"),
    ("_initialized_", "_running_", "_pre_run_", "_running_"),
    ("_pre_run_", "_finished..._", "_running_", "_finished..._"),
    ("_finished_", "_failed_", "_finished_ a", "_failed_ a"),
    ("_finished_", "a", "_finished_ b", "a b"),
    ("_running_", "-", "_finished_", "_finished_"),
    ("_running_", "_running_ a", "b", "a b"),
    ("_finished_", "_failed_", "_succeeded_", None),
    ("_running_", "_finished_", "_failed_", None),
    ("-", "_finished_", "_crashed_", None),
    # A status that was taken away is no stage: any other is further.
    ("_running_", "-", "_initialized_", "_initialized_"),
    ("-", "_finished_", "a", "_finished_ a"),
]


def tags(words):
    """Return the set of tags that *words* stand for."""
    return frozenset() if words == "-" else frozenset(words.split())


@pytest.mark.parametrize(("before", "left", "right", "expected"), TAGS)
def test_tags_merge_as_a_set_with_one_status(before, left, right, expected):
    """Tags that were added or removed on either side are; of two statuses the further one stays."""
    ancestor, one, other = (full(tags=tags(words)) for words in (before, left, right))

    for result in (merge(ancestor, one, other), merge(ancestor, other, one)):
        assert (
            result == Unmergeable(("tags",)) if expected is None else record_of(result).tags == tags(expected)
        )


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("a", "b", "a b"),
        ("a b", "b", "a b"),
        ("_finished_ a", "_finished_ b", "_finished_ a b"),
        ("_finished_ a", "b", "_finished_ a b"),
        ("_running_", "_finished_", "_finished_"),
        ("_finished_", "_failed_", None),
    ],
)
def test_tags_without_an_ancestor_are_united(left, right, expected):
    """Nobody knows what was removed, so nothing is."""
    for result in (
        merge(None, full(tags=tags(left)), full(tags=tags(right))),
        merge(None, full(tags=tags(right)), full(tags=tags(left))),
    ):
        assert (
            result == Unmergeable(("tags",)) if expected is None else record_of(result).tags == tags(expected)
        )


@pytest.mark.parametrize(
    ("before", "left", "right", "expected"),
    [
        ({"my tag"}, {"my tag", "x"}, {"my", "tag", "y"}, {"my", "tag", "x", "y"}),
        ({"a", " z"}, {"a"}, {"a", "z", "y"}, {"a", "y"}),
        ({" a", "z"}, {"a"}, {"a", "z", "y"}, {"a", "y"}),
        ({"a", "z"}, {" a"}, {"a", "z", "y"}, {"a", "y"}),
        ({"a,b", "c"}, {"a,b"}, {"a", "b", "c", "y"}, {"a", "b", "y"}),
        ({"a", "b", "c"}, {"a,b"}, {"a", "b", "c", "y"}, {"a", "b", "y"}),
        ({"a", "b"}, {"a,b", "x"}, {"a"}, {"a", "x"}),
        ({"a", "b"}, {"b"}, {'"a"', "b", "x"}, {"b", "x"}),
    ],
    ids=[
        *("two words", "removed blanks", "blanks removed", "blanks added", "comma", "comma added"),
        *("comma added and removed", "quotes added and removed"),
    ],
)
def test_tags_that_a_store_took_apart_merge_as_what_they_say(before, left, right, expected):
    """A tag that one store keeps otherwise is neither added nor removed."""
    ancestor, one, other = (full(tags=frozenset(held)) for held in (before, left, right))

    assert differences(record_of(merge(ancestor, one, other)), full(tags=frozenset(expected))) == []
