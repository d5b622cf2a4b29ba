"""What an address of the table of records means, and what is searched for."""

from __future__ import annotations

from datetime import date

import pytest

from smtd.web.forms import Form
from smtd.web.records import columns, query
from smtd.web.records.query import PagePlace, RecordQuery, of_form, place_of, token
from smtd.web.records.statements import match_expression


def asked(**fields: str) -> RecordQuery:
    return of_form("Sweep", Form(list(fields.items())))


def test_address_without_fields_means_the_newest_records() -> None:
    """All of them, and nothing is left out."""
    found = asked()

    assert (found.sort, found.descending, found.is_filtered) == (columns.NEWEST, True, False)


def test_address_and_query_say_the_same() -> None:
    """An address made from a query means that query."""
    fields = {
        "q": "conv",
        "tag": "a,b",
        "status": "failed",
        "since": "2024-01-31",
        "sort": "label",
        "order": "down",
    }

    found = asked(**fields)

    assert {name: value for name, value in query.fields(found).items() if value} == fields


@pytest.mark.parametrize(
    "fields",
    [
        {"since": "yesterday"},
        {"until": "9999-12-31"},
        {"sort": "1; DROP TABLE record"},
        {"after": "!!!"},
        {"after": "WzEsMV0"},
        {"after": "bnVsbA"},
        {"before": token(PagePlace("x", "y")) + "="},
    ],
)
def test_nonsense_in_an_address_is_ignored(fields: dict[str, str]) -> None:
    """Or means what it most likely should; it is never an error."""
    assert asked(**fields).sort is columns.NEWEST
    assert not asked(**fields).is_filtered


def test_day_ends_with_its_last_moment() -> None:
    """Both days of a period belong to it."""
    found = RecordQuery("Sweep", since=date(1970, 1, 1), until=date(1970, 1, 1))

    assert found.moments == (0.0, 86_400.0)


@pytest.mark.parametrize("place", [PagePlace(1.5, "run"), PagePlace("élan", 'a"b')])
def test_place_in_an_address_is_the_same_place(place: PagePlace) -> None:
    """Whatever the label is."""
    assert place_of(token(place)) == place


def test_place_that_no_database_can_hold_is_escaped() -> None:
    """Anybody can write any address."""
    assert place_of(token(PagePlace("\ud800", "x\ud800"))) == PagePlace(r"\ud800", r"x\ud800")


@pytest.mark.parametrize(
    ("words", "expression"),
    [
        ("conv fig", '"conv"* "fig"*'),
        ('"did not converge" x', '"did not converge"* "x"*'),
        ("20240131-120000", '"20240131-120000"*'),
        ('a" OR label:b', '"a "* "OR"* "label:b"*'),
        ("a\0b", '"a"* "b"*'),
        ("% - *", ""),
        ("  ", ""),
    ],
)
def test_words_are_searched_as_they_are(words: str, expression: str) -> None:
    """Nothing that people type is an operator."""
    assert match_expression(words) == expression
