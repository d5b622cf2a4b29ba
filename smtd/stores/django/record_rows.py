"""Find whole records in the tables by key, and change them, inside the transaction of the caller."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import NamedTuple

from smtd.records import canonical
from smtd.records.record import Key, Record
from smtd.stores.django import reader
from smtd.stores.django.connection import DatabaseConnection
from smtd.stores.django.ids import RowLookup
from smtd.stores.django.reader import DecodedRow, EncodedRow
from smtd.stores.django.rows import Columns
from smtd.stores.django.writer import Insert, RowWriter


class RowChange(NamedTuple):
    """The new content of *key*, whose rows are now *held*; without *record* or *columns* it is deleted."""

    key: Key
    record: Record | None
    columns: Columns | None
    held: Sequence[DecodedRow]


class RecordRows:
    """Finds and changes the rows of records. Call `forget` when a transaction was rolled back."""

    def __init__(self, ids: RowLookup, writer: RowWriter) -> None:
        self._ids = ids
        self._writer = writer

    def forget(self) -> None:
        """Forget what was learned of the tables: they were replaced, or a transaction was rolled back."""
        self._writer.forget()
        self._ids.forget()

    async def held(
        self, db: DatabaseConnection, keys: Collection[Key], indexed: Collection[int] = (), *, lock: str = ""
    ) -> dict[Key, list[DecodedRow]]:
        """Return the rows that now have one of *keys*, and lock them against changes by other clients.

        *indexed*: ids of rows that may have one. *lock*: as `reader.by_id` has it; needed if the transaction
        has read something before.
        """
        ids = await self._ids.of(db, keys, indexed)
        await reader.lock_rows(db, ids)
        return _by_key(await reader.by_id(db, ids, lock=lock))

    async def seen(self, db: DatabaseConnection, keys: Collection[Key]) -> dict[Key, list[DecodedRow]]:
        """Return the rows that have one of *keys* in the snapshot of the transaction, and lock nothing."""
        return _by_key(await reader.by_id(db, await self._ids.of(db, keys, ())))

    async def change(self, db: DatabaseConnection, changes: Sequence[RowChange]) -> list[int]:
        """Make *changes*; return the ids of all rows that were updated, deleted or inserted.

        All rows of a key get the new record; only fields that differ are written.
        """
        inserts, updated, deletes = [], [], []
        for change in changes:
            if change.record is None or change.columns is None:
                deletes += [found.row_id for found in change.held]
                continue
            if not change.held:
                inserts.append(Insert(change.key, change.columns))
            for found in change.held:
                fields = canonical.differences(record_of(found), change.record)
                await self._writer.update(db, found.row_id, change.columns, fields)
                updated.append(found.row_id)
        await self._writer.delete(db, deletes)
        inserted = await self._writer.insert(db, inserts)
        for insert, row_id in zip(inserts, inserted, strict=True):
            self._ids.add(row_id, insert.key)
        return [*updated, *deletes, *inserted]


def _by_key(raws: Sequence[EncodedRow]) -> dict[Key, list[DecodedRow]]:
    rows: dict[Key, list[DecodedRow]] = defaultdict(list)
    for raw in raws:
        found = raw.found()
        rows[found.key].append(found)
    return rows


def record_of(found: DecodedRow) -> Record:
    """Return the record that was *found*. Raises RecordUnusable if it cannot be read."""
    if isinstance(found.record, Record):
        return found.record
    raise found.record
