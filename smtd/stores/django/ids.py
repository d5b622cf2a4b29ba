"""Which rows bear a key: labels have no index in Sumatra's schema."""

from __future__ import annotations

from collections.abc import Collection

from smtd.records.record import Key
from smtd.stores.django.connection import Connection
from smtd.stores.django.reader import LOWEST, key_of

#: Where others insert at the same time, rows may show up later than as many with higher ids. What comes
#: even later is found by the next scan, and by whoever writes, who waits for all others first.
STRAGGLERS = 1000


class RowIds:
    """The ids of the rows by key; labels have no index, and ids are never used again."""

    def __init__(self) -> None:
        self._ids: dict[Key, tuple[int, ...]] = {}
        #: Up to here all rows are known, and the highest id that was seen at all.
        self._settled = self._highest = LOWEST

    async def of(self, db: Connection, keys: Collection[Key]) -> list[int]:
        """Return the ids of all rows that bear one of *keys*, and of some that once did."""
        start = self._settled if db.orderly else max(self._settled, self._highest - STRAGGLERS)
        for row_id, project, label in await db.fetch(
            "SELECT db_id, project_id, label FROM django_store_record"
            f" WHERE db_id > ? AND project_id IS NOT NULL ORDER BY db_id {db.for_update}",
            (start,),
        ):
            self.learn(row_id, key_of(project, label))
        if db.orderly:
            self._settled = self._highest
        return [row_id for key in keys for row_id in self._ids.get(key, ())]

    def learn(self, row_id: int, key: Key) -> None:
        """Note that a row bears *key*."""
        known = self._ids.get(key, ())
        if row_id not in known:
            self._ids[key] = (*known, row_id)
        self._highest = max(self._highest, row_id)

    def forget(self) -> None:
        """Forget all ids: a transaction that had given some was rolled back."""
        self._ids.clear()
        self._settled = self._highest = LOWEST

    def relabelled(self, row_id: int, key: Key) -> None:
        """Note that a row bears *key* now, if it may have been learned with another one."""
        if row_id <= self._settled:
            self.learn(row_id, key)
