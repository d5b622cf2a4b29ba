"""Fill the search index of one pair from the journal and its stores, while somebody looks at its records."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

import anyio

from smtd.daemon.pair_records import PairAccess, PairRecords, totals
from smtd.errors import SmtdError
from smtd.merge.sides import Both, Side
from smtd.records.record import Key, Record
from smtd.server.alarm import Alarm
from smtd.stores.base import Store
from smtd.stores.index import Entry
from smtd.web.records.catalog import Progress
from smtd.web.records.index import Indexed, SearchIndex

log = logging.getLogger("smtd")

#: Records that are read at a time, and those whose entries are.
_BATCH, _ENTRIES = 50, 400
#: Seconds after the last page until filling stops, and until the index is closed.
_WATCHED, _USED = 60.0, 600.0
#: Seconds for which a page waits for the index.
PATIENCE = 1.0


class _Unused(Exception):
    """Nobody looks at the records any more."""


class PairIndexing:
    """Keeps *index* up to date with the pair *name*. `run` does the work while pages ask for `progress`."""

    def __init__(self, name: str, access: PairAccess, index: SearchIndex) -> None:
        self.index = index
        #: How many pages use the index now.
        self.users = 0
        self._name = name
        self._access = access
        self._visited, self._advanced = Alarm(), Alarm()
        self._seen = time.monotonic()
        #: How many times it began, and ended, to look for changes.
        self._begun, self._ended = 0, 0
        self._problem = ""
        self._total = 0

    async def run(self) -> None:
        """Catch up after each visit; return when nobody has used the index for a while."""
        while True:
            rings = self._visited.rings
            self._begun += 1
            await self._try()
            self._ended = self._begun
            self._advanced.ring()
            while self._visited.rings == rings:
                if self._quiet >= _USED and not self.users:
                    return
                await self._visited.wait(rings, max(_USED - self._quiet, 0.2))

    @property
    def _quiet(self) -> float:
        """The seconds since the last visit."""
        return time.monotonic() - self._seen

    async def progress(self) -> Progress:
        """Wait a moment for the index to have all that smtd has seen, and return how far it is."""
        self._seen, wanted = time.monotonic(), self._begun + 1
        self._visited.ring()
        with anyio.move_on_after(PATIENCE):
            while self._ended < wanted:
                await self._advanced.wait(self._advanced.rings, PATIENCE)
        if self._ended >= wanted and not self._problem:
            return Progress(True)
        return Progress(False, await self.index.count(), self._total, self._problem)

    async def _try(self) -> None:
        """Take in what has changed; say why not, if that fails."""
        try:
            await self._catch_up()
            self._problem = ""
        except _Unused:
            log.debug("the search index of pair %s stays incomplete: nobody looks", self._name)
        except SmtdError as exc:
            self._problem = f"{exc}."
        except sqlite3.Error as exc:
            log.warning("the search index of pair %s cannot be used: %s", self._name, exc)
            self._problem = "its file cannot be used; the log of the daemon says more."

    async def _catch_up(self) -> None:
        records = await self._access.records(self._name)
        if records is None:
            return
        self._total = totals(await records.record_counts())
        cursor = await self.index.begin(await records.source())
        changed = await records.changed(cursor)
        if changed.cursor == cursor:
            return
        for side in records.order:
            async with AsyncExitStack() as stack:
                await self._take_in(_Reading(records, side, stack), changed.keys, cursor)
        await self.index.apply([], changed.cursor)

    async def _take_in(self, reading: _Reading, keys: Sequence[Key], cursor: str) -> None:
        """Take in those of *keys* whose records *reading* can read, and what needs no reading."""
        for start in range(0, len(keys), _ENTRIES):
            found = await reading.records.entries(keys[start : start + _ENTRIES])
            known = await self.index.digests([*found])
            due = [key for key, each in found.items() if known.get(key) != reading.digest(each)]
            mine = [key for key in due if reading.is_due(found[key])]
            for begin in range(0, len(mine), _BATCH):
                batch = {key: found[key] for key in mine[begin : begin + _BATCH]}
                await self.index.apply(await reading.read(batch), cursor)
                await self._pause()

    async def _pause(self) -> None:
        """While nobody looks, wait until somebody does."""
        while self._quiet > _WATCHED and not self.users:
            if self._quiet > _USED:
                raise _Unused
            await self._visited.wait(self._visited.rings, _USED)


class _Reading:
    """Reads records of one *side* of *records*, whose store stays open as long as *stack*."""

    def __init__(self, records: PairRecords, side: Side, stack: AsyncExitStack) -> None:
        self.records = records
        self._side = side
        self._stack = stack
        self._store: Store | None = None

    def digest(self, entries: Both[Entry]) -> str | None:
        """Return the digest that the index has for a key with *entries* (None: there is no record)."""
        side = self.records.chosen(entries)
        if side is None:
            return None
        digest = entries[side].digest
        return f"0-{entries[side].problem[:100]}" if digest is None else digest.hex()

    def is_due(self, entries: Both[Entry]) -> bool:
        """Say whether a key with *entries* is taken in from this side, or from none."""
        return self.records.chosen(entries) in (self._side, None)

    async def read(self, found: Mapping[Key, Both[Entry]]) -> list[Indexed]:
        """Return what the keys of *found* hold. Raises StoreError."""
        wanted = [key for key, each in found.items() if each[self._side].is_readable]
        read = await (await self._opened()).read(wanted) if wanted else {}
        return [self._indexed(key, each, read.get(key)) for key, each in found.items()]

    async def _opened(self) -> Store:
        if self._store is None:
            self._store = await self._stack.enter_async_context(self.records.store(self._side))
        return self._store

    def _indexed(self, key: Key, entries: Both[Entry], record: Record | None) -> Indexed:
        entry = entries[self._side]
        if record is not None or entry.is_readable:
            # A record that cannot be read now was deleted meanwhile, which is a later change.
            return Indexed(key, None if record is None else self.digest(entries), record)
        return Indexed(key, self.digest(entries), None, entry.problem)
