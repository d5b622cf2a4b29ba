"""Others who add records to the same project: how to avoid that a record is made twice.

Asked twice at once, a Sumatra Server makes two records of one label, and serves neither from then on; nothing
on it is atomic but the making of a project. So smtd behaves as on a wire that all share: where it may have
company it waits for a drawn time, listens (a listing), and adds a few records, more each time, while nobody
else adds any.
"""

from __future__ import annotations

from collections.abc import Collection
from random import Random

from smtd.records.record import Key

#: Seconds that a wait is counted in: longer than a look and a write take on a server that is not slow.
UNIT = 0.5
#: The first wait is between one and so many units; who lost a race waits for so many more.
SPREAD = 4.0
#: Races that count, or waits would become too long.
RACES = 2
#: Looks in a row that are to show nothing of others: of any others, and of those who make the same records.
#: A slow one of those pauses for a second or two, and will make all that is to be made here.
LOOKS, LOOKS_AT_RIVALS = 2, 4
#: Units after which the cycle looks again if others are still active.
ENOUGH = 60.0
#: For how many times its length a unit is stretched at the most; how many looks a write takes as long as.
SLOW, DEAR = 6.0, 4.0
#: Units after which a waiting client checks whether there is still something to wait for.
STEP = 2.0
#: Records that are made without listening again, at the most.
MOST = 64


class Company:
    """What is known of the others who write to one project."""

    def __init__(self, chance: Random) -> None:
        #: Others add records here, or may do so.
        self.met = False
        #: This process has made the project: nobody can have known of it before.
        self.founded = False
        #: Every record that was seen or made here, and that this process did not delete.
        self.known: set[Key] = set()
        #: Records that were found there by their addresses, though no listing had them.
        self.unlisted: set[Key] = set()
        self._chance = chance
        self._lost = 0
        self._took = 0.0
        self._size = 1
        #: When a listing last showed nothing of others, or a record was made after that.
        self._calm: float | None = None
        #: Looks in a row that are to show nothing of others before anything is made.
        self._looks = 1

    @property
    def unit(self) -> float:
        """The seconds of one unit: a slow server needs longer ones."""
        return max(UNIT, min(2 * self._took, SLOW * UNIT))

    @property
    def pause(self) -> float:
        """How long to wait now before the next look, in seconds; drawn anew each time."""
        return self.unit * (self._chance.uniform(1.0, SPREAD) + SPREAD * self._lost)

    @property
    def step(self) -> float:
        """The seconds after which to look again, although the wait is not over."""
        return STEP * self.unit

    @property
    def patience(self) -> float:
        """For how many seconds to go on waiting for others."""
        return ENOUGH * self.unit

    def batch(self, keys: Collection[Key]) -> list[Key]:
        """Return which of *keys* to make now, in a drawn order: all of them, or in company more each time."""
        drawn = self._chance.sample(sorted(keys), len(keys))
        if not self.met:
            return drawn
        size, self._size = self._size, min(2 * self._size, MOST)
        return drawn[:size]

    def is_calm(self, now: float) -> bool:
        """Say whether others added nothing when it was last looked, which is not long ago."""
        return self._calm is not None and now - self._calm < self.unit

    def scanned(self, there: Collection[Key]) -> None:
        """Note what is *there*, as a scan found it: the first one does not tell who made it."""
        if self.known and not self.known.issuperset(there):
            self.met = True
        self.unlisted.difference_update(there)
        self.known.update(there)

    def shows_others(self, there: Collection[Key]) -> bool:
        """Say whether *there* is a record that was neither seen nor made here."""
        return not self.known.issuperset(there)

    def heard(self, there: Collection[Key], now: float) -> None:
        """Note what is *there* at the end of a wait, or in it as soon as that shows more of others."""
        if self.shows_others(there):
            self.are_busy()
        elif self._looks > 1:
            self._looks -= 1
        else:
            self._calm = now
        self.known.update(there)

    def are_busy(self) -> None:
        """Note that others are adding records at this moment: one quiet look may be a pause of theirs."""
        self.met, self._calm, self._size, self._looks = True, None, 1, LOOKS

    def are_rivals(self) -> None:
        """Note that others are probably making the records that are to be made here."""
        self.are_busy()
        self._looks = LOOKS_AT_RIVALS

    def lost_race(self) -> None:
        """Note that somebody else has made what was to be made here: from now on, wait longer."""
        self.are_rivals()
        self._lost = min(self._lost + 1, RACES)

    def looked(self, seconds: float) -> None:
        """Note how long a look took: to make a record takes longer."""
        self.took(DEAR * seconds)

    def took(self, seconds: float) -> None:
        """Note how long it took to make a record."""
        self._took += (seconds - self._took) / (4 if self._took else 1)

    def made(self, now: float) -> None:
        """Note that records were made here just now: who won a race need not wait as long as before."""
        self._calm = None if self._calm is None else now
        self._lost = min(self._lost, 1)
