"""The index of a store: what was last seen there, numbered by a sequence of its changes.

An index belongs to a store, not to a pair. Each entry has the number of the change that it came with. So who
remembers up to which number it knows the entries finds what has changed since.
"""

from __future__ import annotations

import json
import secrets
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from smtd.records import canonical
from smtd.records.record import Key
from smtd.sqlite import Connection
from smtd.stores.base import Token
from smtd.stores.index import ABSENT, Entry, State

#: Keys that are asked for in one query: SQLite takes 999 values.
_ASKED = 400
#: From so many keys on it takes longer to ask for each than for all there are.
MANY = 5000


class Cursor(NamedTuple):
    """Up to which change the entries of a store are known; numbers of two epochs are not comparable."""

    epoch: int
    seq: int


class Held(NamedTuple):
    """How many records of a project a store holds."""

    readable: int
    unreadable: int

    @property
    def records(self) -> int:
        """How many there are at all."""
        return self.readable + self.unreadable


class StoreIndex:
    """The index of the store at *location*. Every method but `note` is one transaction."""

    def __init__(self, db: Connection, location: str) -> None:
        self.location = location
        self._db = db
        self._number: int | None = None
        #: Where the sequence was before and after each note of this object, in order.
        self._noted: list[tuple[int, int]] = []

    async def begin(self) -> None:
        """Make the index if there is none; begin it anew if another version of smtd read the records."""
        reader = str(canonical.VERSION)
        async with self._db.transaction():
            await self._db.run(
                "INSERT OR IGNORE INTO store (location, reader, epoch, seq) VALUES (?, ?, ?, 0)",
                (self.location, reader, _epoch()),
            )
            ((self._number, found),) = await self._db.fetch(
                "SELECT id, reader FROM store WHERE location = ?", (self.location,)
            )
            if found != reader:
                await clear(self._db, self._number)
                await self._db.run("UPDATE store SET reader = ? WHERE id = ?", (reader, self._number))

    async def cursor(self) -> Cursor:
        """Return where the sequence is now."""
        rows = await self._db.fetch("SELECT epoch, seq FROM store WHERE location = ?", (self.location,))
        return Cursor(*rows[0]) if rows else Cursor(0, 0)

    async def head(self, projects: Collection[str] | None) -> Token | None:
        """Return what the store looked like when the entries of *projects* (None: all) were as it is.

        None: nobody could tell.
        """
        found = await self._db.value(
            "SELECT head FROM head WHERE store = ? AND projects = ?", (await self._id(), _scope(projects))
        )
        return None if found is None else bytes(found)

    async def set_head(self, projects: Collection[str] | None, head: Token | None) -> None:
        """Remember that a store that looks like *head* holds what the entries of *projects* say."""
        async with self._db.transaction():
            await self._set_head(projects, head)

    async def entries(self, keys: Collection[Key]) -> dict[Key, Entry]:
        """Return the entries of those *keys* that have one."""
        return await _entries(self._db, await self._id(), keys)

    async def all(self, projects: Collection[str] | None) -> dict[Key, Entry]:
        """Return the entries of all records of *projects* (None: of all), without the absent ones."""
        return await _present(self._db, await self._id(), projects)

    async def changed_since(self, cursor: Cursor, projects: Collection[str] | None) -> set[Key]:
        """Return the keys of *projects* (None: of all) whose entries changed after *cursor*."""
        return {
            key_of(project, label)
            for project, label in await self._db.fetch(
                "SELECT project, label FROM entry WHERE store = ? AND seq > ?",
                (await self._id(), cursor.seq),
            )
            if projects is None or _text(project) in projects
        }

    async def held(self, projects: Collection[str] | None) -> dict[str, Held]:
        """Return how many records the store holds, by each of *projects* (None: by all) that has any."""
        return {
            _text(project): Held(readable, unreadable)
            for project, readable, unreadable in await self._db.fetch(
                "SELECT project, readable, unreadable FROM held WHERE store = ?", (await self._id(),)
            )
            if readable + unreadable and (projects is None or _text(project) in projects)
        }

    async def update(
        self,
        found: Mapping[Key, Entry],
        projects: Collection[str] | None,
        head: Token | None,
        *,
        whole: bool,
    ) -> Cursor:
        """Remember what a look at *projects* (None: all) has *found*; return where the sequence is then.

        *whole*: there are no other records. *head* is what the store looks like if nobody wrote since.
        """
        store = await self._id()
        async with self._db.transaction():
            if whole:
                gone = (await _present(self._db, store, projects)).keys() - found.keys()
                found = {**found, **dict.fromkeys(gone, ABSENT)}
            await put(self._db, store, found)
            await self._set_head(projects, head)
        return await self.cursor()

    async def note(self, found: Mapping[Key, Entry]) -> None:
        """Remember what smtd wrote and read back, in the transaction that is open."""
        self._noted.append(await put(self._db, await self._id(), found))

    def advanced(self, cursor: Cursor) -> Cursor:
        """Return *cursor* after what this object noted since, as far as nobody else did in between."""
        for before, after in self._noted:
            if before == cursor.seq:
                cursor = cursor._replace(seq=after)
        return cursor

    async def _id(self) -> int:
        if self._number is None:
            query = "SELECT id FROM store WHERE location = ?"
            self._number = await self._db.value(query, (self.location,))
        return -1 if self._number is None else self._number  # the number of no store

    async def _set_head(self, projects: Collection[str] | None, head: Token | None) -> None:
        row = (await self._id(), _scope(projects))
        if head is None:
            await self._db.run("DELETE FROM head WHERE store = ? AND projects = ?", row)
        else:
            await self._db.run("INSERT OR REPLACE INTO head VALUES (?, ?, ?)", (*row, head))


