"""Which records may have changed: the raw rows of a file are compared, some rows of a table at a time.

No column of Sumatra's tables tells that a row was changed. To read all rows and to compare them, unjoined and
not understood, costs a twentieth of understanding them, as SQLite puts some together into one text for each
block; and only a hash of that is kept.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from smtd.stores.django import block_reader
from smtd.stores.django.block_reader import BLOCKS, LARGE, Bounds, Part, Table, Through, read
from smtd.stores.django.connection import DatabaseConnection
from smtd.stores.django.mapping import MEMBERSHIPS, OUTPUTS, PREFIX, REFERENCES, Relation
from smtd.stores.index import Block, Fingerprints

#: Bytes of the records that make a block, on average.
MOST_TEXT = 2**20
#: As if there were at least so many records: a new file is larger than the first of them.
FEW = 500
#: Rows of a block in a store of fewer than LARGE records: the records of a block that changed are all read,
#: which would take longer there than to compare all rows in smaller blocks.
SMALL_BLOCK = 32


def _linked(relation: Relation) -> Table:
    """Return a table of rows that records share by way of another table."""
    through = Through(PREFIX + relation.through, "record_id", relation.link)
    return Table(PREFIX + relation.table, size=1, through=through)


def _shared(reference: Relation) -> Table:
    """Return a table of rows that records share, by reference; most of them are used by many."""
    size = 64 if reference.field == "parameters" else 1
    through = Through("django_store_record", "db_id", reference.link)
    return Table(PREFIX + reference.table, size=size, through=through)


_INPUTS, _DEPENDENCIES, _PLATFORMS = MEMBERSHIPS
_TAGGED = "django_store_taggeditem"
TABLES = (
    Table("django_store_record", "db_id", "db_id"),
    _linked(_INPUTS)._replace(owner=OUTPUTS.link, size=128),
    *(Table(PREFIX + each.through, owner="record_id") for each in MEMBERSHIPS),
    Table(_TAGGED, owner="object_id"),
    Table("django_store_tag", size=1, through=Through(_TAGGED, "object_id", "tag_id")),
    _linked(_DEPENDENCIES),
    _linked(_PLATFORMS),
    *map(_shared, REFERENCES),
    Table("django_content_type", size=1, through=Through(_TAGGED, "object_id", "content_type_id")),
)


#: It differs for other tables. Raise its number whenever blocks are compared in another way.
SCHEME = "1 " + hashlib.blake2b(repr(TABLES).encode(), digest_size=8).hexdigest()


class Changed(NamedTuple):
    """The *records* that may have changed, and the *blocks* that have, by table and number."""

    records: set[int]
    blocks: Mapping[tuple[int, int], Block | None]


async def look(db: DatabaseConnection, path: Path, before: Fingerprints | None = None) -> Fingerprints | None:
    """Return what all rows look like, in blocks like those of *before*; None: nobody can tell.

    *db* is a connection to the file at *path*. Raises what SQLite raises of a file that cannot be read.
    """
    try:
        sizes, average = await _measured(db) if before is None else (before.sizes, before.average)
        columns, bounds = await _columns(db), await _bounds(db)
        parts = [
            Part(place, table, columns[table.name], bounds[place], sizes[place])
            for place, table in enumerate(TABLES)
        ]
        found = await read(path, parts, average)
    except (sqlite3.OperationalError, sqlite3.DataError) as exc:
        if isinstance(exc, sqlite3.OperationalError) and "JSON" not in str(exc).upper():
            raise
        return None  # a value that Sumatra never writes, a text of a gigabyte, or an SQLite without JSON
    return Fingerprints(sizes, average, [found[part.place] for part in parts], SCHEME)


async def changed(db: DatabaseConnection, before: Fingerprints, now: Fingerprints) -> Changed:
    """Return what may read otherwise *now* than *before*."""
    records: set[int] = set()
    blocks: dict[tuple[int, int], Block | None] = {}
    for place, (table, old, new) in enumerate(zip(TABLES, before.blocks, now.blocks, strict=True)):
        for number in old.keys() | new.keys():
            if old.get(number) != new.get(number):
                blocks[place, number] = new.get(number)
                records |= await _concerned(
                    db, table, now.sizes[place], number, old.get(number), new.get(number)
                )
    return Changed(records, blocks)


async def doubtful(db: DatabaseConnection, rows: Collection[int], now: Fingerprints) -> Changed:
    """Return which of the records *rows* may not be as the blocks *now* have them, and those blocks, doubted.

    Call it in the transaction that reads the records: a block with something that they consist of, or share,
    looks otherwise in that moment, or else they hold what is in it.
    """
    columns = await _columns(db)
    records: set[int] = set()
    doubted: dict[tuple[int, int], Block | None] = {}
    for place, table in enumerate(TABLES):
        size, known = now.sizes[place], now.blocks[place]
        part = Part(place, table, columns[table.name], Bounds(None, None), size)
        wanted = sorted({row // size for row in await _used(db, table, rows)} | _of(known, rows))
        for start in range(0, len(wanted), BLOCKS):
            some = wanted[start : start + BLOCKS]
            seen = block_reader.blocks(await db.fetch(block_reader.query(part, some)), size)
            for number in some:
                both = known.get(number), seen.get(number)
                if both[0] != both[1]:
                    doubted[place, number] = _doubted(*both)
                    records |= await _concerned(db, table, size, number, *both)
    return Changed(records & {*rows}, doubted)


async def _used(db: DatabaseConnection, table: Table, rows: Collection[int]) -> Collection[int]:
    """Return the numbers of the rows of *table* that the records *rows* own or share."""
    if table.owner == table.key:
        return rows
    return [key for (key,) in await db.fetch(table.used(rows)) if isinstance(key, int)]


def _of(blocks: Mapping[int, Block], rows: Collection[int]) -> set[int]:
    """Return the numbers of those of *blocks* that one of *rows* may own."""
    wanted, first, last = set(rows), min(rows), max(rows)
    found = set()
    for number, block in blocks.items():
        if isinstance(block.owners, bytes):
            low, high = map(int, block.owners.split())
            may_own = low <= last and first <= high
        else:
            may_own = not wanted.isdisjoint(_owners(block.owners))
        if may_own:
            found.add(number)
    return found


def of_records(before: Fingerprints, rows: Collection[int]) -> set[tuple[int, int]]:
    """Return where the blocks of the records with the numbers *rows* are, by table and number."""
    return {(0, row // before.sizes[0]) for row in rows}


def rarely_changed(places: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
    """Return which of the blocks at *places* are of rows that many records share, and that nobody edits.

    Sumatra makes such rows, and leaves them as they are. If somebody edits one by hand, its users are asked
    for after it was read: by then one may have let go of it for a moment.
    """
    return {(place, number) for place, number in places if TABLES[place].through and TABLES[place].size == 1}


def doubted(
    before: Fingerprints, places: Collection[tuple[int, int]], now: Fingerprints
) -> dict[tuple[int, int], Block]:
    """Return the blocks at *places* marked as equal to none; they keep all their owners, old and new.

    Their records may have been read when they were otherwise.
    """
    return {
        (place, number): _doubted(before.blocks[place].get(number), now.blocks[place].get(number))
        for place, number in places
    }


def _doubted(*seen: Block | None) -> Block:
    """Return a block that equals no other; it has the owners of all that were *seen*."""
    owners = set[int]().union(*(_owners(block.owners) for block in seen if block is not None))
    return Block(None, ",".join(map(str, sorted(owners))))


async def _measured(db: DatabaseConnection) -> tuple[list[int], int]:
    """Return how many rows a block may have, and the bytes of a record: one is put together in memory."""
    size = await db.value("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
    count = await db.value("SELECT count(*) FROM django_store_record")
    average = max(1, size // max(FEW, count))
    most = MOST_TEXT // average if count >= LARGE else min(MOST_TEXT // average, SMALL_BLOCK)
    return [max(1, min(table.size, most)) for table in TABLES], average


async def _concerned(
    db: DatabaseConnection, table: Table, size: int, number: int, old: Block | None, new: Block | None
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


async def _bounds(db: DatabaseConnection) -> list[Bounds]:
    """Return the lowest and highest number of a row of each table; what others add is for the next look."""
    asked = [f"(SELECT {which}({t.key}) FROM {t.name})" for t in TABLES for which in ("min", "max")]
    (found,) = await db.fetch(f"SELECT {', '.join(asked)}")
    return [Bounds(first, last) for first, last in zip(found[::2], found[1::2], strict=True)]


async def _columns(db: DatabaseConnection) -> dict[str, list[str]]:
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
