"""Lines for terminals of any width: nothing is lost, nothing is wider."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtd.output.layout import NARROWEST, columns, padded, wrapped


def test_line_breaks_at_blanks() -> None:
    """The next lines are indented."""
    assert wrapped("one two three four five six", 20) == ["one two three four", "  five six"]
    assert wrapped("short", 20) == ["short"]
    assert wrapped("", 20) == [""]


def test_long_path_breaks_after_a_slash() -> None:
    """So that the names in it stay whole."""
    path = "/home/ada/projects/MyProject/.smt/records"

    assert wrapped(f"left {path}", 24) == ["left", "  /home/ada/projects/", "  MyProject/.smt/records"]
    assert wrapped("x" * 30, 20) == ["x" * 20, f"  {'x' * 10}"]


def test_wide_letters_take_two_columns() -> None:
    """And combining ones none."""
    assert columns("漢字") == 4
    assert columns("e\u0301") == 1
    assert columns("Zoë") == 3
    assert padded("漢", 4) == "漢  "
    assert padded("漢", 4, right=True) == "  漢"
    assert wrapped("漢" * 15, 20) == ["漢" * 10, f"  {'漢' * 5}"]


@given(st.text(st.sampled_from("ab/ 漢\u0301-"), max_size=200), st.integers(0, 50))
def test_nothing_is_lost_and_nothing_is_too_wide(text: str, width: int) -> None:
    """Except blanks at a break."""
    lines = wrapped(text, width)

    assert re.sub(" ", "", "".join(lines)) == re.sub(" ", "", text)
    assert max(map(columns, lines)) <= max(width, NARROWEST)


@pytest.mark.parametrize("text", ["  indented", "a  b"])
def test_blanks_within_a_line_stay(text: str) -> None:
    """They may be part of a name."""
    assert wrapped(text, 40) == [text]
