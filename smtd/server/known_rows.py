"""A cache: which rows have which keys, and which rows records share. Writes of other programs refresh it."""

from __future__ import annotations

from collections.abc import Collection

from smtd.records.record import Key
from smtd.server import noting
from smtd.sqlite import Connection
from smtd.stores.django.ids import RowIds
from smtd.stores.django.reader import Found
from smtd.stores.django.record_rows import RecordRows
from smtd.stores.django.writer import RowWriter


class KnownRows:
    """Caches what was read about the rows in *db*; call every method inside a transaction.

    *made*: smtd serve made the database, so that triggers note what other programs write, and not all keys
    are read again after that.
    """

    def __init__(self, db: Connection, *, made: bool) -> None:
        self._db = db
        self._made = made
        self._ids, self._writer = RowIds(), RowWriter()
        self.records = RecordRows(self._ids, self._writer)
        #: The `PRAGMA data_version` at which the cache was valid; the commits of other programs change it.
        self._version: int | None = None
        #: The last `PRAGMA schema_version` at which all triggers were found (None: none yet).
        self._schema: int | None = None

    async def held(self, keys: Collection[Key]) -> dict[Key, list[Found]]:
        """Return the rows of *keys*, by key."""
        await self.catch_up()
        return await self.records.held(self._db, keys)

    async def numbers(self, keys: Collection[Key]) -> list[int]:
        """Return the ids of all rows that have one of *keys*, and of some that once had one."""
        await self.catch_up()
        return await self._ids.of(self._db, keys, ())

    async def catch_up(self) -> None:
        """Take in what other programs have changed."""
        version = int(await self._db.value("PRAGMA data_version"))
        if version == self._version:
            return
        self._writer.forget()
        if await self.are_noted():
            for row_id, key in await noting.rows(self._db):
                self._ids.learn(row_id, key)
        else:
            self._ids.forget()
        self._version = version

    async def are_noted(self) -> bool:
        """Say whether triggers note what other programs write; another program may have dropped some."""
        if not self._made:
            return False
        schema = int(await self._db.value("PRAGMA schema_version"))
        if schema != self._schema and await noting.is_whole(self._db):
            self._schema = schema
        return schema == self._schema

    def forget(self) -> None:
        """Forget all rows, because a transaction was rolled back."""
        self.records.forget()
