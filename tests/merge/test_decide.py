"""The truth table: every distinguishable situation of one key, and its verdict."""

from __future__ import annotations

from itertools import product

import pytest

from smtd.merge.decide import Conflicts, Mode, Verdict, allowed, decide, target
from smtd.merge.sides import SIDES, Both, Side

NOTHING, AGREE, FORGET = Verdict.NOTHING, Verdict.AGREE, Verdict.FORGET
TO_RIGHT, TO_LEFT, MERGE = Verdict.TO_RIGHT, Verdict.TO_LEFT, Verdict.MERGE

#: The baseline of each side, and what each holds now: left, then right. Equal
#: letters are equal digests, `-` is nothing.
TABLE = {
    # There is no baseline.
    "-- --": NOTHING,
    "-- -a": TO_LEFT,
    "-- a-": TO_RIGHT,
    "-- aa": AGREE,
    "-- ab": MERGE,
    # They agreed on equal records.
    "aa --": FORGET,
    "aa -a": TO_RIGHT,  # a deletion
    "aa -b": TO_LEFT,  # a change wins over a deletion
    "aa a-": TO_LEFT,  # a deletion
    "aa aa": NOTHING,
    "aa ab": TO_LEFT,
    "aa b-": TO_RIGHT,  # a change wins over a deletion
    "aa ba": TO_RIGHT,
    "aa bb": AGREE,
    "aa bc": MERGE,
    # They agreed, although one side stores the record differently.
    "ab --": FORGET,
    "ab -a": TO_LEFT,  # changed into what the other side had: a change, too
    "ab -b": TO_RIGHT,  # a deletion
    "ab -c": TO_LEFT,
    "ab a-": TO_LEFT,  # a deletion
    "ab aa": AGREE,
    "ab ab": NOTHING,
    "ab ac": TO_LEFT,
    "ab b-": TO_RIGHT,
    "ab ba": MERGE,
    "ab bb": AGREE,
    "ab bc": MERGE,
    "ab c-": TO_RIGHT,
    "ab ca": MERGE,
    "ab cb": TO_RIGHT,
    "ab cc": AGREE,
    "ab cd": MERGE,
}
MIRRORED = {TO_RIGHT: TO_LEFT, TO_LEFT: TO_RIGHT}


def situation(row):
    """Return the baseline, and what each side holds now."""
    digests = [None if letter == "-" else letter.encode() for letter in row.replace(" ", "")]
    baseline = None if digests[0] is None else Both(*digests[:2])
    return baseline, Both(*digests[2:])


def renamed(letters):
    """Return *letters* with the same pattern of equal ones, named in order of appearance."""
    names = dict(zip(dict.fromkeys(letter for letter in letters if letter != "-"), "abcd", strict=False))
    return "".join(names.get(letter, "-") for letter in letters)


@pytest.mark.parametrize("row", TABLE)
def test_key_needs_what_the_truth_table_says(row):
    """The verdict follows from the baseline and what each side holds."""
    assert decide(*situation(row)) is TABLE[row]


def test_truth_table_is_complete():
    """There is a row for every pattern of equal and absent digests, and for nothing else."""
    patterns = {renamed(letters) for letters in product("-abcd", repeat=4)}
    on_both_sides_or_none = {row for row in patterns if (row[0] == "-") == (row[1] == "-")}

    assert {row.replace(" ", "") for row in TABLE} == on_both_sides_or_none
    assert len(TABLE) == 32


@pytest.mark.parametrize("row", TABLE)
def test_verdict_is_mirrored_with_the_sides(row):
    """Neither side is preferred."""
    baseline, now = situation(row)
    swapped = None if baseline is None else baseline.swapped

    assert decide(swapped, now.swapped) is MIRRORED.get(TABLE[row], TABLE[row])


@pytest.mark.parametrize(
    ("mode", "verdicts"),
    [
        (Mode.TWO_WAY, {NOTHING, AGREE, FORGET, TO_RIGHT, TO_LEFT, MERGE}),
        (Mode.LEFT_TO_RIGHT, {NOTHING, AGREE, FORGET, TO_RIGHT}),
        (Mode.RIGHT_TO_LEFT, {NOTHING, AGREE, FORGET, TO_LEFT}),
    ],
)
def test_mode_allows_only_writes_to_its_targets(mode, verdicts):
    """A one-way pair never writes to its source; a merge would."""
    assert {verdict for verdict in Verdict if allowed(verdict, mode)} == verdicts


def test_mode_names_its_targets():
    """The sides that smtd may write to."""
    assert Mode("two-way").targets == {Side.LEFT, Side.RIGHT}
    assert Mode("left-to-right").targets == {Side.RIGHT}
    assert Mode("right-to-left").targets == {Side.LEFT}


def test_verdict_names_the_side_that_it_writes_to():
    """TO_LEFT writes to the left side, TO_RIGHT to the right one."""
    assert target(TO_LEFT) is Side.LEFT
    assert target(TO_RIGHT) is Side.RIGHT


def test_sides_are_values():
    """Code is written once for both sides."""
    both = Both(1, 2)

    assert [side.other for side in SIDES] == [Side.RIGHT, Side.LEFT]
    assert [both[side] for side in SIDES] == [1, 2]
    assert both.map(str) == Both("1", "2")
    assert both.swapped == Both(2, 1)


@pytest.mark.parametrize(
    ("mode", "read_only", "expected"),
    [
        (Mode.TWO_WAY, set(), Mode.TWO_WAY),
        (Mode.TWO_WAY, {Side.LEFT}, Mode.LEFT_TO_RIGHT),
        (Mode.TWO_WAY, {Side.RIGHT}, Mode.RIGHT_TO_LEFT),
        (Mode.TWO_WAY, {Side.LEFT, Side.RIGHT}, None),
        (Mode.LEFT_TO_RIGHT, {Side.LEFT}, Mode.LEFT_TO_RIGHT),
        (Mode.LEFT_TO_RIGHT, {Side.RIGHT}, None),
        (Mode.RIGHT_TO_LEFT, {Side.LEFT}, None),
    ],
)
def test_restricted_mode_writes_to_no_read_only_side(mode, read_only, expected):
    """A read-only side becomes a source."""
    assert mode.sparing(read_only) is expected


def test_values_of_modes_and_rules_do_not_change():
    """They are a contract: the configuration, reports and the journal have them."""
    assert [mode.value for mode in Mode] == ["two-way", "left-to-right", "right-to-left"]
    assert [rule.value for rule in Conflicts] == ["ask", "left", "right", "newest"]
    assert [side.value for side in SIDES] == ["left", "right"]
