"""Conditions of requests."""

from __future__ import annotations

import pytest

from smtd.server.validators import Precondition, evaluated, project_validator

PROCEED, NOT_MODIFIED, FAILED = Precondition.PROCEED, Precondition.NOT_MODIFIED, Precondition.FAILED


@pytest.mark.parametrize(
    ("headers", "current", "read", "write"),
    [
        ({}, "2-a", PROCEED, PROCEED),
        ({}, None, PROCEED, PROCEED),
        ({"If-None-Match": '"2-a"'}, "2-a", NOT_MODIFIED, FAILED),
        ({"If-None-Match": 'W/"2-a"'}, "2-a", NOT_MODIFIED, FAILED),
        ({"If-None-Match": '"x", "2-a-gzip"'}, "2-a", NOT_MODIFIED, FAILED),
        ({"If-None-Match": '"2-b"'}, "2-a", PROCEED, PROCEED),
        ({"If-None-Match": "*"}, "2-a", NOT_MODIFIED, FAILED),
        ({"If-None-Match": "*"}, None, PROCEED, PROCEED),
        ({"If-Match": '"2-a"'}, "2-a", PROCEED, PROCEED),
        ({"If-Match": 'W/"2-a-gzip"'}, "2-a", PROCEED, PROCEED),
        ({"If-Match": '"2-b"'}, "2-a", FAILED, FAILED),
        ({"If-Match": '"2-a"'}, None, FAILED, FAILED),
        ({"If-Match": "*"}, "2-a", PROCEED, PROCEED),
        ({"If-Match": "*"}, None, FAILED, FAILED),
        ({"If-Match": "2-a"}, "2-a", FAILED, FAILED),
    ],
)
def test_conditions(
    headers: dict[str, str], current: str | None, read: Precondition, write: Precondition
) -> None:
    """Proxies make validators weak, or add what they compressed with: that does not count."""
    assert evaluated(headers, current, reads=True) is read
    assert evaluated(headers, current, reads=False) is write


def test_project_validator_separates_its_parts() -> None:
    """What moves from one part to the next is another project."""
    assert project_validator(1, "ab", "c") != project_validator(1, "a", "bc")
    assert project_validator(1, "ab", "c") == project_validator(1, "ab", "c")
