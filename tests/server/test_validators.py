"""Conditions of requests."""

from __future__ import annotations

import pytest

from smtd.server.validators import Precondition, judged, project_validator

GO_ON, NOT_MODIFIED, FAILED = Precondition.GO_ON, Precondition.NOT_MODIFIED, Precondition.FAILED


@pytest.mark.parametrize(
    ("headers", "current", "read", "write"),
    [
        ({}, "2-a", GO_ON, GO_ON),
        ({}, None, GO_ON, GO_ON),
        ({"If-None-Match": '"2-a"'}, "2-a", NOT_MODIFIED, FAILED),
        ({"If-None-Match": 'W/"2-a"'}, "2-a", NOT_MODIFIED, FAILED),
        ({"If-None-Match": '"x", "2-a-gzip"'}, "2-a", NOT_MODIFIED, FAILED),
        ({"If-None-Match": '"2-b"'}, "2-a", GO_ON, GO_ON),
        ({"If-None-Match": "*"}, "2-a", NOT_MODIFIED, FAILED),
        ({"If-None-Match": "*"}, None, GO_ON, GO_ON),
        ({"If-Match": '"2-a"'}, "2-a", GO_ON, GO_ON),
        ({"If-Match": 'W/"2-a-gzip"'}, "2-a", GO_ON, GO_ON),
        ({"If-Match": '"2-b"'}, "2-a", FAILED, FAILED),
        ({"If-Match": '"2-a"'}, None, FAILED, FAILED),
        ({"If-Match": "*"}, "2-a", GO_ON, GO_ON),
        ({"If-Match": "*"}, None, FAILED, FAILED),
        ({"If-Match": "2-a"}, "2-a", FAILED, FAILED),
    ],
)
def test_conditions(
    headers: dict[str, str], current: str | None, read: Precondition, write: Precondition
) -> None:
    """Proxies make validators weak, or add what they packed with: that does not count."""
    assert judged(headers, current, reads=True) is read
    assert judged(headers, current, reads=False) is write


def test_project_validator_tells_its_parts_apart() -> None:
    """What moves from one part to the next is another project."""
    assert project_validator(1, "ab", "c") != project_validator(1, "a", "bc")
    assert project_validator(1, "ab", "c") == project_validator(1, "ab", "c")
