"""Texts and tags that both sides changed: appended and removed lines, and the status of a run."""

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


#: Ancestor, left, right, and the merged text (None: a conflict).
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
    # One side appended, the other removed lines.
    ("a\nb", "a", "a\nb\nr", "a\nr"),
    ("a\nb", "a\nb\nl", "b", "b\nl"),
    ("a\na", "a", "a\na\nr", "a\nr"),
    ("a\nb", "a", "b", None),
    # Lines that reached both sides through other stores are kept once; all pairs choose the same order.
    ("old", "old\na\nb", "old\nb\na", "old\na\nb"),
    ("old", "old\nb\na", "old\na\nb", "old\na\nb"),
    ("old", "old\na\nl", "old\nr\na", "old\na\nl\nr"),
    ("old", "old\na\nb", "old\nb\na\nr", "old\na\nb\nr"),
    # A line that a user appends again is kept.
    ("old", "old\nl", "old\nold\nr", "old\nl\nold\nr"),
    ("a\nb", "b\na\nl", "a\nb\nr", "b\na\nl\nr"),
    ("a\nb\nc", "a", "a\nb\nc\nr", "a\nr"),
    # Both first appended the same lines, which are kept once.
    ("old", "old\n1\n2\nl", "old\n1\n2\nr", "old\n1\n2\nl\nr"),
    # The appended lines of both sides only begin alike.
    ("", "run 1", "run 10", "run 1\nrun 10"),
    ("old", "old\nrun 1", "old\nrun 10", "old\nrun 1\nrun 10"),
    ("old", "old\nrun 10", "old\nrun 1", "old\nrun 10\nrun 1"),
]


@pytest.mark.parametrize(("before", "left", "right", "expected"), TEXTS)
@pytest.mark.parametrize("field", ["reason", "outcome"])
def test_texts_merge(field, before, left, right, expected):
    """The text of the one side that changed it; or all appended lines; otherwise a conflict."""
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
def test_texts_without_an_ancestor_merge_if_one_contains_the_other(field, left, right, expected):
    """The two records never agreed: the longer text is kept."""
    one, other = full(**{field: left}), tagged(full(**{field: right}), "x")

    assert text_of(merge(None, one, other), field) == expected


#: Ancestor, left, right, and the merged tags (`-`: none; None: a conflict).
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
    # A removed status is no stage: any other is further.
    ("_running_", "-", "_initialized_", "_initialized_"),
    ("-", "_finished_", "a", "_finished_ a"),
]


def tags(words):
    """Return the set of tags that *words* stand for."""
    return frozenset() if words == "-" else frozenset(words.split())


@pytest.mark.parametrize(("before", "left", "right", "expected"), TAGS)
def test_tags_merge_as_a_set_with_one_status(before, left, right, expected):
    """Tags added or removed on either side are added or removed; of two statuses the further one stays."""
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
    """Nothing shows which were removed, so none is."""
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
def test_tags_that_a_store_splits_merge_by_their_parts(before, left, right, expected):
    """A tag that one store splits counts as neither added nor removed."""
    ancestor, one, other = (full(tags=frozenset(held)) for held in (before, left, right))

    assert differences(record_of(merge(ancestor, one, other)), full(tags=frozenset(expected))) == []