async def clear(db: Connection, store: int) -> None:
    """Forget all entries of *store*, in the transaction that is open: no cursor fits them any more."""
    for table in ("entry", "held", "head"):
        await db.run(f"DELETE FROM {table} WHERE store = ?", (store,))
    await db.run("UPDATE store SET epoch = ? WHERE id = ?", (_epoch(), store))


def _epoch() -> int:
    """Return a number that no index had before, in this journal or in one that was lost."""
    return secrets.randbits(62)


async def put(db: Connection, store: int, found: Mapping[Key, Entry]) -> tuple[int, int]:
    """Put the entries *found* in place of what is known of their keys, in the transaction that is open.

    Those that are new get the next number of the sequence. Returns the number before, and after.
    """
    before = int(await db.value("SELECT seq FROM store WHERE id = ?", (store,)))
    known = await _entries(db, store, found)
    changed = {key: each for key, each in found.items() if known.get(key, ABSENT) != each}
    if not changed:
        return before, before
    await db.run_many(
        "INSERT OR REPLACE INTO entry (store, project, label, state, digest, problem, seq)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (store, *columns(key), int(each.state), each.digest, _column(each.problem), before + 1)
            for key, each in changed.items()
        ],
    )
    await _count(db, store, {key: (known.get(key, ABSENT), each) for key, each in changed.items()})
    await db.run("UPDATE store SET seq = ? WHERE id = ?", (before + 1, store))
    return before, before + 1


async def _count(db: Connection, store: int, changed: Mapping[Key, tuple[Entry, Entry]]) -> None:
    """Count by project what was known of each key, and what is known now."""
    grown: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for key, (before, now) in changed.items():
        for each, sign in ((before, -1), (now, 1)):
            if each.state is not State.ABSENT:
                grown[key.project][0 if each.is_readable else 1] += sign
    await db.run_many(
        "INSERT INTO held (store, project, readable, unreadable) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET readable = readable + excluded.readable,"
        " unreadable = unreadable + excluded.unreadable",
        [(store, _column(project), *counts) for project, counts in grown.items()],
    )


async def _entries(db: Connection, store: int, keys: Collection[Key]) -> dict[Key, Entry]:
    if len(keys) > MANY:
        rows = await db.fetch(f"{_SELECT} WHERE store = ?", (store,))
        wanted = keys if isinstance(keys, (set, frozenset, dict)) else set(keys)
        return {key: each for key, each in map(_read, rows) if key in wanted}
    found: dict[Key, Entry] = {}
    listed = list(keys)
    for start in range(0, len(listed), _ASKED):
        chunk = listed[start : start + _ASKED]
        query = (
            f"{_SELECT} WHERE store = ? AND (project, label) IN (VALUES {', '.join(['(?, ?)'] * len(chunk))})"
        )
        found.update(map(_read, await db.fetch(query, (store, *chain.from_iterable(map(columns, chunk))))))
    return found


async def _present(db: Connection, store: int, projects: Collection[str] | None) -> dict[Key, Entry]:
    rows = await db.fetch(f"{_SELECT} WHERE store = ? AND state > 0", (store,))
    return {key: each for key, each in map(_read, rows) if projects is None or key.project in projects}


_SELECT = "SELECT project, label, state, digest, problem FROM entry"


def _read(row: Sequence[object]) -> tuple[Key, Entry]:
    project, label, state, digest, problem = row
    assert isinstance(state, int)
    assert digest is None or isinstance(digest, bytes)
    return key_of(project, label), Entry(State(state), digest, _text(problem))


def key_of(project: object, label: object) -> Key:
    """Return the key that two columns of an index have."""
    return Key(_text(project), _text(label))


def columns(key: Key) -> tuple[str | bytes, str | bytes]:
    """Return the two columns that an index has for *key*."""
    return _column(key.project), _column(key.label)


def _column(text: str) -> str | bytes:
    """Return what a column has for *text*: a name that is no text is kept as well, as bytes."""
    if text.isascii():
        return text
    encoded = text.encode("utf-8", "surrogatepass")
    try:
        encoded.decode("utf-8")
    except UnicodeDecodeError:
        return encoded
    return text


def _text(column: object) -> str:
    if isinstance(column, bytes):
        return column.decode("utf-8", "surrogatepass")
    assert isinstance(column, str)
    return column


def _scope(projects: Collection[str] | None) -> str:
    return "" if projects is None else json.dumps(sorted(projects))


async def clear_all(db: Connection) -> None:
    """Forget the entries of all stores, in the transaction that is open."""
    for (number,) in await db.fetch("SELECT id FROM store"):
        await clear(db, number)
