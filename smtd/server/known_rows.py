"""A cache: which rows have which keys, and which rows records share. Writes of other programs refresh it."""

from __future__ import annotations

from collections.abc import Collection

from smtd.records.record import Key
from smtd.server import trigger_notes
from smtd.sqlite import Connection
from smtd.stores.django.ids import RowIds
from smtd.stores.django.reader import DecodedRow
from smtd.stores.django.record_rows import RecordRows
from smtd.stores.django.writer import RowWriter


class KnownRows:
    """Caches what was read about the rows in *db*; call every method inside a transaction.

    *is_own*: smtd serve made the database, so that triggers note what other programs write, and not all keys
    are read again after that.
    """

    def __init__(self, db: Connection, *, is_own: bool) -> None:
        self._db = db
        self._is_own = is_own
        self._ids, self._writer = RowIds(), RowWriter()
        self.records = RecordRows(self._ids, self._writer)
        #: The `PRAGMA data_version` at which the cache was valid; the commits of other programs change it.
        self._version: int | None = None
        #: The last `PRAGMA schema_version` at which all triggers were found (None: none yet).
        self._schema_version: int | None = None

    async def rows(self, keys: Collection[Key]) -> dict[Key, list[DecodedRow]]:
        """Return the rows of *keys*, by key."""
        await self.catch_up()
        return await self.records.held(self._db, keys)

    async def row_ids(self, keys: Collection[Key]) -> list[int]:
        """Return the ids of all rows that have one of *keys*, and of some that once had one."""
        await self.catch_up()
        return await self._ids.of(self._db, keys, ())

    async def catch_up(self) -> None:
        """Take in what other programs have changed."""
        version = int(await self._db.value("PRAGMA data_version"))
        if version == self._version:
            return
        self._writer.forget()
        if await self.has_triggers():
            for row_id, key in await trigger_notes.touched_rows(self._db):
                self._ids.add(row_id, key)
        else:
            self._ids.forget()
        self._version = version

    async def has_triggers(self) -> bool:
        """Say whether triggers note what other programs write; another program may have dropped some."""
        if not self._is_own:
            return False
        schema_version = int(await self._db.value("PRAGMA schema_version"))
        if schema_version != self._schema_version and await trigger_notes.are_triggers_intact(self._db):
            self._schema_version = schema_version
        return schema_version == self._schema_version

    def forget(self) -> None:
        """Forget all rows, because a transaction was rolled back."""
        self.records.forget()
