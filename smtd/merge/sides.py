"""The two sides of a pair, as values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

T = TypeVar("T", covariant=True)
U = TypeVar("U")


class Side(Enum):
    """One of the two stores of a pair."""

    LEFT = "left"
    RIGHT = "right"

    @property
    def other(self) -> Side:
        """The opposite side."""
        return Side.RIGHT if self is Side.LEFT else Side.LEFT


SIDES = (Side.LEFT, Side.RIGHT)


@dataclass(frozen=True, slots=True)
class Both(Generic[T]):
    """One value for each side."""

    left: T
    right: T

    def __getitem__(self, side: Side) -> T:
        return self.left if side is Side.LEFT else self.right

    def map(self, change: Callable[[T], U]) -> Both[U]:
        """Return both values, changed."""
        return Both(change(self.left), change(self.right))

    @property
    def swapped(self) -> Both[T]:
        """The same values with the sides exchanged."""
        return Both(self.right, self.left)
