"""Which name a misspelt one most likely stands for, and when nobody can tell."""

from __future__ import annotations

import pytest

from smtd.spelling import did_you_mean, nearest

VERBS = ["status", "sync", "holds", "history", "list", "resolve", "resume", "run", "serve", "pair", "pause"]


@pytest.mark.parametrize(
    ("word", "likely"),
    [
        ("stauts", "status"),
        ("Status", "status"),
        ("hold", "holds"),
        ("hist", "history"),
        ("resolv", "resolve"),
        ("lits", "list"),
        ("pairs", "pair"),
    ],
)
def test_misspelt_word_has_one_likely_name(word: str, likely: str) -> None:
    """Swapped, missing and further letters, another case, and the beginning of one name."""
    assert nearest(word, VERBS) == likely


@pytest.mark.parametrize("word", ["", "x", "re", "version", "rm", "frobnicate", "stat*"])
def test_word_that_is_like_no_name_has_none(word: str) -> None:
    """A wrong guess would be worse than none."""
    assert nearest(word, VERBS) is None


@pytest.mark.parametrize(
    ("word", "known"),
    [
        ("lab1", ["lab2"]),
        ("20261125-130012", ["20261125-130013", "laptop"]),
        ("lob", ["lab", "lib"]),
        ("lab", ["lab-left", "lab-right"]),
    ],
)
def test_other_number_and_two_equally_likely_names_are_no_guess(word: str, known: list[str]) -> None:
    assert nearest(word, known) is None


def test_beginning_is_found_among_many_names_and_likeness_only_among_some() -> None:
    """To compare each of 100,000 labels letter by letter would take seconds."""
    labels = [f"20261125-{number:06}" for number in range(2000)]

    assert nearest("20261125-001234-", labels) is None
    assert nearest("20261125-00199", [*labels[:1990], "20261125-001999"]) == "20261125-001999"


def test_end_of_an_error_asks_or_says_where_to_look() -> None:
    assert did_you_mean("stauts", VERBS) == "; did you mean 'status'?"
    assert did_you_mean("x", VERBS, "smtd --help lists them") == "; smtd --help lists them"
    assert did_you_mean("x", VERBS) == ""
