"""What was made of small values is kept: the same ones come with one record after another.

They are those of a data store, or the metadata of a file.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

#: Values with more bytes are not kept in mind, and of others no more than these.
SMALL, MOST = 400, 1000


class Recurring(Generic[T]):
    """Calls *make* for a value, and gives the same object for the same value later: do not change it.

    The bytes of marshal tell types and order exactly. Whatever *make* raises is raised.
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
