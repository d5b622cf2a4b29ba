"""A pair: two stores, what is known of them, and how they are to be kept."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from smtd.journal.pair import PairJournal
from smtd.merge.decide import Conflicts, Mode
from smtd.merge.deletion_guard import DeletionLimit
from smtd.merge.sides import SIDES, Both, Side
from smtd.records.record import Key
from smtd.stores.base import Store


@dataclass(frozen=True, slots=True)
class Policy:
    """How a pair is to be kept; the defaults are those of the configuration."""

    projects: frozenset[str] | None = None
    mode: Mode = Mode.TWO_WAY
    propagate_deletes: bool = True
    conflicts: Conflicts = Conflicts.ASK
    hold_unfinished: bool = True
    limit: DeletionLimit = field(default_factory=DeletionLimit)
    #: Seconds within which every record of a store that is dear to read is read again.
    verify_within: float = 3600.0
    #: Offer what a store refused in every cycle; else ever more rarely.
    force_retry: bool = True
    #: A person waits for all that is there now: wait, for a second or so, until no record may be half saved.
    #: Else such a record is left for a later cycle.
    wait_to_settle: bool = True
    #: Seconds for which a run may go on; then it is taken to have been killed (None: for ever).
    stale_after: float | None = None

    def covers(self, key: Key) -> bool:
        """Say whether *key* is of a project that is kept."""
        return self.projects is None or key.project in self.projects

    @property
    def fingerprint(self) -> str:
        """What tells two policies apart; a cycle of another policy proves nothing for this one."""
        projects = None if self.projects is None else sorted(self.projects)
        held = (self.hold_unfinished, self.stale_after)
        text = repr((projects, self.mode, self.propagate_deletes, self.conflicts, held, self.limit))
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class Marks(Protocol):
    """Tells both stores, files or tables on a server, from others in their place."""

    async def __call__(self, written: Both[bool], ended: bool = False) -> Both[str]:
        """Return what tells them, given whether smtd has written to each of them in this cycle.

        Until the cycle has *ended*, a store that was exchanged since the last one is not known as its own.
        """


async def _no_look() -> None:
    """Look at nothing, as of stores that have no mark."""


async def _never(side: Side) -> bool:
    """Say that a store is the one that it was, as of one that has no mark."""
    return False


async def _no_marks(written: Both[bool], ended: bool = False) -> Both[str]:
    """Return no marks, as of stores that have none."""
    return Both("", "")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two stores and their journal, for the length of one or more cycles."""

    name: str
    stores: Both[Store]
    journal: PairJournal
    policy: Policy
    #: Looks at the marks of the stores: called before a cycle looks at anything else.
    begin: Callable[[], Awaitable[None]] = _no_look
    #: Says whether the store of a side is now another one than at the end of the last cycle.
    is_another: Callable[[Side], Awaitable[bool]] = _never
    #: Returns what tells the stores from others now (empty: nothing does).
    marks: Marks = _no_marks

    async def flush(self, sides: Iterable[Side] = SIDES) -> None:
        """Make durable what was read of *sides*: before the journal agrees on it, or forgets what is gone."""
        for side in sides:
            await self.stores[side].flush()
