"""Find the rows of a key: labels have no index in Sumatra's schema."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from smtd.records.record import Key
from smtd.stores.django.connection import DatabaseConnection
from smtd.stores.django.reader import LOWEST, key_of
from smtd.stores.index import RowIndex

#: While other clients insert, a row may become visible after this many rows with higher ids. The next scan
#: finds a row that becomes visible even later, and so does a writer, which first waits for all others.
REORDER_WINDOW = 1000
#: The most rows of one query.
MAX_ROWS = 10_000
#: The keys of one query.
_CHUNK = 250


class RowLookup(Protocol):
    """Finds the rows of keys."""

    async def of(self, db: DatabaseConnection, keys: Collection[Key], indexed: Collection[int]) -> list[int]:
        """Return the ids of all rows that bear one of *keys*, *indexed* or not, and of some that once did."""

    def add(self, row_id: int, key: Key) -> None:
        """Note that a row bears *key*."""

    def forget(self) -> None:
        """Forget all ids."""


class RowIds:
    """Remembers the ids of the rows by key; ids are never reused."""

    def __init__(self) -> None:
        #: A single id, which nearly all keys have, takes half the memory of a tuple of one.
        self._ids: dict[Key, int | tuple[int, ...]] = {}
        #: The id up to which all rows are known, and the highest id that was seen.
        self._complete_up_to = self._highest = LOWEST
        #: The index that knows the rows up to there, once it was asked (None: this object does).
        self._index: RowIndex | None = None
        #: The ids that the index has for some keys.
        self._indexed: dict[Key, list[int]] = {}

    def follow(self, index: RowIndex) -> None:
        """Use *index* for the rows that it knows, instead of what this object has learned."""
        self.forget()
        self._index = index

    async def indexed(self, keys: Collection[Key]) -> list[int]:
        """Return the ids of the rows with one of *keys*, as far as an index knows them.

        Call it before a transaction begins: inside one, only its connection may be awaited.
        """
        if self._index is None:
            return []
        if new := [key for key in keys if key not in self._indexed]:
            highest, found = await self._index.highest_and_rows_of(new)
            if not self._indexed and highest is not None:
                # Rows that the index learns from now on are above this id, and so are found in any case.
                self._complete_up_to, self._highest = highest, max(self._highest, highest)
            self._indexed |= {key: found.get(key, []) for key in new}
        return [row_id for key in keys for row_id in self._indexed[key]]

    async def of(self, db: DatabaseConnection, keys: Collection[Key], indexed: Collection[int]) -> list[int]:
        await self.fetch_new(db)
        found = [row_id for key in keys for row_id in self._ids_of(key)]
        return list(dict.fromkeys([*found, *indexed]))

    def _ids_of(self, key: Key) -> tuple[int, ...]:
        found = self._ids.get(key, ())
        return found if isinstance(found, tuple) else (found,)

    async def fetch_new(self, db: DatabaseConnection) -> None:
        """Learn the rows that were added since the last call."""
        start = (
            self._complete_up_to
            if db.exclusive
            else max(self._complete_up_to, self._highest - REORDER_WINDOW)
        )
        for row_id, key in await self.fetch_after(db, start):
            self.add(row_id, key)
        if db.exclusive:
            self._complete_up_to = self._highest

    async def fetch_after(self, db: DatabaseConnection, after: int | None) -> list[tuple[int, Key]]:
        """Return all rows with ids above *after* (None: all) and their keys, in order."""
        asked = (
            "SELECT db_id, project_id, label FROM django_store_record"
            f" WHERE db_id > ? AND project_id IS NOT NULL ORDER BY db_id LIMIT {MAX_ROWS} {db.for_update}"
        )
        found: list[tuple[int, Key]] = []
        rows = await db.fetch(asked, (LOWEST if after is None else after,))
        while rows:
            found += [(row_id, key_of(row_id, project, label)) for row_id, project, label in rows]
            rows = await db.fetch(asked, (rows[-1][0],)) if len(rows) == MAX_ROWS else []
        return found

    def add(self, row_id: int, key: Key) -> None:
        # A key that the row had before stays listed, too.
        known = self._ids_of(key)
        if row_id not in known:
            self._ids[key] = (*known, row_id) if known else row_id
        self._highest = max(self._highest, row_id)

    def rest(self) -> None:
        """Forget everything if there is an index, which knows it, too; see `follow`."""
        if self._index is not None:
            self.forget()

    def forget(self) -> None:
        """Forget all ids and the index, as after the rollback of a transaction that inserted some."""
        self._ids.clear()
        self._indexed.clear()
        self._complete_up_to = self._highest = LOWEST
        self._index = None


class KeyLookup:
    """Asks for the rows of keys each time, for tables that several programs write.

    *can_hold* says which texts may be asked for.
    """

    def __init__(self, can_hold: Callable[[str], bool]) -> None:
        self._can_hold = can_hold

    async def of(self, db: DatabaseConnection, keys: Collection[Key], indexed: Collection[int]) -> list[int]:
        todo = [key for key in keys if self._can_hold(key.project) and self._can_hold(key.label)]
        found: dict[int, None] = dict.fromkeys(indexed)
        for start in range(0, len(todo), _CHUNK):
            some = todo[start : start + _CHUNK]
            places = ", ".join(["(?, ?)"] * len(some))
            query = f"SELECT db_id FROM django_store_record WHERE (project_id, label) IN ({places})"
            rows = await db.fetch(query, [part for key in some for part in key])
            found |= dict.fromkeys(row_id for (row_id,) in rows)
        return list(found)

    def add(self, row_id: int, key: Key) -> None:
        """Do nothing."""

    def forget(self) -> None:
        """Do nothing."""
