"""The label of the second of two records that have the same one."""

from __future__ import annotations

import pytest

from smtd.engine.resolve import alias


@pytest.mark.parametrize(
    ("label", "taken", "expected"),
    [
        ("run", {"run"}, "run-2"),
        ("run", {"run", "run-2", "run-3"}, "run-4"),
        ("run-2", {"run-2"}, "run-2-2"),
        ("", {""}, "-2"),
        ("x" * 98, {"x" * 98}, "x" * 98 + "-2"),
        ("x" * 99, {"x" * 99}, "x" * 98 + "-2"),
        ("x" * 200, {"x" * 200}, "x" * 98 + "-2"),
        ("x" * 100, {"x" * 98 + f"-{number}" for number in range(2, 10)}, "x" * 97 + "-10"),
    ],
)
def test_alias_is_the_first_free_label_that_fits_every_store(label, taken, expected):
    """It is numbered from 2, and no longer than a relational store takes."""
    assert alias(label, taken) == expected
    assert len(expected) <= 100
