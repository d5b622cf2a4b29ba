"""What a client knows of one request for one record: its times, and what its answer says. No I/O."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

#: What a record holds: its digest, or None if there is no record.
Value: TypeAlias = str | None


class Condition(NamedTuple):
    """What a record must hold: one of *values*, or none of them."""

    values: tuple[Value, ...]
    is_met_by_them: bool

    def holds(self, value: Value) -> bool:
        """Say whether a record with *value* meets the condition."""
        return (value in self.values) == self.is_met_by_them


def one_of(*values: Value) -> Condition:
    """Return the condition that a record holds one of *values*."""
    return Condition(values, True)


def none_of(*values: Value) -> Condition:
    """Return the condition that a record holds none of *values*."""
    return Condition(values, False)


#: A record may hold anything, or not exist.
ANY = none_of()


@dataclass(frozen=True, slots=True)
class Effect:
    """What an operation says of a record: what it held, and what it holds then.

    *writes* (a tuple of one value) is what is written; an empty one leaves what is there.
    """

    condition: Condition = ANY
    writes: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of *client*, from *called* to *returned*, in seconds of one monotonic clock.

    Without an answer *returned* is infinite: it has its effect once, at any time after its call, or never.
    """

    client: str
    what: str
    effect: Effect
    called: float
    returned: float = math.inf

    @property
    def is_certain(self) -> bool:
        """Whether it got an answer."""
        return self.returned < math.inf

    def __str__(self) -> str:
        end = f"{self.returned:.4f}" if self.is_certain else "no answer"
        return f"{self.called:.4f} to {end}: {self.client}: {self.what}"
