"""Read records from the tables, a page at a time, each page from one snapshot."""

from __future__ import annotations

import marshal
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from sys import intern
from typing import Any, NamedTuple

from smtd.errors import RecordNameless, RecordUnusable
from smtd.records.record import Key, Record
from smtd.sqlite import lenient
from smtd.stores.django import rows, schema
from smtd.stores.django.connection import DatabaseConnection, Row
from smtd.stores.django.rows import Parts
from smtd.text import encodable

#: Below the id of every row, even of one that a user chose: the lowest value of a server's column.
LOWEST = -(2**31)
#: The bits that the hash of a row can have.
HASH_MASK = 2**60 - 1
#: Records a page; a page is one short read transaction.
PAGE = 500


class DecodedRow(NamedTuple):
    """One row of the record table: its id, its key, and the record or why there is none."""

    row_id: int
    key: Key
    record: Record | RecordUnusable


class EncodedRow(NamedTuple):
    """One row of the record table with its rows in other tables, not yet decoded."""

    row: Row
    parts: Parts

    @property
    def row_id(self) -> int:
        """The id of the row."""
        return int(self.row[0])

    @property
    def project(self) -> str | None:
        """The project of the record (None: it has none, so no program shows it)."""
        project: str | None = self.row[1]
        return project

    @property
    def row_hash(self) -> int:
        """A hash of the content, which is valid in this process only.

        It costs a tenth of decoding the row. The values are not hashed themselves, since -1 and -2 have the
        same hash; their bytes by marshal differ.
        """
        # Version 2 of marshal writes equal values as equal bytes, however many references to them there are.
        # With more bits the number would need a third digit in memory, for each record.
        return hash(marshal.dumps((self.row, *self.parts), 2)) & HASH_MASK

    def found(self) -> DecodedRow:
        """Decode the row: return the record, or why it cannot be read."""
        row_id, project, *values = self.row
        key = key_of(row_id, project, values[0])
        try:
            if [*key] != [project, values[0]]:
                raise RecordNameless("its label or its project is not text; correct it there")
            return DecodedRow(row_id, key, rows.record(values, self.parts))
        except RecordUnusable as exc:
            return DecodedRow(row_id, key, exc)


def key_of(row_id: int, project: Any, label: Any) -> Key:
    """Return the key of a row. The project is interned: many keys have the same one.

    A name that is not text, which SQLite allows, is replaced by a text that does not equal it.
    """
    return Key(intern(_name(row_id, project)), _name(row_id, label))


def _name(row_id: int, value: Any) -> str:
    if type(value) is str:
        return encodable(value)
    if isinstance(value, bytes):  # probably once text: under another key the record would seem to be deleted
        return encodable(lenient(value))
    return f"(row {row_id}, without a name)"


async def pages(db: DatabaseConnection, projects: Collection[str] | None) -> AsyncIterator[list[EncodedRow]]:
    """Yield all rows of *projects* (None: of all) in pages, in the order of their ids.

    Between two pages no transaction and no cursor is open.
    """
    if projects is not None and not projects:
        return
    chosen = "" if projects is None else f"AND r.project_id IN ({schema.placeholders(len(projects))})"
    # A query for the ids alone shows a server's planner how few rows the other queries need.
    numbers = "SELECT r.db_id FROM django_store_record r WHERE r.db_id > ? AND r.project_id IS NOT NULL"
    asked = f"{numbers} {chosen} ORDER BY r.db_id LIMIT {PAGE}"
    last = LOWEST
    while True:
        async with db.reading():
            ids = await db.fetch(asked, (last, *(projects or ())))
            page = await by_id(db, [row_id for (row_id,) in ids])
        if not page:
            return
        page.sort(key=lambda raw: raw.row_id)
        yield page
        last = page[-1].row_id


async def lock_rows(db: DatabaseConnection, ids: Sequence[int]) -> None:
    """Keep other clients from changing the records of *ids* until the end of the transaction."""
    for start in range(0, len(ids) if db.for_update else 0, PAGE):
        chunk = ids[start : start + PAGE]
        held = f"SELECT db_id FROM django_store_record WHERE db_id IN ({schema.placeholders(len(chunk))})"
        await db.fetch(f"{held} {db.for_update}", chunk)


async def by_id(db: DatabaseConnection, ids: Sequence[int], *, lock: str = "") -> list[EncodedRow]:
    """Return the rows of *ids* that are still there. Call it inside a transaction.

    *lock*: the end of each query; with `DatabaseConnection.for_share` the rows are those that are committed
    now, whenever the snapshot of the transaction was taken.
    """
    found: list[EncodedRow] = []
    for start in range(0, len(ids), PAGE):
        chunk = ids[start : start + PAGE]
        places = schema.placeholders(len(chunk))
        records, *parts = await db.fetch_each(
            [
                (f"{schema.SELECT_RECORDS} WHERE r.db_id IN ({places}) {lock}", chunk),
                *((f"{select.format(ids=places)} {lock}", chunk) for select in _PARTS),
            ]
        )
        found += _assembled(records, [by_owner(rows) for rows in parts])
    return found


_PARTS = (
    schema.SELECT_TAGS,
    schema.SELECT_INPUTS,
    schema.SELECT_OUTPUTS,
    schema.SELECT_DEPENDENCIES,
    schema.SELECT_PLATFORMS,
)


def _assembled(records: list[Row], parts: Sequence[Mapping[int, list[Row]]]) -> list[EncodedRow]:
    """Combine the rows of the record table with their rows in other tables."""
    tags, inputs, outputs, dependencies, platforms = parts
    return [
        EncodedRow(
            row,
            Parts(
                [name for (name,) in tags[row[0]]],
                inputs[row[0]],
                outputs[row[0]],
                dependencies[row[0]],
                platforms[row[0]],
            ),
        )
        for row in records
    ]


def by_owner(rows: Iterable[Row]) -> dict[Any, list[Row]]:
    """Return *rows*, by the record that is the first value of each, without that."""
    parts: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        parts[row[0]].append(row[1:])
    return parts
