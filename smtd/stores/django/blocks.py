"""Which records may read otherwise than before: a file is looked at as it is, some rows of a table at a time.

No column of Sumatra's tables tells that a row was changed. To read all rows and to compare them, unjoined and
not understood, costs a twentieth of understanding them, as SQLite puts some together into one text for each
block; and only a hash of that is kept.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from smtd.stores.django.connection import Connection

#: Rows, and blocks, that are read by one statement, which keeps others from committing.
CHUNK, BLOCKS = 4096, 400
#: Bytes of the records that make a block, and of those that are read in one transaction, on average.
MOST_TEXT, STEP_TEXT = 2**20, 2**24
#: Records from the first to the last owner of a block, up to which those between are taken for owners, too.
NEAR = 256
#: As if there were at least so many records: a new file is larger than the first of them.
FEW = 500


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
    """Some rows that follow each other: what tells them from others, and the records that own them.

    *owners* are numbers with commas, or, to take less room, the first and the last one as bytes: `5 130`.
    """

    mark: int
    owners: str | bytes


class _Bounds(NamedTuple):
    """The lowest and the highest number of a row; None: there is none."""

    first: int | None
    last: int | None


class Blocks:
    """What the rows of all tables were like when `changed` was called last."""

    def __init__(self) -> None:
        self._known: list[dict[int, _Block]] | None = None
        #: How many rows a block has at most, and bytes a record on average.
        self._sizes = [table.size for table in TABLES]
        self._average = 1
        #: The blocks that were found to differ, of each table; and those that are taken to, the next time.
        self._found: list[set[int]] = [set() for _ in TABLES]
        self._doubtful: list[set[int]] = [set() for _ in TABLES]

    @property
    def are_known(self) -> bool:
        """Whether there is anything to compare with."""
        return self._known is not None

    def forget(self) -> None:
        """Forget all rows."""
        self._known = None
        self.trust()

    def trust(self) -> None:
        """Note that the records that had changed were read as they were when `changed` was called."""
        self._doubtful = [set() for _ in TABLES]

    def doubt(self) -> None:
        """Note that they may have been read otherwise: they are read again, whatever their rows are like."""
        self._doubtful = self._found

    async def changed(self, db: Connection) -> set[int] | None:
        """Return the ids of all records that may read otherwise than before (None: nobody can tell)."""
        before, self._known = self._known, None
        try:
            if before is None:
                await self._measure(db)
            columns, bounds = await _columns(db), await _bounds(db)
            now = [
                await _blocks(db, table, columns[table.name], bound, size, self._average)
                for table, bound, size in zip(TABLES, bounds, self._sizes, strict=True)
            ]
        except (sqlite3.OperationalError, sqlite3.DataError) as exc:
            if isinstance(exc, sqlite3.OperationalError) and "JSON" not in str(exc).upper():
                raise
            return None  # a value that Sumatra never writes, a text of a gigabyte, or an SQLite without JSON
        self._known = now
        if before is None:
            return None
        changed: set[int] = set()
        for place, (table, old, new) in enumerate(zip(TABLES, before, now, strict=True)):
            numbers = {number for number in old.keys() | new.keys() if old.get(number) != new.get(number)}
            numbers |= self._doubtful[place]
            self._found[place] = numbers
            for number in numbers:
                changed |= await _concerned(
                    db, table, self._sizes[place], number, old.get(number), new.get(number)
                )
        return changed

    async def _measure(self, db: Connection) -> None:
        """Let blocks have fewer rows where records are large: one is put together in memory."""
        size = await db.value("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
        count = await db.value("SELECT count(*) FROM django_store_record")
        self._average = max(1, size // max(FEW, count))
        self._sizes = [max(1, min(table.size, MOST_TEXT // self._average)) for table in TABLES]


async def _concerned(
    db: Connection, table: _Table, size: int, number: int, old: _Block | None, new: _Block | None
) -> set[int]:
    """Return the records that own rows of the block *number*, or did, and those that use them."""
    first, last = number * size, (number + 1) * size - 1
    found = set(range(first, last + 1)) if table.owner == table.key else set()
    for block in (old, new):
        if block is not None:
            found |= _owners(block.owners)
    if table.users:
        used = await db.fetch(table.users, (first, last))
        found.update(user for (user,) in used if isinstance(user, int))
    return found


def _owners(said: str | bytes) -> set[int]:
    """Return the numbers that a block has for *said*; what is no number owns nothing."""
    if isinstance(said, bytes):
        first, last = map(int, said.split())
        return set(range(first, last + 1))
    return {int(owner) for owner in said.split(",") if owner.removeprefix("-").isdecimal()}


async def _blocks(
    db: Connection, table: _Table, columns: Sequence[str], bounds: _Bounds, size: int, average: int
) -> dict[int, _Block]:
    """Read all rows of *table*, and return its blocks of *size* by their numbers.

    *average*: how many bytes a record has. Each statement is of one moment, and keeps others from committing
    for some 20 ms at most.
    """
    name, key = table.name, table.key
    within = f"FROM {name} WHERE {key} >= n.column1 AND {key} < n.column1 + {size}"
    first, last = f"min({table.owner})", f"max({table.owner})"
    owners = (
        f"SELECT CASE WHEN typeof({first}) = 'integer' AND typeof({last}) = 'integer'"
        f" AND {last} - {first} < {NEAR} THEN CAST({first} || ' ' || {last} AS BLOB)"
        f" ELSE group_concat({table.owner}) END"
    )
    if table.owner in (key, "NULL"):
        owners = "SELECT NULL"
    query = (
        f"SELECT n.column1, (SELECT json_group_array(json_array({', '.join(columns)})) {within}),"
        f" ({owners} {within}) FROM (VALUES {{starts}}) n"
    )
    step = size * max(1, min(CHUNK // size, BLOCKS, STEP_TEXT // (average * size)))
    found: dict[int, _Block] = {}
    lowest = bounds.first
    while lowest is not None and bounds.last is not None:
        start = lowest // size * size
        end = min(start + step, bounds.last + 1)
        starts = ", ".join(f"({number})" for number in range(start, end, size))
        rows = await db.fetch(query.format(starts=starts))
        found |= {at // size: _Block(hash(text), owners or "") for at, text, owners in rows if text != "[]"}
        if start + step > bounds.last:
            break
        lowest = await db.value(f"SELECT min({key}) FROM {name} WHERE {key} >= ?", (start + step,))
    return found


async def _bounds(db: Connection) -> list[_Bounds]:
    """Return the lowest and highest number of a row of each table; what others add is for the next look."""
    asked = [f"(SELECT {which}({t.key}) FROM {t.name})" for t in TABLES for which in ("min", "max")]
    (found,) = await db.fetch(f"SELECT {', '.join(asked)}")
    return [_Bounds(first, last) for first, last in zip(found[::2], found[1::2], strict=True)]


async def _columns(db: Connection) -> dict[str, list[str]]:
    """Return what tells the columns of each table."""
    names = ", ".join(sorted({f"'{table.name}'" for table in TABLES}))
    found: dict[str, list[str]] = defaultdict(list)
    for table, column, kind in await db.fetch(
        "SELECT m.name, c.name, c.type FROM sqlite_master m JOIN pragma_table_info(m.name) c"
        f" WHERE m.name IN ({names}) ORDER BY m.name, c.cid"
    ):
        found[table].append(_said(column, kind))
    return found


def _said(column: str, kind: str) -> str:
    """Return *column* as text tells it exactly: JSON rounds numbers that have fractions.

    Those no column for whole numbers or texts is for; if one is there, it cannot be read in any case.
    """
    return (
        f'"{column}"'
        if any(each in kind.lower() for each in ("char", "text", "int"))
        else f'quote("{column}")'
    )
