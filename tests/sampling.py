"""What `make test` tries of a sweep; `make soak` tries all of it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pytest

#: Whether this is `make soak`, which also tries what takes too long for each change.
SOAK = bool(os.environ.get("SMTD_SOAK"))
#: Whether slow tests run, too: in `make test-slow` and `make soak`.
SLOW = SOAK or bool(os.environ.get("SMTD_SLOW"))


def sampled(values: Iterable[Any], every: int, *, first: int = 0) -> list[Any]:
    """Return *values* for a test: all except every so many, from number *first* on, are marked as soak."""
    return [
        value if number % every == first else pytest.param(*_words(value), marks=pytest.mark.soak)
        for number, value in enumerate(values)
    ]


def _words(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
