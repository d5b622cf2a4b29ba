"""Find the records that may have changed, by comparing hashes of blocks of rows.

No column of Sumatra's tables shows that a row was changed. To hash all rows, without joining or decoding
them, costs a twentieth of decoding them: SQLite itself concatenates the rows of a block into one text. Only
a hash of that text is kept.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from smtd.stores.django import block_reader
from smtd.stores.django.block_reader import LARGE, MAX_BLOCKS, Bounds, Part, Table, Through, read
from smtd.stores.django.connection import DatabaseConnection
from smtd.stores.django.mapping import MEMBERSHIPS, OUTPUTS, PREFIX, REFERENCES, Relation
from smtd.stores.index import Block, Fingerprints

#: The most bytes of records in a block, on average.
MAX_BLOCK_BYTES = 2**20
#: The least number of records to divide the size of a file by: a file with few records is mostly overhead.
LEAST_RECORDS = 500
#: The most rows of a block in a store of fewer than LARGE records. All records of a changed block are read:
#: with larger blocks that would take longer there than comparing more blocks.
SMALL_BLOCK = 32


def _linked(relation: Relation) -> Table:
    """Return the table of a relation whose rows records share through a table of links."""
    through = Through(PREFIX + relation.through, "record_id", relation.link)
    return Table(PREFIX + relation.table, size=1, through=through)


def _shared(reference: Relation) -> Table:
    """Return the table of a relation whose rows records refer to; many records use most of its rows."""
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


#: Identifies which tables are hashed, and how. Increase its number when blocks are hashed in another way.
SCHEME = "1 " + hashlib.blake2b(repr(TABLES).encode(), digest_size=8).hexdigest()


class Changed(NamedTuple):
    """The *records* that may have changed, and the *blocks* that have, by table and number (None: gone)."""

    records: set[int]
    blocks: Mapping[tuple[int, int], Block | None]


async def hash_all(
    db: DatabaseConnection, path: Path, before: Fingerprints | None = None
) -> Fingerprints | None:
    """Return the hashes of all rows, in blocks of the same sizes as *before*; None if that is impossible.

    *db* is a connection to the file at *path*. Raises SQLite's error, or OSError, if it cannot be read.
    """
    try:
        sizes, average = await _block_sizes(db) if before is None else (before.sizes, before.average)
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
    """Return the blocks that differ between *before* and *now*, and the records that may have changed."""
    records: set[int] = set()
    blocks: dict[tuple[int, int], Block | None] = {}
    for place, (table, old, new) in enumerate(zip(TABLES, before.blocks, now.blocks, strict=True)):
        for number in old.keys() | new.keys():
            if old.get(number) != new.get(number):
                blocks[place, number] = new.get(number)
                records |= await _affected(
                    db, table, now.sizes[place], number, old.get(number), new.get(number)
                )
    return Changed(records, blocks)


async def changed_since(db: DatabaseConnection, rows: Collection[int], now: Fingerprints) -> Changed:
    """Return which of the records *rows* may differ from what the blocks *now* hashed, and those blocks.

    Call it in the transaction that reads the records. It hashes again all blocks with rows that the records
    own or share: if a hash is still the same, the records hold what was hashed.
    """
    columns = await _columns(db)
    records: set[int] = set()
    differing: dict[tuple[int, int], Block | None] = {}
    for place, table in enumerate(TABLES):
        size, known = now.sizes[place], now.blocks[place]
        part = Part(place, table, columns[table.name], Bounds(None, None), size)
        wanted = sorted({row // size for row in await _used(db, table, rows)} | _possible_blocks(known, rows))
        for start in range(0, len(wanted), MAX_BLOCKS):
            some = wanted[start : start + MAX_BLOCKS]
            seen = block_reader.blocks(await db.fetch(block_reader.query(part, some)), size)
            for number in some:
                both = known.get(number), seen.get(number)
                if both[0] != both[1]:
                    differing[place, number] = _without_hash(*both)
                    records |= await _affected(db, table, size, number, *both)
    return Changed(records & {*rows}, differing)


async def _used(db: DatabaseConnection, table: Table, rows: Collection[int]) -> Collection[int]:
    """Return the numbers of the rows of *table* that the records *rows* own or share."""
    if table.owner == table.key:
        return rows
    return [key for (key,) in await db.fetch(table.used_query(rows)) if isinstance(key, int)]


def _possible_blocks(blocks: Mapping[int, Block], rows: Collection[int]) -> set[int]:
    """Return the numbers of the *blocks* with a row that one of the records *rows* may own."""
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


def blocks_of(before: Fingerprints, rows: Collection[int]) -> set[tuple[int, int]]:
    """Return the places (table and number) of the blocks of the record table with the records *rows*."""
    return {(0, row // before.sizes[0]) for row in rows}


def rarely_changed(places: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
    """Return the *places* of blocks of rows that many records share, and that no program edits.

    Sumatra inserts such rows, and never changes them. If a user edits one by hand, smtd looks up the records
    that refer to it after it was hashed: it would miss one that has dropped the reference for a moment.
    """
    return {(place, number) for place, number in places if TABLES[place].through and TABLES[place].size == 1}


def invalidated(
    before: Fingerprints, places: Collection[tuple[int, int]], now: Fingerprints
) -> dict[tuple[int, int], Block]:
    """Return the blocks at *places* without hashes, so that they equal no other, with all old and new owners.

    Their records may have been read in another state than the one that was hashed.
    """
    return {
        (place, number): _without_hash(before.blocks[place].get(number), now.blocks[place].get(number))
        for place, number in places
    }


def _without_hash(*seen: Block | None) -> Block:
    """Return a block without a hash, so that it equals no other, with the owners of all blocks *seen*."""
    owners = set[int]().union(*(_owners(block.owners) for block in seen if block is not None))
    return Block(None, ",".join(map(str, sorted(owners))))


async def _block_sizes(db: DatabaseConnection) -> tuple[list[int], int]:
    """Return how many numbers a block may have, by table, and the average size of a record in bytes.

    SQLite assembles the text of a block in memory.
    """
    size = await db.value("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
    count = await db.value("SELECT count(*) FROM django_store_record")
    average = max(1, size // max(LEAST_RECORDS, count))
    most = MAX_BLOCK_BYTES // average if count >= LARGE else min(MAX_BLOCK_BYTES // average, SMALL_BLOCK)
    return [max(1, min(table.size, most)) for table in TABLES], average


async def _affected(
    db: DatabaseConnection, table: Table, size: int, number: int, old: Block | None, new: Block | None
) -> set[int]:
    """Return the records that own, or owned, rows of the block *number*, and those that share its rows."""
    first, last = number * size, (number + 1) * size - 1
    found = set(range(first, last + 1)) if table.owner == table.key else set()
    for block in (old, new):
        if block is not None:
            found |= _owners(block.owners)
    if table.users_query:
        used = await db.fetch(table.users_query, (first, last))
        found.update(user for (user,) in used if isinstance(user, int))
    return found


def _owners(text: str | bytes) -> set[int]:
    """Return the numbers in *text*, the owners of a block; an owner that is not a number is left out."""
    if isinstance(text, bytes):
        first, last = map(int, text.split())
        return set(range(first, last + 1))
    return {int(owner) for owner in text.split(",") if owner.removeprefix("-").isdecimal()}


async def _bounds(db: DatabaseConnection) -> list[Bounds]:
    """Return the lowest and highest number of a row of each table; later rows are left to the next look."""
    asked = [f"(SELECT {which}({t.key}) FROM {t.name})" for t in TABLES for which in ("min", "max")]
    (found,) = await db.fetch(f"SELECT {', '.join(asked)}")
    return [Bounds(first, last) for first, last in zip(found[::2], found[1::2], strict=True)]


async def _columns(db: DatabaseConnection) -> dict[str, list[str]]:
    """Return the SQL expressions for the columns of each table."""
    names = ", ".join(sorted({f"'{table.name}'" for table in TABLES}))
    found: dict[str, list[str]] = defaultdict(list)
    for table, column, kind in await db.fetch(
        "SELECT m.name, c.name, c.type FROM sqlite_master m JOIN pragma_table_info(m.name) c"
        f" WHERE m.name IN ({names}) ORDER BY m.name, c.cid"
    ):
        found[table].append(_exact_sql(column, kind))
    return found


def _exact_sql(column: str, kind: str) -> str:
    """Return the SQL expression for the exact value of *column*: JSON rounds numbers with fractions.

    Columns for whole numbers or texts should hold none; a record with one there cannot be read in any case.
    """
    return (
        f'"{column}"'
        if any(each in kind.lower() for each in ("char", "text", "int"))
        else f'quote("{column}")'
    )
