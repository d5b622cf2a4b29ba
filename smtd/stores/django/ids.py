"""Which rows bear a key: labels have no index in Sumatra's schema."""

from __future__ import annotations

from collections.abc import Collection

from smtd.records.record import Key
from smtd.stores.django.connection import Connection
from smtd.stores.django.reader import LOWEST, key_of

#: Where others insert at the same time, rows may show up later than as many with higher ids. What comes
#: even later is found by the next scan, and by whoever writes, who waits for all others first.
STRAGGLERS = 1000
#: Rows that are asked for at a time.
CHUNK = 10_000


class RowIds:
    """The ids of the rows by key; labels have no index, and ids are never used again."""

    def __init__(self) -> None:
        #: One number, as nearly always, takes half the room of a tuple of one.
        self._ids: dict[Key, int | tuple[int, ...]] = {}
        #: Up to here all rows are known, and the highest id that was seen at all.
        self._settled = self._highest = LOWEST

    @property
    def are_known(self) -> bool:
        """Whether any were learned since the last `forget`."""
        return bool(self._ids)

    async def of(self, db: Connection, keys: Collection[Key]) -> list[int]:
        """Return the ids of all rows that bear one of *keys*, and of some that once did."""
        await self.added(db)
        return self.known(keys)

    def known(self, keys: Collection[Key]) -> list[int]:
        """Return the ids of the rows that are known to bear one of *keys*, and of some that once did."""
        return [row_id for key in keys for row_id in self._bearing(key)]

    def _bearing(self, key: Key) -> tuple[int, ...]:
        found = self._ids.get(key, ())
        return found if isinstance(found, tuple) else (found,)

    async def added(self, db: Connection) -> set[Key]:
        """Learn the rows that nobody has shown yet, and return their keys."""
        start = self._settled if db.orderly else max(self._settled, self._highest - STRAGGLERS)
        asked = (
            "SELECT db_id, project_id, label FROM django_store_record"
            f" WHERE db_id > ? AND project_id IS NOT NULL ORDER BY db_id LIMIT {CHUNK} {db.for_update}"
        )
        found: set[Key] = set()
        rows = await db.fetch(asked, (start,))
        while rows:
            for row_id, project, label in rows:
                key = key_of(row_id, project, label)
                if self.learn(row_id, key):
                    found.add(key)
            rows = await db.fetch(asked, (rows[-1][0],)) if len(rows) == CHUNK else []
        if db.orderly:
            self._settled = self._highest
        return found

    def learn(self, row_id: int, key: Key) -> bool:
        """Note that a row bears *key*, maybe beside one that it bore before; say whether that is new."""
        known = self._bearing(key)
        is_new = row_id not in known
        if is_new:
            self._ids[key] = (*known, row_id) if known else row_id
        self._highest = max(self._highest, row_id)
        return is_new

    def forget(self) -> None:
        """Forget all ids: a transaction that had given some was rolled back."""
        self._ids.clear()
        self._settled = self._highest = LOWEST
