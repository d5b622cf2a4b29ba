"""JSON that others wrote: what is ambiguous in it is refused, and never guessed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any


class Doubled:
    """Stands for an object of JSON in which a name is there twice; it is no plain value."""


def read(data: bytes, *, doubled: Callable[[str], Any]) -> Any:
    """Return what *data* says, which must be UTF-8.

    An object in which a name is there twice means one thing to one program and another to the next: it
    becomes what *doubled* returns for that name. Raises ValueError, RecursionError or MemoryError, and what
    *doubled* raises.
    """
    return json.loads(data.decode("utf-8-sig"), object_pairs_hook=partial(_object, doubled))


def refuse(name: str) -> Any:
    """Raise ValueError for the *name* that is there twice."""
    raise ValueError(f"it has the name {name[:60]!r} twice")


def _object(doubled: Callable[[str], Any], pairs: list[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    counts = Counter(name for name, _ in pairs)
    return doubled(next(name for name, count in counts.items() if count > 1))
