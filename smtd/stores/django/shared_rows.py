"""Find or insert the rows that records share, as Django's `get_or_create` does, but many at once.

Two concurrent writers can leave two equal rows; then the lower id is used. smtd looks for rows and inserts
them inside the caller's transaction, so it never inserts the second of two itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable
from typing import Any

from smtd.errors import RecordUnusable
from smtd.records import literal
from smtd.stores.django import schema
from smtd.stores.django.connection import DatabaseConnection
from smtd.stores.django.mapping import PREFIX, SHARED

#: Up to this many rows are looked up in the table one by one, unless the table is cached already: each takes
#: 5 ms in a table of 100,000.
MAX_SINGLE_LOOKUPS = 10
#: More rows than this are not cached between writes.
MAX_CACHED = 10_000


class RowNotStored(Exception):
    """The database reported that it wrote a row, but it has not; the text says which, and what to do."""


class LookupTable:
    """The ids of the rows of one table by their content; Sumatra only adds such rows, it changes none."""

    def __init__(self, table: str) -> None:
        self._table = PREFIX + table
        self._columns = SHARED[table]
        self._ids: dict[bytes, int] = {}
        #: The rows as the database compares them, if it does not compare texts exactly.
        self._compared: set[bytes] = set()
        self._last_id = 0
        #: How many rows were looked up since the last `rest` or `forget`.
        self._lookups = 0

    async def ids(self, db: DatabaseConnection, rows: Collection[tuple[Any, ...]]) -> list[int]:
        """Return an id for each of *rows*, inserting those that are not there.

        Must be called inside a transaction that keeps other writers out.
        """
        if not rows:
            return []
        wanted = dict.fromkeys(rows)
        self._lookups += len(wanted)
        is_exact = db.exclusive and db.collation_key(self._table) is None
        if not self._last_id and is_exact and self._lookups <= MAX_SINGLE_LOOKUPS:
            found = {row: await self._find_or_insert(db, row) for row in wanted}
            return [found[row] for row in rows]
        await self._refresh(db)
        hashes = {row: _hash(row) for row in wanted}
        missing = {each: row for row, each in hashes.items() if each not in self._ids}
        if missing:
            self._check(db, missing.values())
            await self._insert(db, missing)
        return [self._ids[hashes[row]] for row in rows]

    async def _find_or_insert(self, db: DatabaseConnection, row: tuple[Any, ...]) -> int:
        """Return the id of one row, and insert the row if it is missing; cache nothing."""
        names, places = schema.names(self._columns), schema.placeholders(len(self._columns))
        equal = " AND ".join(
            f'"{column}" ' + ("IS NULL" if value is None else "= ?")
            for column, value in zip(self._columns, row, strict=True)
        )
        values = [value for value in row if value is not None]
        # The lock keeps others from adding an equal row until the transaction ends.
        lowest = f"SELECT min(id) FROM {self._table} WHERE {equal} {db.for_share}"
        found = await db.value(lowest, values)
        if found is None:
            await db.run(f"INSERT INTO {self._table} ({names}) VALUES ({places})", row)
            found = await db.value(lowest, values)
        if found is None:
            raise self._row_not_stored()
        return int(found)

    def _row_not_stored(self) -> RowNotStored:
        return RowNotStored(
            f"the database did not keep a row of {self._table}; look for a trigger there that prevents it"
        )

    async def _insert(self, db: DatabaseConnection, rows: dict[bytes, tuple[Any, ...]]) -> None:
        names, places = schema.names(self._columns), schema.placeholders(len(self._columns))
        await db.run_many(f"INSERT INTO {self._table} ({names}) VALUES ({places})", list(rows.values()))
        # No other client can insert now, so the new ids are those of the rows, in their order.
        made = await db.fetch(f"SELECT id FROM {self._table} WHERE id > ? ORDER BY id", (self._last_id,))
        if len(made) != len(rows):
            raise self._row_not_stored()
        self._ids.update(zip(rows, (row_id for (row_id,) in made), strict=True))
        self._last_id = made[-1][0]

    def _check(self, db: DatabaseConnection, rows: Iterable[tuple[Any, ...]]) -> None:
        """Raise RecordUnusable for a new row that the database, and so Sumatra, takes for an existing one.

        Sumatra could no longer save any record that refers to one of the two.
        """
        collation_key = db.collation_key(self._table)
        if collation_key is None:
            return
        for row in rows:
            alike = _compared(collation_key, row)
            if alike in self._compared:
                table = self._table.removeprefix(PREFIX)
                said = literal.shortened(str(row[0]))
                raise RecordUnusable(
                    f"its {table} {said} differs from another one there only in case or accents, which the"
                    " database ignores"
                )
            self._compared.add(alike)

    async def _refresh(self, db: DatabaseConnection) -> None:
        """Read the rows that were added since the last time."""
        names, collation_key = schema.names(self._columns), db.collation_key(self._table)
        for row_id, *values in await db.fetch(
            f"SELECT id, {names} FROM {self._table} WHERE id > ? ORDER BY id {db.for_share}",
            (self._last_id,),
        ):
            self._ids.setdefault(_hash(values), row_id)
            self._last_id = row_id
            if collation_key:
                self._compared.add(_compared(collation_key, values))

    def rest(self) -> None:
        """Forget all rows, if there are many: it may be long until the next write."""
        self._lookups = 0
        if len(self._ids) > MAX_CACHED:
            self.forget()

    def forget(self) -> None:
        """Forget all rows: a transaction was rolled back, or rows were deleted."""
        self._ids.clear()
        self._compared.clear()
        self._last_id = self._lookups = 0


def _compared(collation_key: Callable[[str], str], values: Collection[Any]) -> bytes:
    return _hash([collation_key(value) if isinstance(value, str) else value for value in values])


def _hash(values: Collection[Any]) -> bytes:
    return hashlib.blake2b(repr(tuple(values)).encode("utf-8", "backslashreplace"), digest_size=16).digest()
