"""Cache what was computed from small values: the same ones occur in one record after another.

They are the values of a data store, or the metadata of a file.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

#: The most bytes of a cached value, and the most values in one cache.
SMALL, MOST = 400, 1000


class Memo(Generic[T]):
    """Calls *make* for a value, and returns the same object for an equal value later: do not change it.

    Equal means the same bytes in marshal, which keeps types and order. Raises what *make* raises.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self._made: dict[bytes, T] = {}

    def __call__(self, value: Any) -> T:
        try:
            written = marshal.dumps(value, 2)
        except ValueError:  # something that marshal does not know
            return self._make(value)
        found = self._made.get(written)
        if found is None:
            found = self._make(value)
            if len(written) <= SMALL:
                if len(self._made) >= MOST:
                    self._made.clear()
                self._made[written] = found
        return found
