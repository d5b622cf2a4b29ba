"""Avoid creating a record twice when other clients add records to the same project.

If two clients create one label at the same time, a Sumatra Server makes two records of it, and serves neither
from then on. Only the creation of a project is atomic there. So smtd behaves as on a shared wire: if other
clients may be active, it waits for a random time, listens (reads a listing), and adds a few records, more
each time, while no other client adds any.
"""

from __future__ import annotations

from collections.abc import Collection
from random import Random

from smtd.records.record import Key

#: The unit of waits, in seconds: longer than a listing and a write take on a server that is not slow.
UNIT = 0.5
#: The first wait takes from one to this many units; after a lost race it takes this many more.
SPREAD = 4.0
#: The most lost races that count: with more the waits would become too long.
RACES = 2
#: How many listings in a row must show nothing new by others: by any client, and by one that creates the same
#: records. A slow one of these pauses for a second or two, and then creates all that smtd has to create.
LISTINGS, LISTINGS_OF_RIVALS = 2, 4
#: Units after which the cycle continues if others are still active.
ENOUGH = 60.0
#: The most times that a unit is stretched for a slow server, and how many listings take as long as a write.
SLOW, DEAR = 6.0, 4.0
#: Units after which smtd, while it waits, checks whether there is still something to wait for.
STEP = 2.0
#: The most records that smtd creates without listening again.
MOST = 64


class OtherClients:
    """What is known about the other clients that write to one project."""

    def __init__(self, chance: Random) -> None:
        #: Others add records here, or may do so.
        self.may_act = False
        #: This process has created the project, so no other client knew it before.
        self.created_project = False
        #: Every record that this process has seen or created, and has not deleted.
        self.known: set[Key] = set()
        #: Records that the server showed at their addresses, though no listing had them.
        self.unlisted: set[Key] = set()
        self._chance = chance
        self._lost = 0
        self._took = 0.0
        self._size = 1
        #: When a listing last showed nothing new by others, or this process created a record after that.
        self._calm: float | None = None
        #: How many more listings in a row must show nothing new by others before smtd creates a record.
        self._listings = 1

    @property
    def unit(self) -> float:
        """The length of a unit in seconds: longer for a slow server."""
        return max(UNIT, min(2 * self._took, SLOW * UNIT))

    @property
    def pause(self) -> float:
        """The seconds to wait now before the next listing: a new random number each time."""
        return self.unit * (self._chance.uniform(1.0, SPREAD) + SPREAD * self._lost)

    @property
    def step(self) -> float:
        """The seconds after which to list again during a wait."""
        return STEP * self.unit

    @property
    def patience(self) -> float:
        """The most seconds to wait for others."""
        return ENOUGH * self.unit

    def batch(self, keys: Collection[Key]) -> list[Key]:
        """Return the *keys* to create now, in random order: all, or, with other clients, more each time."""
        drawn = self._chance.sample(sorted(keys), len(keys))
        if not self.may_act:
            return drawn
        size, self._size = self._size, min(2 * self._size, MOST)
        return drawn[:size]

    def is_calm(self, now: float) -> bool:
        """Say whether the last listing, less than a unit ago, showed nothing new by others."""
        return self._calm is not None and now - self._calm < self.unit

    def note_scan(self, there: Collection[Key]) -> None:
        """Note the keys *there* from a scan: the first scan does not show which client created a record."""
        if self.known and not self.known.issuperset(there):
            self.may_act = True
        self.unlisted.difference_update(there)
        self.known.update(there)

    def shows_others(self, there: Collection[Key]) -> bool:
        """Say whether *there* has a record that this process has neither seen nor created."""
        return not self.known.issuperset(there)

    def note_listing(self, there: Collection[Key], now: float) -> None:
        """Note the keys *there* at the end of a wait, or during one as soon as others have added records."""
        if self.shows_others(there):
            self.are_busy()
        elif self._listings > 1:
            self._listings -= 1
        else:
            self._calm = now
        self.known.update(there)

    def are_busy(self) -> None:
        """Note that others are adding records now: they may only pause when one listing shows nothing new."""
        self.may_act, self._calm, self._size, self._listings = True, None, 1, LISTINGS

    def are_rivals(self) -> None:
        """Note that others are probably creating the same records as this process."""
        self.are_busy()
        self._listings = LISTINGS_OF_RIVALS

    def lost_race(self) -> None:
        """Note that another client has created a record first: from now on, wait longer."""
        self.are_rivals()
        self._lost = min(self._lost + 1, RACES)

    def note_listing_time(self, seconds: float) -> None:
        """Note how long a listing took: creating a record takes longer."""
        self.note_write_time(DEAR * seconds)

    def note_write_time(self, seconds: float) -> None:
        """Note how long it took to create a record."""
        self._took += (seconds - self._took) / (4 if self._took else 1)

    def note_created(self, now: float) -> None:
        """Note that this process has just created records: after a won race it need not wait as long."""
        self._calm = None if self._calm is None else now
        self._lost = min(self._lost, 1)
