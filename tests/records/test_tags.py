"""Tags as a relational store splits them, and the stages of a run that some of them show."""

from __future__ import annotations

import pytest

from smtd.records.run_status import is_final
from smtd.records.tags import STATUS_TAGS, Stage, normalized, split, stage
from tests.build import record

#: A tags column, and the tags that Sumatra's django-tagging makes of it (checked with Sumatra 0.8.1).
COLUMNS = {
    "": set(),
    " ": set(),
    ",": set(),
    "one": {"one"},
    "one two": {"one", "two"},
    "one  two ": {"one", "two"},
    "one,two": {"one", "two"},
    "one two,three": {"one two", "three"},
    " one , two ": {"one", "two"},
    "one,,two": {"one", "two"},
    "one,one": {"one"},
    "one,One": {"one", "One"},
    "one\ttwo": {"one\ttwo"},
    "one\n two": {"one", "two"},
    '"one two"': {"one two"},
    '"one two" three': {"one two", "three"},
    '"one two" three four': {"one two", "three", "four"},
    '"one two",three four': {"one two", "three four"},
    '"one,two" three': {"one,two", "three"},
    '"one,two" three four': {"one,two", "three", "four"},
    '"one,two" three,four five': {"one,two", "three", "four five"},
    '" one "': {"one"},
    '""': set(),
    '" "': set(),
    '"one""two"': {"one", "two"},
    '"one"two': {"one", "two"},
    'one"two"three': {"one", "two", "three"},
    'one"two': {"one", "two"},
    'one two"three four': {"one", "two", "three", "four"},
    'one"two,three': {"one", "two", "three"},
    'one"two three,four five': {"one", "two three", "four five"},
    '"': set(),
    '"one': {"one"},
    'one"': {"one"},
    'é,"ñ b"': {"é", "ñ b"},
}

#: What a relational store turns a set of tags into, however often it saves them.
SETS = [
    (set(), set()),
    ({"_finished_", "good"}, {"_finished_", "good"}),
    ({"my tag"}, {"my", "tag"}),
    ({"my tag", "other"}, {"my tag", "other"}),
    ({"a,b"}, {"a", "b"}),
    ({"a,b c"}, {"a", "b c"}),
    ({"a, b", "c"}, {"a", "b", "c"}),
    ({'"a"'}, {"a"}),
    ({'"a b"'}, {"a", "b"}),
    ({'"a b"', "c"}, {"a b", "c"}),
    ({'"a,b"'}, {"a", "b"}),
    ({'"a'}, {"a"}),
    ({" a "}, {"a"}),
    ({"a", " a"}, {"a"}),
    ({""}, set()),
    ({"", "a"}, {"a"}),
    ({" "}, set()),
    ({"A", "a"}, {"A", "a"}),
    ({"a\tb"}, {"a\tb"}),
    ({"a\n"}, {"a"}),
]


@pytest.mark.parametrize("column", COLUMNS)
def test_column_splits_as_in_django_tagging(column):
    """A tags column is read as Sumatra's own relational store reads it."""
    assert split(column) == COLUMNS[column]


@pytest.mark.parametrize(("tags", "left"), SETS)
def test_tags_are_normalized_to_what_a_relational_store_keeps(tags, left):
    """After any number of saves."""
    assert normalized(tags) == left


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ((), None),
        (("good",), None),
        (("_my_tag",), None),
        (("_initialized_",), Stage.INITIALIZED),
        (("_pre_run_", "good"), Stage.PRE_RUN),
        (("_running_",), Stage.RUNNING),
        (("_finished..._",), Stage.GATHERING),
        (("_failed..._",), Stage.GATHERING),
        (("_killed..._",), Stage.GATHERING),
        (("_finished_",), Stage.FINAL),
        (("_failed_",), Stage.FINAL),
        (("_killed_",), Stage.FINAL),
        (("_succeeded_",), Stage.FINAL),
        (("_crashed_",), Stage.FINAL),
        (("_running_", "_finished_"), Stage.FINAL),
        (("_initialized_", "_running_"), Stage.RUNNING),
    ],
)
def test_stage_is_the_furthest_status_tag(tags, expected):
    """Other tags do not count."""
    assert stage(tags) is expected


@pytest.mark.parametrize(
    ("changes", "final"),
    [
        ({}, True),
        ({"tags": frozenset({"_initialized_"}), "duration": 1.0}, True),
        ({"tags": frozenset({"_initialized_"}), "duration": 0.0, "stdout_stderr": "Not launched."}, True),
        ({"tags": frozenset({"_running_"}), "duration": 1.0}, True),
        ({"tags": frozenset({"_finished..._"}), "duration": 1.0}, True),
        ({"tags": frozenset({"_initialized_"}), "duration": None}, False),
        ({"tags": frozenset({"_running_"}), "duration": None}, False),
        ({"tags": frozenset({"_running_"}), "duration": float("nan")}, False),
        ({"tags": frozenset({"_finished..._"}), "duration": None}, False),
        ({"tags": frozenset({"_crashed_"}), "duration": None}, True),
        ({"tags": frozenset()}, True),
        ({"tags": frozenset({"good"}), "duration": None}, True),
        ({"tags": frozenset(), "duration": None, "stdout_stderr": "Not launched."}, False),
        ({"tags": frozenset(), "duration": None, "stdout_stderr": "Not yet captured."}, False),
        ({"tags": frozenset(), "duration": 0.0, "stdout_stderr": "Not yet captured."}, True),
    ],
)
def test_record_is_final_when_its_run_is_over(changes, final):
    """A run with a duration is over; otherwise its status decides, or data captured at its end."""
    assert is_final(record(**changes)) is final


def test_every_status_tag_has_a_stage():
    """No status is missing from the life cycle."""
    assert all(stage([tag]) is not None for tag in STATUS_TAGS)
    assert len(STATUS_TAGS) == 11
