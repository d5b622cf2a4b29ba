"""Write records into the tables: many new ones at once, changes column by column."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from smtd.records.record import Key
from smtd.stores.django import schema
from smtd.stores.django.connection import DatabaseConnection
from smtd.stores.django.mapping import (
    DATA_KEY_COLUMNS,
    MEMBERSHIPS,
    PREFIX,
    RECORD_COLUMNS,
    REFERENCES,
    SHARED,
    Relation,
)
from smtd.stores.django.rows import Columns
from smtd.stores.django.shared_rows import LookupTable, RowNotStored

#: The most values in one list of a statement; every SQLite accepts this many.
CHUNK = 500

_RECORD_TYPE = "SELECT id FROM django_content_type WHERE app_label = 'django_store' AND model = 'record'"


class Insert(NamedTuple):
    """A new record."""

    key: Key
    columns: Columns


class RowWriter:
    """Writes inside the caller's transaction; call `forget` if that is rolled back."""

    def __init__(self) -> None:
        self._shared = {table: LookupTable(table) for table in SHARED}
        self._content_type: int | None = None

    def forget(self) -> None:
        """Forget everything learned about the tables."""
        self._content_type = None
        for shared in self._shared.values():
            shared.forget()

    def rest(self) -> None:
        """Release large caches until the next write."""
        for shared in self._shared.values():
            shared.rest()

    async def insert(self, db: DatabaseConnection, inserts: Sequence[Insert]) -> list[int]:
        """Insert new records with a few statements for all; return their ids. Raises RowNotStored."""
        if not inserts:
            return []
        await self._make_projects(db, {insert.key.project for insert in inserts})
        everything = [insert.columns for insert in inserts]
        references = [await self._references(db, each, everything) for each in REFERENCES]
        last = await db.value("SELECT coalesce(max(db_id), 0) FROM django_store_record")
        await db.run_many(
            schema.INSERT_RECORD,
            [
                (*insert.columns.scalars, ",".join(insert.columns.tags), insert.key.project, *refs)
                for insert, *refs in zip(inserts, *references, strict=True)
            ],
        )
        ids = {
            Key(project, label): row_id
            for row_id, project, label in await db.fetch(
                "SELECT db_id, project_id, label FROM django_store_record WHERE db_id > ?", (last,)
            )
        }
        if lost := [str(insert.key) for insert in inserts if insert.key not in ids]:
            raise RowNotStored(
                f"the database did not keep the row of {lost[0]}; look for a trigger there that prevents it"
            )
        owners = [ids[insert.key] for insert in inserts]
        await self._add_tags(db, zip(owners, (columns.tags for columns in everything), strict=True))
        await self._add_outputs(
            db,
            [
                (owner, key)
                for owner, columns in zip(owners, everything, strict=True)
                for key in columns.output_data
            ],
        )
        for each in MEMBERSHIPS:
            members = [
                (owner, getattr(columns, each.field))
                for owner, columns in zip(owners, everything, strict=True)
            ]
            await self._add_members(db, each, members)
        return owners

    async def update(
        self, db: DatabaseConnection, row_id: int, columns: Columns, fields: Collection[str]
    ) -> None:
        """Write the *fields* of the record in one row, and nothing else."""
        values = {
            name: value for name, value in zip(RECORD_COLUMNS, columns.scalars, strict=True) if name in fields
        }
        for each in REFERENCES:
            if each.field in fields:
                (values[each.link],) = await self._references(db, each, [columns])
        if "tags" in fields:
            values["tags"] = ",".join(columns.tags)
            await self._replace_tags(db, row_id, columns.tags)
        if values:
            assignments = ", ".join(f'"{name}" = ?' for name in values)
            await db.run(
                f"UPDATE django_store_record SET {assignments} WHERE db_id = ?", (*values.values(), row_id)
            )
        if "output_data" in fields:
            await self._replace_outputs(db, row_id, columns.output_data)
        for each in MEMBERSHIPS:
            if each.field in fields:
                await db.run(f"DELETE FROM {PREFIX}{each.through} WHERE record_id = ?", (row_id,))
                await self._add_members(db, each, [(row_id, getattr(columns, each.field))])

    async def delete(self, db: DatabaseConnection, ids: Sequence[int]) -> None:
        """Delete the records of *ids*; data that other records have as input stays."""
        if not ids:
            return
        which = schema.placeholders(len(ids))
        await self._drop_outputs(db, f"output_from_record_id IN ({which})", ids)
        for each in MEMBERSHIPS:
            await db.run(f"DELETE FROM {PREFIX}{each.through} WHERE record_id IN ({which})", ids)
        await db.run(
            f"DELETE FROM django_store_taggeditem WHERE content_type_id = ? AND object_id IN ({which})",
            (await self._record_type(db), *ids),
        )
        await db.run(f"DELETE FROM django_store_record WHERE db_id IN ({which})", ids)

    async def _make_projects(self, db: DatabaseConnection, names: Collection[str]) -> None:
        there = {name for (name,) in await db.fetch("SELECT id FROM django_store_project")}
        await db.run_many(
            "INSERT INTO django_store_project (id, name, description) VALUES (?, '', '')",
            [(name,) for name in sorted(set(names) - there)],
        )

    async def _references(
        self, db: DatabaseConnection, reference: Relation, records: Sequence[Columns]
    ) -> list[int | None]:
        """Return the id of the shared row that each record refers to (None: it has none)."""
        rows = [getattr(columns, reference.field) for columns in records]
        ids = iter(await self._shared[reference.table].ids(db, [row for row in rows if row is not None]))
        return [None if row is None else next(ids) for row in rows]

    async def _record_type(self, db: DatabaseConnection) -> int:
        """Return Django's number for the record table, which differs from store to store."""
        if self._content_type is None:
            found = await db.value(_RECORD_TYPE)
            if found is None:
                await db.run(
                    "INSERT INTO django_content_type (app_label, model) VALUES ('django_store', 'record')"
                )
                found = await db.value(_RECORD_TYPE)
            self._content_type = int(found)
        return self._content_type

    async def _add_tags(self, db: DatabaseConnection, tagged: Any) -> None:
        pairs = [(owner, (tag,)) for owner, tags in tagged for tag in tags]
        ids = await self._shared["tag"].ids(db, [tag for _, tag in pairs])
        kind = await self._record_type(db)
        await db.run_many(
            "INSERT INTO django_store_taggeditem (object_id, content_type_id, tag_id) VALUES (?, ?, ?)",
            [(owner, kind, tag_id) for (owner, _), tag_id in zip(pairs, ids, strict=True)],
        )

    async def _replace_tags(self, db: DatabaseConnection, row_id: int, tags: list[str]) -> None:
        await db.run(
            "DELETE FROM django_store_taggeditem WHERE content_type_id = ? AND object_id = ?",
            (await self._record_type(db), row_id),
        )
        await self._add_tags(db, [(row_id, tags)])

    async def _add_outputs(self, db: DatabaseConnection, outputs: list[tuple[int, tuple[Any, ...]]]) -> None:
        """Add the outputs of records; reuse an equal data key that is no record's output.

        The output of another record is never moved; an equal row is inserted instead.
        """
        names = schema.names(DATA_KEY_COLUMNS)
        free = await self._unowned(db, sorted({values[0] for _, values in outputs}))
        taken, made = [], []
        for owner, values in outputs:
            if (key_id := free.pop(values, None)) is not None:
                taken.append((owner, key_id))
            else:
                made.append((*values, owner))
        await db.run_many(
            "UPDATE django_store_datakey SET output_from_record_id = ?"
            " WHERE id = ? AND output_from_record_id IS NULL",  # else others have taken it since
            taken,
        )
        await db.run_many(
            f"INSERT INTO django_store_datakey ({names}, output_from_record_id) VALUES (?, ?, ?, ?, ?)", made
        )

    async def _unowned(self, db: DatabaseConnection, paths: Sequence[str]) -> dict[tuple[Any, ...], int]:
        """Return the lowest id of each data key with one of *paths* that is no record's output."""
        names = schema.names(DATA_KEY_COLUMNS)
        found: dict[tuple[Any, ...], int] = {}
        for start in range(0, len(paths), CHUNK):
            chunk = paths[start : start + CHUNK]
            for key_id, *values in await db.fetch(
                f"SELECT id, {names} FROM django_store_datakey WHERE output_from_record_id IS NULL"
                f" AND path IN ({schema.placeholders(len(chunk))}) ORDER BY id",
                chunk,
            ):
                found.setdefault(tuple(values), key_id)
        return found

    async def _replace_outputs(
        self, db: DatabaseConnection, row_id: int, outputs: list[tuple[Any, ...]]
    ) -> None:
        names = schema.names(DATA_KEY_COLUMNS)
        there = [
            (key_id, tuple(values))
            for key_id, *values in await db.fetch(
                f"SELECT id, {names} FROM django_store_datakey"
                f" WHERE output_from_record_id = ? {db.for_share}",
                (row_id,),
            )
        ]
        gone = [key_id for key_id, values in there if values not in set(outputs)]
        kept = {values for _, values in there}
        await self._drop_outputs(db, f"id IN ({schema.placeholders(len(gone))})", gone)
        await self._add_outputs(db, [(row_id, values) for values in outputs if values not in kept])

    async def _drop_outputs(self, db: DatabaseConnection, which: str, parameters: Sequence[Any]) -> None:
        """Delete data keys, but keep, without an owner, those that a record has as input.

        Sumatra's own deletion removes them from those records (sumatra-formats 2.3).
        """
        if not parameters:
            return
        used = "SELECT datakey_id FROM django_store_record_input_data"
        await db.run(f"DELETE FROM django_store_datakey WHERE {which} AND id NOT IN ({used})", parameters)
        await db.run(
            f"UPDATE django_store_datakey SET output_from_record_id = NULL WHERE {which}", parameters
        )

    async def _add_members(
        self,
        db: DatabaseConnection,
        relation: Relation,
        members: Sequence[tuple[int, list[tuple[Any, ...]]]],
    ) -> None:
        flat = [(owner, values) for owner, all_values in members for values in all_values]
        ids = await self._shared[relation.table].ids(db, [values for _, values in flat])
        await db.run_many(
            f"INSERT INTO {PREFIX}{relation.through} (record_id, {relation.link}) VALUES (?, ?)",
            list(dict.fromkeys((owner, row_id) for (owner, _), row_id in zip(flat, ids, strict=True))),
        )
