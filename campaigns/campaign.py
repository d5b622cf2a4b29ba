"""What a campaign is, and what it counts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias


@dataclass
class Tally:
    """What came of a campaign: how often something happened, and everything that should not be.

    *unit* is what is counted in *count*. *losses*, *doubles* and *differences* name each what is lost, there
    twice, or different without a reason; a campaign goes on after the first.
    """

    unit: str
    count: int = 0
    losses: list[str] = field(default_factory=list)
    doubles: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    #: What happened how often, for the reader.
    counts: Counter[str] = field(default_factory=Counter)
    #: Figures that are none of these.
    notes: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    _told: set[str] = field(default_factory=set)

    @property
    def seconds(self) -> float:
        """How long it took so far."""
        return time.monotonic() - self.began

    @property
    def wrong(self) -> list[str]:
        """All that should not be."""
        return [*self.losses, *self.doubles, *self.differences]

    def wrong_so_far(self) -> str:
        """Return how many things are wrong, and on lines of their own those that no earlier call returned."""
        new = [each for each in dict.fromkeys(self.wrong) if each not in self._told]
        self._told.update(new)
        return "\n    ".join([f"{len(self.wrong)} things wrong", *new])

    @property
    def summary(self) -> str:
        """What happened, in words."""
        return "; ".join([*(f"{count:,} {what}" for what, count in sorted(self.counts.items())), *self.notes])


#: Called with a directory of its own, a count, and a function that reports progress.
Running: TypeAlias = Callable[[Path, int, Callable[[str], None]], Tally]


@dataclass(frozen=True, slots=True)
class Campaign:
    """One campaign; *count* is how often it runs by default."""

    what: str
    run: Running
    count: int
