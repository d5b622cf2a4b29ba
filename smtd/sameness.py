"""Is the store of a side still the one that it was at the end of the last cycle?

A file is known by its own mark, the tables on a server by what the server tells of them.
"""

from __future__ import annotations

from typing import Protocol, cast

from anyio import to_thread

from smtd.filestat import CLOCK_TICK, LastFound, Signature, age, is_young, signature
from smtd.stores import incarnation
from smtd.stores.base import MarkedStore, Store
from smtd.stores.location import Location


class _Eye(Protocol):
    """How the mark of one store is read, as text (empty: it has none)."""

    #: A look costs so little that each poll may have one.
    is_cheap: bool
    #: smtd itself puts another file in the place of the one it writes to.
    swaps: bool

    async def look(self, before: str) -> tuple[str, bool]:
        """Return the mark that the store has now, and whether it is not the one that had the mark *before*.

        Nothing is another one than a store that had none.
        """

    def filled(self, after: str, before: str) -> str:
        """Return *after* with what *before* knew where it knows nothing."""


#: The marks of files: pairs share stores.
_marks = LastFound[str]()


class _File:
    """The mark of the file at *location*; of what is no file there is none."""

    is_cheap = True

    def __init__(self, location: Location) -> None:
        self._location = location
        self.swaps = location.driver.files is not None and location.driver.files.marks.is_swapped

    async def look(self, before: str) -> tuple[str, bool]:
        return await to_thread.run_sync(self._look, before)

    def _look(self, before: str) -> tuple[str, bool]:
        now = self._mark()
        marks = incarnation.read(before), incarnation.read(now)
        return now, bool(before) and before != now and self._location.is_another(*marks)

    def _mark(self) -> str:
        """Return the mark; a database need not be asked while its files look the same. Blocks."""
        location = self._location
        seen = files, count = self._looks()
        if (known := _marks.get(location.name, seen)) is not None:
            return known
        # SQLite counts what changes a file within one tick of its clock.
        is_certain = count is not None or (age(files) > CLOCK_TICK and not is_young(files))
        found = location.mark()
        mark = "" if found is None else str(found)
        # What a lock hides is asked for again.
        if is_certain and not location.is_partial(found) and self._looks() == seen:
            _marks.put(location.name, seen, mark)
        return mark

    def _looks(self) -> tuple[Signature, int | None]:
        return signature(self._location.files), self._location.commits()

    def filled(self, after: str, before: str) -> str:
        new, old = incarnation.read(after), incarnation.read(before)
        return after if new is None or old is None else str(new.filled(old))


class _Tables:
    """The mark of the tables on a server, which *store* asks for."""

    is_cheap = swaps = False

    def __init__(self, store: MarkedStore) -> None:
        self._store = store

    async def look(self, before: str) -> tuple[str, bool]:
        now = await self._store.mark()
        return now, bool(before) and before != now and await self._store.is_another(before, now)

    def filled(self, after: str, before: str) -> str:
        return after


class Sameness:
    """One side of a pair, whose store had the mark *before* at the end of the last cycle (empty: none)."""

    def __init__(self, location: Location, store: Store, before: str) -> None:
        bears = store.capabilities.bears_mark
        self._eye: _Eye = _Tables(cast(MarkedStore, store)) if bears else _File(location)
        self._before = before
        #: The mark at the begin of this cycle; None: nobody has looked yet.
        self._begin: str | None = None
        self._is_exchanged = False

    async def open(self) -> None:
        """Look at the mark before anything else is done, where that costs next to nothing."""
        if self._eye.is_cheap:
            await self.begin()

    async def begin(self) -> None:
        """Look at the mark, before the store itself is looked at: only the first look counts."""
        if self._begin is None:
            self._begin, self._is_exchanged = await self._eye.look(self._before)

    async def is_another(self) -> bool:
        """Say whether the store is not the one that it was at the end of the last cycle."""
        _, is_another = await self._eye.look(self._before)
        return is_another

    async def remembered(self, written: bool, ended: bool) -> str:
        """Return the mark to know the store by from now on; see `Marks` of the engine.

        A file, or tables, that somebody put there during the cycle have not been looked at: they must not
        be taken for those that were.
        """
        if self._begin is None and ended:
            return self._before  # nothing was done
        await self.begin()
        if self._is_exchanged and not ended:
            return self._before
        begin = self._begin or ""
        after, is_another = await self._eye.look(begin)
        if not begin or not after or begin == after:
            return after or begin
        swapped = written and self._eye.swaps
        return begin if is_another and not swapped else self._eye.filled(after, begin)
