"""Which records may read otherwise than before: a file is looked at as it is, some rows of a table at a time.

No column of Sumatra's tables tells that a row was changed. To read all rows and to compare them, unjoined and
not understood, costs a twentieth of understanding them; and only a hash of some rows together is kept.
"""

from __future__ import annotations

import marshal
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from smtd.stores.django.connection import Connection, Row

#: Rows that are read in one transaction, which keeps others from committing: some 20 ms.
CHUNK = 4096


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


_NUMBER, _OWNER = itemgetter(0), itemgetter(1)


class _Block(NamedTuple):
    """Some rows that follow each other: what tells them from others, and the records that own them."""

    mark: int
    owners: array[int]


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
        """Return the ids of all records that may read otherwise than before (None: nothing is known)."""
        before, self._known = self._known, None
        now = [await _blocks(db, table) for table in TABLES]
        found: set[int] = set()
        for table, old, new in zip(TABLES, before or [], now, strict=before is not None):
            differing = [number for number in old.keys() | new.keys() if _differ(old, new, number)]
            for number in differing:
                found.update(*[blocks[number].owners for blocks in (old, new) if number in blocks])
                if table.users:
                    between = (number * table.size, (number + 1) * table.size - 1)
                    found.update([owner for (owner,) in await db.fetch(table.users, between)])
        self._known = now
        return None if before is None else found


def _differ(old: dict[int, _Block], new: dict[int, _Block], number: int) -> bool:
    return number not in old or number not in new or old[number].mark != new[number].mark


async def _blocks(db: Connection, table: _Table) -> dict[int, _Block]:
    """Read all rows of *table*, and return its blocks by their numbers."""
    query = (
        f"SELECT {table.key}, {table.owner}, * FROM {table.name}"
        f" WHERE {table.key} >= ? ORDER BY {table.key} LIMIT {CHUNK}"
    )
    found: dict[int, _Block] = {}
    start = 0
    while True:
        async with db.reading():
            rows = await db.fetch(query, (start,))
        blocks = list(_grouped(rows, table.size))
        if len(rows) == CHUNK:
            blocks.pop()  # there may be more of it; CHUNK is more than one block
        found |= blocks
        if len(rows) < CHUNK:
            return found
        start = (blocks[-1][0] + 1) * table.size


def _grouped(rows: Sequence[Row], size: int) -> Iterator[tuple[int, _Block]]:
    """Part *rows*, in the order of their numbers, into blocks; most numbers follow each other."""
    start = 0
    while start < len(rows):
        number = rows[start][0] // size
        end, after = min(start + size, len(rows)), (number + 1) * size
        if rows[end - 1][0] >= after:
            end = bisect_left(rows, after, start, end, key=_NUMBER)
        block = rows[start:end]
        owners = [owner for owner in map(_OWNER, block) if type(owner) is int]
        yield number, _Block(mark(block), array("q", owners))
        start = end


def mark(rows: Any) -> int:
    """Return what is the same for the same *rows*, and with all but certainty another for any others.

    It holds in this process only. The bytes of marshal tell -1 from -2, which have one hash.
    """
    return hash(marshal.dumps(rows, 2))  # version 2: equal objects are written alike, whoever else has them
