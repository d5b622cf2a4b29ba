"""Which records may read otherwise than before: a file is looked at as it is, some rows of a table at a time.

No column of Sumatra's tables tells that a row was changed. To read all rows and to compare them, unjoined and
not understood, costs a twentieth of understanding them, as SQLite puts some together into one text for each
block; and only a hash of that is kept.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections import defaultdict, deque
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import anyio
from anyio import to_thread

from smtd.sqlite import ERRORS, lenient, opened
from smtd.stores.django.connection import Connection
from smtd.stores.index import Block, Fingerprints
from smtd.untrusted import Guard

#: Rows, and blocks, that are read by one statement, which keeps others from committing.
CHUNK, BLOCKS = 4096, 400
#: Bytes of the records that make a block, and of those that are read in one transaction, on average.
MOST_TEXT, STEP_TEXT = 2**20, 2**24
#: Records from the first to the last owner of a block, up to which those between are taken for owners, too.
NEAR = 256
#: As if there were at least so many records: a new file is larger than the first of them.
FEW = 500
#: From so many records on two threads look at a file, each with a connection of its own.
LARGE = 10_000


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


#: Another one for other tables, and to be raised whenever a block is told from others in another way.
SCHEME = "1 " + hashlib.blake2b(repr(TABLES).encode(), digest_size=8).hexdigest()


class _Bounds(NamedTuple):
    """The lowest and the highest number of a row; None: there is none."""

    first: int | None
    last: int | None

    @property
    def span(self) -> int:
        """How many numbers there are from the first to the last."""
        return 0 if self.first is None or self.last is None else self.last - self.first + 1


class _Part(NamedTuple):
    """A table of a look, with its number: what tells its columns, and how many rows make a block."""

    place: int
    table: _Table
    columns: Sequence[str]
    bounds: _Bounds
    size: int


class Changed(NamedTuple):
    """The *records* that may read otherwise than before, and the *blocks* that do, by table and number."""

    records: set[int]
    blocks: Mapping[tuple[int, int], Block | None]


async def look(db: Connection, path: Path, before: Fingerprints | None = None) -> Fingerprints | None:
    """Return what all rows look like, in blocks like those of *before*; None: nobody can tell.

    *db* is a connection to the file at *path*. The rows are read by threads that have connections of their
    own: one trip to a thread for each statement would take longer than most of the statements. A look that is
    cancelled waits until they have ended their statement.
    """
    try:
        sizes, average = await _measured(db) if before is None else (before.sizes, before.average)
        columns, bounds = await _columns(db), await _bounds(db)
        parts = [
            _Part(place, table, columns[table.name], bounds[place], sizes[place])
            for place, table in enumerate(TABLES)
        ]
        found = await _read(path, parts, average)
    except (sqlite3.OperationalError, sqlite3.DataError) as exc:
        if isinstance(exc, sqlite3.OperationalError) and "JSON" not in str(exc).upper():
            raise
        return None  # a value that Sumatra never writes, a text of a gigabyte, or an SQLite without JSON
    return Fingerprints(sizes, average, [found[part.place] for part in parts], SCHEME)


class _Work:
    """What the threads of one look do: take *parts* until there are none, or the look is given up."""

    def __init__(self, path: Path, parts: Sequence[_Part], average: int) -> None:
        self._path = path
        self._todo = deque(parts)
        self._average = average
        self._given_up = threading.Event()
        #: The blocks of each part by its place, and what SQLite raised.
        self.found: dict[int, dict[int, Block]] = {}
        self.errors: list[Exception] = []

    def run(self, running: threading.Lock) -> None:
        """Work until there is nothing to do, with the lock *running* held. Blocks."""
        guard = Guard()
        with running:
            try:
                if not self._given_up.is_set():
                    with opened(self._path, guard=guard) as db:
                        db.text_factory = lenient
                        while not self._given_up.is_set() and (part := _next(self._todo)) is not None:
                            self.found[part.place] = _blocks(db, guard, part, self._average, self._given_up)
            except (*ERRORS, OSError) as exc:
                self.errors.append(exc)
                self._given_up.set()

    async def give_up(self, running: Sequence[threading.Lock]) -> None:
        """Have the threads that hold *running* end with their statement, and wait for that."""
        self._given_up.set()
        with anyio.CancelScope(shield=True):
            for lock in running:
                await to_thread.run_sync(lock.acquire)


async def _read(path: Path, parts: Sequence[_Part], average: int) -> dict[int, dict[int, Block]]:
    """Return the blocks of all *parts* by their places. Raises the first error of a thread."""
    work = _Work(path, parts, average)
    running = [threading.Lock() for _ in range(2 if parts[0].bounds.span > LARGE else 1)]
    threads = [partial(to_thread.run_sync, work.run, lock, abandon_on_cancel=True) for lock in running]
    try:
        if len(threads) == 1:
            await threads[0]()
        else:
            async with anyio.create_task_group() as group:
                for thread in threads:
                    group.start_soon(thread)
    except BaseException:
        await work.give_up(running)
        raise
    if work.errors:
        raise work.errors.pop()
    return work.found


async def changed(db: Connection, before: Fingerprints, now: Fingerprints) -> Changed:
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


def of_records(before: Fingerprints, rows: Collection[int]) -> set[tuple[int, int]]:
    """Return where the blocks of the records with the numbers *rows* are, by table and number."""
    return {(0, row // before.sizes[0]) for row in rows}


def doubted(
    before: Fingerprints, places: Collection[tuple[int, int]], now: Fingerprints
) -> dict[tuple[int, int], Block]:
    """Return the blocks at *places* so that they look otherwise than any; who owned or owns them still does.

    Their records may have been read when they were otherwise.
    """
    found = {}
    for place, number in places:
        owners: set[int] = set()
        for block in (before.blocks[place].get(number), now.blocks[place].get(number)):
            owners |= set() if block is None else _owners(block.owners)
        found[place, number] = Block(None, ",".join(map(str, sorted(owners))))
    return found


async def _measured(db: Connection) -> tuple[list[int], int]:
    """Return how many rows a block may have, and the bytes of a record: one is put together in memory."""
    size = await db.value("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
    count = await db.value("SELECT count(*) FROM django_store_record")
    average = max(1, size // max(FEW, count))
    return [max(1, min(table.size, MOST_TEXT // average)) for table in TABLES], average


async def _concerned(
    db: Connection, table: _Table, size: int, number: int, old: Block | None, new: Block | None
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


def _next(todo: deque[_Part]) -> _Part | None:
    """Take the next part, which another thread may do at the same time; None: there is none."""
    try:
        return todo.popleft()
    except IndexError:
        return None


def _blocks(
    db: sqlite3.Connection, guard: Guard, part: _Part, average: int, given_up: threading.Event
) -> dict[int, Block]:
    """Read all rows of a table, and return its blocks by their numbers. Blocks.

    *average*: how many bytes a record has. Each statement is of one moment, and keeps others from committing
    for some 20 ms at most.
    """
    (name, key, *_), size, bounds = part.table, part.size, part.bounds
    query, step = _query(part), size * max(1, min(CHUNK // size, BLOCKS, STEP_TEXT // (average * size)))
    found: dict[int, Block] = {}
    lowest = bounds.first
    while lowest is not None and bounds.last is not None and not given_up.is_set():
        start = lowest // size * size
        end = min(start + step, bounds.last + 1)
        starts = ", ".join(f"({number})" for number in range(start, end, size))
        rows = _fetch(db, guard, query.format(starts=starts))
        found |= {at // size: Block(_mark(text), owners or "") for at, text, owners in rows if text != b"[]"}
        if start + step > bounds.last:
            break
        ((lowest,),) = _fetch(db, guard, f"SELECT min({key}) FROM {name} WHERE {key} >= {start + step}")
    return found


def _query(part: _Part) -> str:
    """Return what puts together the rows of some blocks, whose first numbers it lacks, and their owners."""
    table, columns, size = part.table, part.columns, part.size
    within = f"FROM {table.name} WHERE {table.key} >= n.column1 AND {table.key} < n.column1 + {size}"
    first, last = f"min({table.owner})", f"max({table.owner})"
    owners = (
        f"SELECT CASE WHEN typeof({first}) = 'integer' AND typeof({last}) = 'integer'"
        f" AND {last} - {first} < {NEAR} THEN CAST({first} || ' ' || {last} AS BLOB)"
        f" ELSE group_concat({table.owner}) END"
    )
    if table.owner in (table.key, "NULL"):
        owners = "SELECT NULL"
    text = f"SELECT json_group_array(json_array({', '.join(columns)})) {within}"
    return f"SELECT n.column1, CAST(({text}) AS BLOB), ({owners} {within}) FROM (VALUES {{starts}}) n"


def _fetch(db: sqlite3.Connection, guard: Guard, query: str) -> list[Any]:
    """Return all rows of *query*, which may take the steps of one statement."""
    with guard.watching():
        return db.execute(query).fetchall()


def _mark(text: bytes) -> int:
    """Return the same for the same text, and with all but certainty another number for any other."""
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big", signed=True)


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
