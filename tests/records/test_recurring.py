"""The cache of objects made from small values."""

from __future__ import annotations

from datetime import date

import pytest

from smtd.records.memo import MOST, SMALL, Memo


@pytest.fixture
def made():
    """The list of all values from which an object was made."""
    return []


@pytest.fixture
def recurring(made):
    def make(value):
        made.append(value)
        return [value]

    return Memo(make)


def test_the_same_value_gives_the_same_object(recurring, made):
    first = recurring({"root": "/data", "size": 3})
    assert recurring({"root": "/data", "size": 3}) is first
    assert made == [{"root": "/data", "size": 3}]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        ([1], (1,)),
        ("1", b"1"),
        ({"a": 1}, {"a": 1.0}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ],
    ids=repr,
)
def test_equal_values_of_different_types_are_distinguished(recurring, one, other):
    recurring(one)
    assert repr(recurring(other)) == repr([other])


def test_a_value_of_an_unknown_type_is_made_each_time(recurring, made):
    assert recurring({"at": date(2026, 11, 26)}) == recurring({"at": date(2026, 11, 26)})
    assert len(made) == 2


def test_a_large_value_is_made_each_time(recurring, made):
    recurring("x" * SMALL)
    recurring("x" * SMALL)
    assert len(made) == 2


def test_the_number_of_kept_objects_is_limited(recurring, made):
    for number in (*range(MOST + 1), 0):
        recurring(number)
    assert made.count(0) == 2


def test_an_error_is_raised_each_time():
    def refuse(value):
        raise ValueError(value)

    refusing = Memo(refuse)
    for _ in range(2):
        with pytest.raises(ValueError, match="odd"):
            refusing("odd")
