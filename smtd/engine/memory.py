"""What a process remembers of a pair from one cycle to the next, so that the next one costs what has changed.

Nothing in it is knowledge: a cycle without it looks at every key, and decides the same.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from smtd.engine.pair import Policy
from smtd.merge.sides import SIDES, Both
from smtd.records.record import Key
from smtd.stores.base import Scan

#: From so many keys on it takes longer to ask the journal for each than for all there are.
MANY = 5000


class Settled(NamedTuple):
    """What the last cycle left: of the scans *numbers* all keys but the *open* ones were in sync.

    *projects* are those that either side had. *whole*: that cycle had decided all keys anew.
    """

    policy: Policy
    numbers: Both[int]
    open: Collection[Key]
    projects: Collection[str]
    whole: bool = True

    def changed(self, scans: Both[Scan]) -> set[Key] | None:
        """Return the keys to decide now that *scans* were made; None: all of them, or so many."""
        after = self.after(scans)
        return None if after is None or len(after.open) > MANY else set(after.open)

    def after(self, scans: Both[Scan | None]) -> Settled | None:
        """Return the same as of *scans* (None: as of the one before); what has changed is open.

        None: nobody can tell what has.
        """
        numbers, keys = {side: self.numbers[side] for side in SIDES}, set(self.open)
        for side in SIDES:
            if (scan := scans[side]) is None:
                continue
            if scan.changes is None or scan.changes.since != numbers[side]:
                return None
            numbers[side] = scan.number
            keys.update(scan.changes.keys)
        return self._replace(numbers=Both(*numbers.values()), open=keys)


@dataclass
class Memory:
    """What is remembered of one pair; empty at first, and while a cycle is not known to have ended well."""

    settled: Settled | None = None
    cycle: int | None = None

    @property
    def was_whole(self) -> bool:
        """Whether the last cycle went through all keys."""
        return self.settled is None or self.settled.whole

    def keep(self, settled: Settled | None, cycle: int) -> None:
        """Remember what *cycle* has left."""
        self.settled, self.cycle = settled, cycle

    def taken(self, policy: Policy, cycle: int | None) -> Settled | None:
        """Return what is remembered, if of a cycle under *policy*, and *cycle* was the last one by anybody.

        It is remembered no more.
        """
        settled, self.settled = self.settled, None
        return settled if settled is not None and (settled.policy, self.cycle) == (policy, cycle) else None
