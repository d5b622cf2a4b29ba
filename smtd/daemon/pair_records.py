"""The records of one pair for people who look at them: read beside its cycles, written by none of this.

What is where is known from the journal's indexes, without a store. A record itself is read from a store that
is opened for that, as for a scrub. A pair has each record once: that of the first side which has it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple, cast

import anyio
from anyio import to_thread

from smtd.daemon.worker import Worker
from smtd.engine.pair import Policy
from smtd.errors import SmtdError, StoreError, StoreUnreachable, UsageError
from smtd.journal.history import HistoryEntry
from smtd.journal.index import Cursor
from smtd.journal.journal import Journal
from smtd.journal.pair import PairJournal
from smtd.merge.decide import Mode
from smtd.merge.sides import SIDES, Both, Side
from smtd.records.record import Key, Record
from smtd.stores.base import Store
from smtd.stores.index import ABSENT, Entry, State, TrackedStore
from smtd.stores.location import Location
from smtd.stores.registry import open_store

#: Seconds that one record of a server may take.
PATIENCE = 10.0


class ChangedKeys(NamedTuple):
    """The *keys* that may have changed, and the *cursor* that has them all."""

    keys: Sequence[Key]
    cursor: str


class PairRecords:
    """The records of the pair *name*, whose stores are at *locations*.

    *journal* knows what is where; *policy* is that of the pair.
    """

    def __init__(
        self,
        name: str,
        locations: Both[Location],
        journal: PairJournal,
        policy: Policy,
    ) -> None:
        self.name = name
        self.is_two_way = policy.mode is Mode.TWO_WAY
        self._locations = locations
        self._journal = journal
        self._projects = policy.projects
        #: The sides in the order in which a record is looked for: files can be read at any time.
        self.order = sorted(SIDES, key=lambda side: not locations[side].files)

    async def record_counts(self) -> dict[str, Both[int]]:
        """Return how many records each side has, by project."""
        left, right = [await self._journal.indexes[side].record_counts(self._projects) for side in SIDES]
        return {
            project: Both(*[each[project].records if project in each else 0 for each in (left, right)])
            for project in sorted({*left, *right})
        }

    async def source(self) -> str:
        """Return a text that names these stores and projects: a cursor of another one means nothing here."""
        cursors = await self._cursors()
        stores = [f"{self._locations[side].identity} {cursors[side].epoch}" for side in SIDES]
        projects = "" if self._projects is None else repr(sorted(self._projects))
        return "\n".join([*stores, projects])

    async def changed(self, cursor: str) -> ChangedKeys:
        """Return what changed after *cursor* (empty: all records)."""
        now, before = await self._cursors(), [int(word) for word in cursor.split()] or [0, 0]
        keys: set[Key] = set()
        for side, seq in zip(SIDES, before, strict=True):
            if seq != now[side].seq:
                since = Cursor(now[side].epoch, seq)
                keys |= await self._journal.indexes[side].changed_since(since, self._projects)
        return ChangedKeys(sorted(keys), f"{now.left.seq} {now.right.seq}")

    async def _cursors(self) -> Both[Cursor]:
        return Both(*[await self._journal.indexes[side].cursor() for side in SIDES])

    async def entries(self, keys: Collection[Key]) -> dict[Key, Both[Entry]]:
        """Return what each side had under *keys* when smtd last looked."""
        left, right = [await self._journal.indexes[side].entries(keys) for side in SIDES]
        return {key: Both(left.get(key, ABSENT), right.get(key, ABSENT)) for key in keys}

    async def baseline_at(self, key: Key) -> str | None:
        """Return when the baseline of *key* was recorded (None: there is none)."""
        return await self._journal.baseline_at(key)

    async def is_in_sync(self, key: Key, entries: Both[Entry]) -> bool:
        """Say whether both sides have the record *key* as in its baseline, given its *entries*."""
        baseline = (await self._journal.baselines_of([key])).get(key)
        return baseline is not None and entries.map(lambda each: each.digest) == baseline

    async def history(self, key: Key, most: int) -> list[HistoryEntry]:
        """Return the latest writes of smtd under *key*, at most so many, newest first."""
        return await self._journal.history.entries(key=key, limit=most)

    def chosen(self, entries: Both[Entry]) -> Side | None:
        """Return the side whose record is shown (None: neither has one); one that can be read comes first."""
        found = [side for side in self.order if entries[side].state is not State.ABSENT]
        return next((side for side in found if entries[side].is_readable), found[0] if found else None)

    @asynccontextmanager
    async def store(self, side: Side) -> AsyncIterator[Store]:
        """Open the store of *side*, to read, for a `with` block. Raises StoreError."""
        location = self._locations[side]
        if await to_thread.run_sync(location.is_missing):
            raise StoreUnreachable(f"{location} is missing")
        async with open_store(location) as store:
            if store.capabilities.tracks:  # else it reads the keys of all rows to find one
                await cast("TrackedStore", store).follow(self._journal.indexes[side])
            yield store

    async def read(self, key: Key, entries: Both[Entry]) -> Record | None:
        """Return the record *key*, from the other side if the first cannot be reached (None: it is gone).

        *entries*: what is known of *key*. Raises StoreError.
        """
        first = self.chosen(entries)
        sides = sorted(SIDES, key=lambda side: side is not first)
        problem: StoreError | None = None
        for side in (side for side in sides if entries[side].is_readable):
            try:
                return await self._read(side, key)
            except StoreError as exc:
                problem = problem or exc
        if problem is not None:
            raise problem
        return None

    async def _read(self, side: Side, key: Key) -> Record | None:
        limit = None if self._locations[side].files else PATIENCE
        try:
            with anyio.fail_after(limit):
                async with self.store(side) as store:
                    return (await store.read([key])).get(key)
        except TimeoutError:
            sentence = f"{self._locations[side]} did not answer within {PATIENCE:.0f} s"
            raise StoreUnreachable(sentence) from None


class PairAccess(NamedTuple):
    """How pages get at the records of pairs.

    *workers* returns the workers of all pairs, by name. *directory* is for files that can be made again.
    """

    workers: Callable[[], Sequence[Worker]]
    journal: Journal
    directory: Path

    def names(self) -> list[str]:
        """Return the names of all pairs."""
        return [worker.name for worker in self.workers()]

    async def records(self, name: str) -> PairRecords | None:
        """Return the records of the pair *name* (None: it was never synced). Raises SmtdError."""
        worker = next((worker for worker in self.workers() if worker.name == name), None)
        if worker is None:
            raise UsageError(f"there is no pair {name}; the first page lists the pairs")
        locations = await _located(worker)
        known = await self.journal.known(locations.left.identity, locations.right.identity)
        if known is None:
            return None
        return PairRecords(name, locations, known, worker.settings.scoped(locations))


async def _located(worker: Worker) -> Both[Location]:
    """Return where the stores of the pair are, or were at the last cycle. Raises SmtdError."""
    try:
        return await worker.session.locate()
    except SmtdError:
        if worker.session.locations is None:
            raise
        return worker.session.locations


def totals(counts: Mapping[str, Both[int]]) -> int:
    """Return about how many records a pair has, given those that each side has."""
    return sum(max(each.left, each.right) for each in counts.values())
