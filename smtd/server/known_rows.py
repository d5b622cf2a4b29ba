"""Which rows bear which keys, and which rows records share: known for as long as nobody else has written."""

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
    """What was learned of the rows behind *db*; call all of it inside a transaction.

    *made*: the database has triggers, so that not all is read again when others have written.
    """

    def __init__(self, db: Connection, *, made: bool) -> None:
        self._db = db
        self._made = made
        self._ids, self._writer = RowIds(), RowWriter()
        self.records = RecordRows(self._ids, self._writer)
        #: SQLite's count of the commits of others up to which all of it holds.
        self._version: int | None = None
        #: The number of the schema that had all triggers.
        self._schema: int | None = None

    async def held(self, keys: Collection[Key]) -> dict[Key, list[Found]]:
        """Return the rows that bear one of *keys*."""
        await self.catch_up()
        return await self.records.held(self._db, keys)

    async def numbers(self, keys: Collection[Key]) -> list[int]:
        """Return the numbers of all rows that bear one of *keys*, and of some that once did."""
        await self.catch_up()
        return await self._ids.of(self._db, keys, ())

    async def catch_up(self) -> None:
        """Learn what others have changed."""
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
        """Say whether triggers note what others write; somebody may have dropped some."""
        if not self._made:
            return False
        schema = int(await self._db.value("PRAGMA schema_version"))
        if schema != self._schema and await noting.is_whole(self._db):
            self._schema = schema
        return schema == self._schema

    def forget(self) -> None:
        """Forget all: a transaction was rolled back."""
        self.records.forget()
