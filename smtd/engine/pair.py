"""A pair: two stores, their journal, and the policy by which smtd syncs them."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from smtd.engine.report import PairReport, empty_report
from smtd.journal.pair import PairJournal
from smtd.merge.decide import Conflicts, Mode
from smtd.merge.deletion_guard import DeletionLimit
from smtd.merge.sides import SIDES, Both, Side
from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record
from smtd.stores.base import Store


@dataclass(frozen=True, slots=True)
class Policy:
    """How a pair is synced; the defaults are those of the configuration."""

    projects: frozenset[str] | None = None
    mode: Mode = Mode.TWO_WAY
    propagate_deletes: bool = True
    conflicts: Conflicts = Conflicts.ASK
    hold_unfinished: bool = True
    limit: DeletionLimit = field(default_factory=DeletionLimit)
    #: Seconds within which every record is read again in a store where each read costs a request.
    verify_within: float = 3600.0
    #: Retry refused writes in every cycle, not at growing intervals, and read the newest records of a server.
    force_retry: bool = True
    #: Wait, for a second or so, until no record may be half saved: a user waits for all that is there now.
    #: Otherwise such a record is left for a later cycle.
    wait_to_settle: bool = True
    #: Seconds after which an unfinished run is taken to have been killed (None: never).
    stale_after: float | None = None

    def covers(self, key: Key) -> bool:
        """Say whether the pair syncs the project of *key*."""
        return self.projects is None or key.project in self.projects

    @property
    def fingerprint(self) -> str:
        """A hash that tells policies apart: a cycle with another policy proves nothing for this one."""
        projects = None if self.projects is None else sorted(self.projects)
        held = (self.hold_unfinished, self.stale_after)
        text = repr((projects, self.mode, self.propagate_deletes, self.conflicts, held, self.limit))
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class Marks(Protocol):
    """Returns marks, which tell both stores (files or tables on a server) from others in their place."""

    async def __call__(self, written: Both[bool], ended: bool = False) -> Both[str]:
        """Return the marks, given whether smtd has written to each store in this cycle.

        Until the cycle has *ended*, a store that was exchanged keeps the mark of its predecessor.
        """


async def _no_begin() -> None:
    """Ask nothing: the stores have no marks."""


async def _never(side: Side) -> bool:
    """Say that the store was not replaced: it has no mark that could show it."""
    return False


async def _no_marks(written: Both[bool], ended: bool = False) -> Both[str]:
    """Return no marks: the stores have none."""
    return Both("", "")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two stores and their journal, open for one or more cycles."""

    name: str
    stores: Both[Store]
    journal: PairJournal
    policy: Policy
    #: Asks for the marks of the stores: called before a cycle looks at them.
    begin: Callable[[], Awaitable[None]] = _no_begin
    #: Says whether the store of a side is now another one than at the end of the last cycle.
    is_another: Callable[[Side], Awaitable[bool]] = _never
    #: Returns the marks of the stores (empty: none).
    marks: Marks = _no_marks

    def new_report(self) -> PairReport:
        """Return the report of a cycle that has done nothing yet."""
        return empty_report(self.name, self.stores.map(lambda store: store.location))

    async def read(self, side: Side, key: Key) -> Record | None:
        """Return what *side* holds under *key* (None: nothing that can be read)."""
        return (await self.stores[side].read([key])).get(key)

    async def read_both(self, key: Key) -> Both[Record | None]:
        """Return what both sides hold under *key*."""
        return Both(await self.read(Side.LEFT, key), await self.read(Side.RIGHT, key))

    async def digests(self, side: Side, keys: Collection[Key]) -> dict[Key, Digest]:
        """Return the digests of what *side* holds under *keys*."""
        records = await self.stores[side].read(keys)
        return {key: canonical.digest(record) for key, record in records.items()}

    async def flush(self, sides: Iterable[Side] = SIDES) -> None:
        """Make what was read of *sides* durable; call it before the journal agrees on it or forgets keys."""
        for side in sides:
            await self.stores[side].flush()
