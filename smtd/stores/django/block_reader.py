"""Read all rows of an SQLite file in blocks, in separate threads: the hash of each block, and its owners.

One crossing to a thread for each statement would take longer than most of the statements do.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import anyio
from anyio import to_thread

from smtd.sqlite import ERRORS, lenient, opened
from smtd.stores.index import Block
from smtd.untrusted import Guard

#: The most rows, and the most blocks, that one statement reads: while it runs, no other program can commit.
MAX_ROWS, MAX_BLOCKS = 4096, 400
#: The most bytes of records that one statement reads, on average.
MAX_STEP_BYTES = 2**24
#: If the ids of all owners of a block are within this range, all records in the range count as owners.
MAX_OWNER_RANGE = 256
#: The number of records above which two threads read a file, each with its own connection.
LARGE = 10_000


class Through(NamedTuple):
    """A table that links records to shared rows, with the columns of the record (*owner*) and the row."""

    table: str
    owner: str
    column: str


class Table(NamedTuple):
    """A table whose rows each belong to one record, or are shared by several.

    *key* is the column with the number of a row, *owner* the column with its record (NULL: it has none).
    *size* is the most numbers in a block. *through* links records to the rows (None: they share none).
    """

    name: str
    key: str = "id"
    owner: str = "NULL"
    size: int = 128
    through: Through | None = None

    @property
    def users_query(self) -> str | None:
        """The query for the records that share rows between two numbers (None: records share none)."""
        if self.through is None:
            return None
        table, owner, column = self.through
        return f"SELECT {owner} FROM {table} WHERE {column} BETWEEN ? AND ?"

    def used_query(self, records: Iterable[int]) -> str:
        """Return the query for the numbers of the rows that *records* own or share."""
        among = f"IN ({', '.join(map(str, records))})"
        queries = []
        if self.owner != "NULL":
            queries.append(f"SELECT {self.key} FROM {self.name} WHERE {self.owner} {among}")
        if self.through is not None:
            table, owner, column = self.through
            queries.append(f"SELECT {column} FROM {table} WHERE {owner} {among}")
        return " UNION ".join(queries)


class Bounds(NamedTuple):
    """The lowest and the highest number of a row (None: there are no rows)."""

    first: int | None
    last: int | None

    @property
    def span(self) -> int:
        """How many numbers there are from the first to the last."""
        return 0 if self.first is None or self.last is None else self.last - self.first + 1


class Part(NamedTuple):
    """A table to read: its place in `TABLES`, the SQL for its columns, and how many numbers make a block."""

    place: int
    table: Table
    columns: Sequence[str]
    bounds: Bounds
    size: int


async def read(path: Path, parts: Sequence[Part], average: int) -> dict[int, dict[int, Block]]:
    """Return the blocks of all *parts* of the file at *path*, by their places.

    *average* is the average size of a record in bytes. A cancelled call waits until the threads have finished
    their current statement. Raises an error of one of the threads, by SQLite or by the system.
    """
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
        await work.abandon(running)
        raise
    if work.errors:
        raise work.errors.pop()
    return work.found


class _Work:
    """The work of the threads of one look: they take *parts* until none is left, or the look is abandoned."""

    def __init__(self, path: Path, parts: Sequence[Part], average: int) -> None:
        self._path = path
        self._todo = deque(parts)
        self._average = average
        self._abandoned = threading.Event()
        #: The blocks of each part by its place, and the errors of the threads.
        self.found: dict[int, dict[int, Block]] = {}
        self.errors: list[Exception] = []

    def run(self, running: threading.Lock) -> None:
        """Hold the lock *running*, and read parts until none is left. Blocks."""
        with running:
            try:
                self._read_parts()
            except (*ERRORS, OSError) as exc:
                self.errors.append(exc)
                self._abandoned.set()

    def _read_parts(self) -> None:
        if self._abandoned.is_set():
            return
        guard = Guard()
        with opened(self._path, guard=guard) as db:
            db.text_factory = lenient
            while not self._abandoned.is_set() and (part := _next(self._todo)) is not None:
                self.found[part.place] = _blocks(db, guard, part, self._average, self._abandoned)

    async def abandon(self, running: Sequence[threading.Lock]) -> None:
        """Stop the threads after their current statement; wait until they release the locks *running*."""
        self._abandoned.set()
        with anyio.CancelScope(shield=True):
            for lock in running:
                await to_thread.run_sync(_wait_for, lock)


def _wait_for(lock: threading.Lock) -> None:
    """Wait until no thread holds *lock*; a thread that starts later finds the look abandoned. Blocks."""
    with lock:
        pass


def _next(todo: deque[Part]) -> Part | None:
    """Take the next part (None: none is left); another thread may do the same at the same time."""
    try:
        return todo.popleft()
    except IndexError:
        return None


def _blocks(
    db: sqlite3.Connection, guard: Guard, part: Part, average: int, abandoned: threading.Event
) -> dict[int, Block]:
    """Read all rows of a table, and return its blocks by their numbers. Blocks.

    *average* is the average size of a record in bytes. Each statement reads one snapshot, and keeps other
    programs from committing for at most some 20 ms.
    """
    (name, key, *_), size, bounds = part.table, part.size, part.bounds
    step = size * max(1, min(MAX_ROWS // size, MAX_BLOCKS, MAX_STEP_BYTES // (average * size)))
    found: dict[int, Block] = {}
    lowest = bounds.first
    while lowest is not None and bounds.last is not None and not abandoned.is_set():
        start = lowest // size * size
        end = min(start + step, bounds.last + 1)
        found |= blocks(_fetch(db, guard, query(part, range(start // size, -(-end // size)))), size)
        if start + step > bounds.last:
            break
        ((lowest,),) = _fetch(db, guard, f"SELECT min({key}) FROM {name} WHERE {key} >= {start + step}")
    return found


def query(part: Part, numbers: Iterable[int]) -> str:
    """Return the query for the rows, as one text, and the owners of each block in *numbers*; see `blocks`."""
    table, columns, size = part.table, part.columns, part.size
    starts = ", ".join(f"({number * size})" for number in numbers)
    within = f"FROM {table.name} WHERE {table.key} >= n.column1 AND {table.key} < n.column1 + {size}"
    first, last = f"min({table.owner})", f"max({table.owner})"
    owners = (
        f"SELECT CASE WHEN typeof({first}) = 'integer' AND typeof({last}) = 'integer'"
        f" AND {last} - {first} < {MAX_OWNER_RANGE} THEN CAST({first} || ' ' || {last} AS BLOB)"
        f" ELSE group_concat({table.owner}) END"
    )
    if table.owner in (table.key, "NULL"):
        owners = "SELECT NULL"
    text = f"SELECT json_group_array(json_array({', '.join(columns)})) {within}"
    return f"SELECT n.column1, CAST(({text}) AS BLOB), ({owners} {within}) FROM (VALUES {starts}) n"


def blocks(rows: Iterable[Sequence[Any]], size: int) -> Mapping[int, Block]:
    """Return the blocks in *rows*, the result of a `query`, by their numbers; *size* numbers make a block."""
    return {at // size: Block(_hash(text), owners or "") for at, text, owners in rows if text != b"[]"}


def _fetch(db: sqlite3.Connection, guard: Guard, query: str) -> list[Any]:
    """Return all rows of *query*; *guard* limits its steps."""
    with guard.watching():
        return db.execute(query).fetchall()


def _hash(text: bytes) -> int:
    """Return a hash of *text*, a signed number of 64 bits."""
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big", signed=True)
