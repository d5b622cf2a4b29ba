"""A label for the second of two records that have the same label."""

from __future__ import annotations

from collections.abc import Container
from itertools import count

#: Characters that a label may have in a relational store (docs/formats.md).
LONGEST = 100


def alias(label: str, taken: Container[str]) -> str:
    """Return a label like *label* that is not *taken*; any store that accepts *label* accepts it, too."""
    endings = (f"-{number}" for number in count(2))
    names = (label[: LONGEST - len(ending)] + ending for ending in endings)
    return next(name for name in names if name not in taken)
