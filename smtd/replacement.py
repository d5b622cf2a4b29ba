"""Detect that the store of a side was replaced since the end of the last cycle.

A store is identified by a mark: that of its file, or, for tables on a server, one that the server supplies.
"""

from __future__ import annotations

from typing import Protocol, cast

from anyio import to_thread

from smtd.filestat import CLOCK_TICK, Signature, StatCache, age, is_young, signature
from smtd.stores import incarnation
from smtd.stores.base import MarkedStore, Store
from smtd.stores.location import Location


class MarkReader(Protocol):
    """Reads the mark of one store, as text (empty: it has none)."""

    #: Reading the mark costs so little that every poll may do it.
    is_cheap: bool
    #: smtd itself replaces the file when it writes.
    swaps: bool

    async def read(self, before: str) -> tuple[str, bool]:
        """Return the mark of the store, and whether it is another store than the one with the mark *before*.

        If *before* is empty, the store never counts as another one.
        """

    def completed(self, after: str, before: str) -> str:
        """Return *after* with its unknown values taken from *before*."""


#: The marks of files, for all pairs: they may share stores.
_marks = StatCache[str]()


class _File:
    """Reads the mark of the file at *location*; empty if there is no file."""

    is_cheap = True

    def __init__(self, location: Location) -> None:
        self._location = location
        self.swaps = location.driver.files is not None and location.driver.files.marks.is_swapped

    async def read(self, before: str) -> tuple[str, bool]:
        return await to_thread.run_sync(self._read, before)

    def _read(self, before: str) -> tuple[str, bool]:
        now = self._mark()
        marks = incarnation.read(before), incarnation.read(now)
        return now, bool(before) and before != now and self._location.is_another(*marks)

    def _mark(self) -> str:
        """Return the mark; it is cached while the status of the files is the same. Blocks."""
        location = self._location
        seen = files, count = self._status()
        if (known := _marks.get(location.name, seen)) is not None:
            return known
        # SQLite's counter also shows changes within one tick of the file system's clock.
        is_certain = count is not None or (age(files) > CLOCK_TICK and not is_young(files))
        found = location.mark()
        mark = "" if found is None else str(found)
        # A mark that is incomplete because of a lock must be read again.
        if is_certain and not location.is_partial(found) and self._status() == seen:
            _marks.put(location.name, seen, mark)
        return mark

    def _status(self) -> tuple[Signature, int | None]:
        return signature(self._location.files), self._location.commits()

    def completed(self, after: str, before: str) -> str:
        new, old = incarnation.read(after), incarnation.read(before)
        return after if new is None or old is None else str(new.completed(old))


class _Tables:
    """Reads the mark of the tables on a server, through *store*."""

    is_cheap = swaps = False

    def __init__(self, store: MarkedStore) -> None:
        self._store = store

    async def read(self, before: str) -> tuple[str, bool]:
        now = await self._store.mark()
        return now, bool(before) and before != now and await self._store.is_another(before, now)

    def completed(self, after: str, before: str) -> str:
        return after


class ReplacementCheck:
    """One side of a pair, whose store had the mark *before* at the end of the last cycle (empty: no mark).

    *has_baselines*: something was synced before. A server that was used without marks until now may have been
    restored since: it counts as another one, once.
    """

    def __init__(self, location: Location, store: Store, before: str, *, has_baselines: bool = False) -> None:
        bears = store.capabilities.bears_mark
        self._is_unknown = store.capabilities.announces and has_baselines and not before
        self._reader: MarkReader = _Tables(cast(MarkedStore, store)) if bears else _File(location)
        self._before = before
        #: The mark at the beginning of this cycle (None: it was not read yet).
        self._begin: str | None = None
        self._is_exchanged = False

    async def open(self) -> None:
        """Read the mark before anything else is done, if that is cheap."""
        if self._reader.is_cheap:
            await self.begin()

    async def begin(self) -> None:
        """Read the mark, before the store itself is read; only the first call has an effect."""
        if self._begin is None:
            self._begin, is_another = await self._reader.read(self._before)
            self._is_exchanged = is_another or self._is_unknown

    async def is_another(self) -> bool:
        """Say whether the store is another one than at the end of the last cycle."""
        _, is_another = await self._reader.read(self._before)
        return is_another or self._is_unknown

    async def remembered(self, written: bool, ended: bool) -> str:
        """Return the mark by which to identify the store from now on; see `Marks` of the engine.

        A store that took its place during the cycle has not been scanned: its mark must not be returned as
        that of the store that was.
        """
        if self._begin is None and ended:
            return self._before  # nothing was done
        await self.begin()
        if self._is_exchanged and not ended:
            return self._before
        begin = self._begin or ""
        after, is_another = await self._reader.read(begin)
        if not begin or not after or begin == after:
            return after or begin
        swapped = written and self._reader.swaps
        return begin if is_another and not swapped else self._reader.completed(after, begin)
