"""Which rows bear a key, asked of the database each time: for tables that several programs write."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from smtd.records.record import Key
from smtd.stores.django.connection import DatabaseConnection

#: Keys of one query.
_CHUNK = 250


class RowLookup(Protocol):
    """Finds the rows of keys."""

    async def of(self, db: DatabaseConnection, keys: Collection[Key], indexed: Collection[int]) -> list[int]:
        """Return the ids of all rows that bear one of *keys*, *indexed* or not, and of some that once did."""

    def add(self, row_id: int, key: Key) -> None:
        """Note that a row bears *key*."""

    def forget(self) -> None:
        """Forget all ids."""


class KeyLookup:
    """Asks for the rows of keys, and remembers nothing; *can_hold* says which texts may be asked for."""

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
