"""Read JSON that other programs wrote; an ambiguous object is never interpreted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any


class Doubled:
    """Stands for a JSON object with a duplicate name; it is not a plain value."""


def read(data: bytes, *, doubled: Callable[[str], Any]) -> Any:
    """Return the value of *data*, which must be JSON in UTF-8.

    Programs differ in how they read an object with a duplicate name: it becomes what *doubled* returns for
    that name. Raises ValueError, RecursionError or MemoryError, and what *doubled* raises.
    """
    return json.loads(data.decode("utf-8-sig"), object_pairs_hook=partial(_object, doubled))


def refuse(name: str) -> Any:
    """Raise ValueError for the duplicate *name*."""
    raise ValueError(f"it has the name {name[:60]!r} twice")


def _object(doubled: Callable[[str], Any], pairs: list[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    counts = Counter(name for name, _ in pairs)
    return doubled(next(name for name, count in counts.items() if count > 1))
