"""Which records may read otherwise than before: a file is looked at as it is, some rows of a table at a time.

No column of Sumatra's tables tells that a row was changed. To read all rows and to compare them, unjoined and
not understood, costs a twentieth of understanding them, as SQLite puts some together into one text for each
block; and only a hash of that is kept.
"""

from __future__ import annotations

import marshal
import sqlite3
from typing import Any, NamedTuple

from smtd.stores.django.connection import Connection, Row

#: Rows that are read in one transaction, which keeps others from committing: some 20 ms; and blocks.
CHUNK, BLOCKS = 4096, 400


class _Table(NamedTuple):
    """A table of rows that records consist of, or share.

    *key* is what its rows are numbered by, *owner* the column that names a record, *size* how many numbers
    make a block, and *users* finds the records that share the rows of two numbers and those between.
    """

    name: str
    key: str = "id"
    owner: str = "NULL"
    size: int = 128
    users: str = ""


def _shared(table: str, column: str, size: int = 1) -> _Table:
    """Return a table of rows that records share, by reference; most of them are used by many."""
    users = f"SELECT db_id FROM django_store_record WHERE {column} BETWEEN ? AND ?"
    return _Table(f"django_store_{table}", size=size, users=users)


def _linked(table: str, link: str, owner: str, column: str) -> _Table:
    """Return a table of rows that records share by way of the table *link*."""
    users = f"SELECT {owner} FROM django_store_{link} WHERE {column} BETWEEN ? AND ?"
    return _Table(f"django_store_{table}", size=1, users=users)


_INPUTS = "SELECT record_id FROM django_store_record_input_data WHERE datakey_id BETWEEN ? AND ?"
_TAGGED = "SELECT object_id FROM django_store_taggeditem WHERE content_type_id BETWEEN ? AND ?"
TABLES = (
    _Table("django_store_record", "db_id", "db_id"),
    _Table("django_store_datakey", owner="output_from_record_id", users=_INPUTS),
    *(
        _Table(f"django_store_record_{name}", owner="record_id")
        for name in ("input_data", "dependencies", "platforms")
    ),
    _Table("django_store_taggeditem", owner="object_id"),
    _linked("tag", "taggeditem", "object_id", "tag_id"),
    _linked("dependency", "record_dependencies", "record_id", "dependency_id"),
    _linked("platforminformation", "record_platforms", "record_id", "platforminformation_id"),
    _shared("executable", "executable_id"),
    _shared("repository", "repository_id"),
    _shared("parameterset", "parameters_id", size=64),
    _shared("launchmode", "launch_mode_id"),
    _shared("datastore", "datastore_id"),
    _shared("datastore", "input_datastore_id"),
    _Table("django_content_type", size=1, users=_TAGGED),
)


class _Block(NamedTuple):
    """Some rows that follow each other: what tells them from others, and the records that own them."""

    mark: int
    owners: str


class Blocks:
    """What the rows of all tables were like when `changed` was called last."""

    def __init__(self) -> None:
        self._known: list[dict[int, _Block]] | None = None

    @property
    def are_known(self) -> bool:
        """Whether there is anything to compare with."""
        return self._known is not None

    def forget(self) -> None:
        """Forget all rows."""
        self._known = None

    async def changed(self, db: Connection) -> set[int] | None:
        """Return the ids of all records that may read otherwise than before (None: nobody can tell)."""
        before, self._known = self._known, None
        try:
            now = [await _blocks(db, table) for table in TABLES]
        except sqlite3.OperationalError as exc:
            if "JSON" not in str(exc).upper():
                raise
            return None  # a value that is not text, which Sumatra never writes, or an SQLite without JSON
        self._known = now
        if before is None:
            return None
        found: set[int] = set()
        for table, old, new in zip(TABLES, before, now, strict=True):
            for number in old.keys() | new.keys():
                if old.get(number) != new.get(number):
                    found |= await _concerned(db, table, number, old.get(number), new.get(number))
        return found


async def _concerned(
    db: Connection, table: _Table, number: int, old: _Block | None, new: _Block | None
) -> set[int]:
    """Return the records that own rows of the block *number*, or did, and those that use them."""
    owners = ",".join(block.owners for block in (old, new) if block is not None and block.owners)
    found = {int(owner) for owner in owners.split(",") if owner.isdecimal()}
    if table.users:
        between = (number * table.size, (number + 1) * table.size - 1)
        found.update(user for (user,) in await db.fetch(table.users, between))
    return found


async def _blocks(db: Connection, table: _Table) -> dict[int, _Block]:
    """Read all rows of *table*, and return its blocks by their numbers."""
    name, key, size = table.name, table.key, table.size
    within = f"FROM {name} WHERE {key} >= n.column1 AND {key} < n.column1 + {size}"
    columns = ", ".join([_said(column, kind) for _, column, kind, *_ in await _columns(db, name)])
    query = (
        f"SELECT n.column1 / {size}, (SELECT json_group_array(json_array({columns})) {within}),"
        f" (SELECT group_concat({table.owner}) {within}) FROM (VALUES {{starts}}) n"
    )
    step = size * max(1, min(CHUNK // size, BLOCKS))
    found: dict[int, _Block] = {}
    first = await db.value(f"SELECT min({key}) FROM {name}")
    while first is not None:
        start = first // size * size
        starts = ", ".join(f"({number})" for number in range(start, start + step, size))
        async with db.reading():
            rows = await db.fetch(query.format(starts=starts))
        found |= {number: _Block(hash(text), owners or "") for number, text, owners in rows if text != "[]"}
        first = await db.value(f"SELECT min({key}) FROM {name} WHERE {key} >= ?", (start + step,))
    return found


async def _columns(db: Connection, table: str) -> list[Row]:
    return await db.fetch(f"SELECT * FROM pragma_table_info('{table}')")


def _said(column: str, kind: str) -> str:
    """Return *column* as text tells it exactly: JSON rounds numbers that have fractions."""
    return f'"{column}"' if "char" in kind.lower() or "text" in kind.lower() else f'quote("{column}")'


def mark(rows: Any) -> int:
    """Return what is the same for the same *rows*, and with all but certainty another for any others.

    It holds in this process only. The bytes of marshal tell -1 from -2, which have one hash.
    """
    return hash(marshal.dumps(rows, 2))  # version 2: equal objects are written alike, whoever else has them
