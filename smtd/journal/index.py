"""The index of a store: what was last seen there, numbered by a sequence of its changes.

An index belongs to a store, not to a pair. Each entry has the number of the change that it came with. So who
remembers up to which number it knows the entries finds what has changed since.
"""

from __future__ import annotations

import json
import secrets
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import NamedTuple, TypeVar

from smtd.records import canonical
from smtd.records.record import Key
from smtd.sqlite import Connection
from smtd.stores.base import Token
from smtd.stores.index import ABSENT, Block, Entry, Fingerprints, RowLook, State

T = TypeVar("T")

#: Keys that are asked for in one query: SQLite takes 999 values.
_ASKED = 400
#: From so many keys on it takes longer to ask for each than for all there are.
MANY = 5000


#: So many records that changed last are the newest of a store.
NEWEST = 100
#: Where the number of a row that bears a key is kept: most keys have one.
_ROWS = (("entry", "row"), ("extra_row", "id"))


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
        query = "SELECT id, reader FROM store WHERE location = ?"
        if (known := await self._db.fetch(query, (self.location,))) and known[0][1] == reader:
            self._number = known[0][0]
            return
        async with self._db.transaction():
            await self._db.run(
                "INSERT OR IGNORE INTO store (location, reader, epoch, seq) VALUES (?, ?, ?, 0)",
                (self.location, reader, _epoch()),
            )
            ((self._number, found),) = await self._db.fetch(query, (self.location,))
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

    async def set_head(self, projects: Collection[str] | None, head: Token | None, at: Cursor) -> None:
        """Remember that a store that looks like *head* holds what the entries of *projects* say up to *at*.

        Nothing is remembered if others have changed an entry since: whoever did may have looked earlier.
        """
        async with self._db.transaction():
            if await self.cursor() == at:
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

    async def newest(self, projects: Collection[str] | None) -> dict[Key, float | None]:
        """Return the `NEWEST` records of *projects* (None: of all) that changed last, the last one first.

        Of those that changed together the larger labels come first: they are of later runs. With each comes
        when it was last read, in seconds since 1970 (None: nobody knows).
        """
        rows = await self._db.fetch(
            "SELECT project, label, read FROM entry WHERE store = ? AND state > 0"
            " ORDER BY seq DESC, label DESC, project LIMIT ?",
            (await self._id(), NEWEST if projects is None else -1),
        )
        found = ((key_of(project, label), read) for project, label, read in rows)
        return dict(
            islice((each for each in found if projects is None or each[0].project in projects), NEWEST)
        )

    async def looked(self) -> float | None:
        """Return when records were last read again (None: never), in seconds since 1970."""
        found: float | None = await self._db.value(
            "SELECT looked FROM store WHERE id = ?", (await self._id(),)
        )
        return found

    async def note_reads(self, keys: Collection[Key], moment: float, looked: float | None) -> None:
        """Remember that the records of *keys* were read at *moment*, and when some were last read again."""
        async with self._db.transaction():
            await self._db.run_many(
                "UPDATE entry SET read = ? WHERE store = ? AND project = ? AND label = ?",
                [(moment, await self._id(), *columns(key)) for key in keys],
            )
            await self._db.run("UPDATE store SET looked = ? WHERE id = ?", (looked, await self._id()))

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
        since: Cursor | None = None,
    ) -> Cursor | None:
        """Remember what a look at *projects* (None: all) has *found*; return where the sequence is then.

        *whole*: there are no other records. *head* is what the store looks like if nobody wrote since. The
        look began when the sequence was at *since* (None: nobody else looks). What others have noted after
        that stays, as it may be what came later; and None is returned, as it may have come earlier, too:
        the store is to be looked at again, whole.
        """
        store = await self._id()
        async with self._db.transaction():
            if whole:
                gone = (await _present(self._db, store, projects)).keys() - found.keys()
                found = {**found, **dict.fromkeys(gone, ABSENT)}
            newer = await self._newer(since)
            if newer is not None:
                found, head = {key: each for key, each in found.items() if key not in newer}, None
            before, after = await put(self._db, store, found)
            if before != after:
                await self._void_heads(Cursor(0, before))
            await self._set_head(projects, head)
            return await self.cursor() if newer is None else None

    async def _void_heads(self, cursor: Cursor) -> None:
        """Forget the heads of projects whose entries changed after *cursor*: they are of other entries."""
        changed = {project for project, _ in await self.changed_since(cursor, None)}
        query = "SELECT projects FROM head WHERE store = ?"
        for (scope,) in await self._db.fetch(query, (await self._id(),)):
            if not scope or not changed.isdisjoint(json.loads(scope)):
                await self._db.run(
                    "DELETE FROM head WHERE store = ? AND projects = ?", (await self._id(), scope)
                )

    async def _newer(self, since: Cursor | None) -> Collection[Key] | None:
        """Return the keys whose entries others have changed after *since*; None: they have done nothing."""
        if since is None or await self.cursor() == since:
            return None
        return await self.changed_since(since, None)

    async def fingerprints(self) -> Fingerprints | None:
        """Return what all rows of the store looked like (None: nobody knows)."""
        said = await self._db.value("SELECT blocks FROM store WHERE id = ?", (await self._id(),))
        if said is None:
            return None
        sizes, average, scheme = json.loads(said)
        blocks: list[dict[int, Block]] = [{} for _ in sizes]
        for place, number, mark, owners in await self._db.fetch(
            "SELECT place, block, mark, owners FROM fingerprint WHERE store = ?", (await self._id(),)
        ):
            blocks[place][number] = Block(mark, owners)
        return Fingerprints(sizes, average, blocks, scheme)

    async def rows_of(self, keys: Collection[Key]) -> dict[Key, list[int]]:
        """Return the numbers of the rows that bore *keys*."""
        found: dict[Key, list[int]] = defaultdict(list)
        for chunk in _chunks(list(keys)):
            begin, given = _wanted(chunk)
            for table, column in _ROWS:
                query = (
                    f"{begin} SELECT e.project, e.label, e.{column} FROM wanted w CROSS JOIN {table} e"
                    " ON e.store = ? AND e.project = w.project AND e.label = w.label"
                )
                for project, label, row in await self._db.fetch(query, (*given, await self._id())):
                    if row is not None:
                        found[key_of(project, label)].append(row)
        return found

    async def keys_of(self, rows: Collection[int]) -> set[Key]:
        """Return the keys that *rows* bore."""
        found: set[Key] = set()
        for chunk in _chunks(list(rows)):
            marks = ", ".join("?" * len(chunk))
            for table, column in _ROWS:
                query = f"SELECT project, label FROM {table} WHERE store = ? AND {column} IN ({marks})"
                found.update(key_of(*row) for row in await self._db.fetch(query, (await self._id(), *chunk)))
        return found

    async def highest_row(self) -> int | None:
        """Return the highest number of a row (None: there is none)."""
        tops = [
            await self._db.value(
                f"SELECT max({column}) FROM {table} WHERE store = ? AND {column} IS NOT NULL",
                (await self._id(),),
            )
            for table, column in _ROWS
        ]
        return max((int(top) for top in tops if top is not None), default=None)

    async def unlisted(self) -> set[Key]:
        """Return the keys that smtd wrote since the rows were looked at."""
        query = "SELECT project, label FROM entry INDEXED BY entry_unlisted WHERE store = ? AND unlisted"
        return {key_of(*row) for row in await self._db.fetch(query, (await self._id(),))}

    async def must_learn(self, most: int) -> bool:
        """Say whether smtd wrote more than *most* records of whose rows nobody knows what they look like."""
        store = await self._id()
        if await self._db.value("SELECT blocks FROM store WHERE id = ?", (store,)) is None:
            query = "SELECT count(*) FROM entry WHERE store = ? AND state > 0"
        else:
            query = "SELECT count(*) FROM entry INDEXED BY entry_unlisted WHERE store = ? AND unlisted"
        return int(await self._db.value(query, (store,))) > most

    async def update_rows(
        self, look: RowLook, head: Token | None, *, since: Cursor | None = None
    ) -> Cursor | None:
        """Remember what *look* has found; *head* is what the store looks like if nobody wrote since.

        For the rest see `update`: where others were at it, the blocks that differed do so at the next look.
        """
        store = await self._id()
        async with self._db.transaction():
            found = dict(look.found)
            if look.whole:
                gone = (await _present(self._db, store, None)).keys() - found.keys()
                found |= dict.fromkeys(gone, ABSENT)
            if (newer := await self._newer(since)) is not None:
                look, head = look.doubted(newer), None
                found = {key: each for key, each in found.items() if key not in newer}
                await self._unlist(newer)
            await put(self._db, store, found)
            await self._set_rows({**dict.fromkeys(found, ()), **look.rows})
            if look.whole:
                await self._set_fingerprints(look.fingerprints)
            else:
                await self._set_blocks(look.blocks)
            if look.settled:
                listed = [(store, *columns(key)) for key in await self.unlisted() & look.found.keys()]
                query = "UPDATE entry SET unlisted = 0 WHERE store = ? AND project = ? AND label = ?"
                await self._db.run_many(query, listed)
            await self._set_head(None, head)
            return await self.cursor() if newer is None else None

    async def learn(self, fingerprints: Fingerprints, rows: Mapping[Key, Sequence[int]], at: Cursor) -> None:
        """Remember what all rows look like now, and the new *rows*: the entries up to *at* are as they say.

        Nothing is remembered if others have changed an entry since.
        """
        async with self._db.transaction():
            if await self.cursor() != at:
                return
            await self._set_rows(rows)
            await self._set_fingerprints(fingerprints)
            await self._db.run(
                "UPDATE entry SET unlisted = 0 WHERE store = ? AND unlisted", (await self._id(),)
            )

    async def _set_rows(self, rows: Mapping[Key, Sequence[int]]) -> None:
        store = await self._id()
        one = [(numbers[0] if numbers else None, store, *columns(key)) for key, numbers in rows.items()]
        await self._db.run_many(
            "UPDATE entry SET row = ?1 WHERE store = ?2 AND project = ?3 AND label = ?4 AND row IS NOT ?1",
            one,
        )
        await self._db.run_many(
            "DELETE FROM extra_row WHERE store = ? AND project = ? AND label = ?",
            [(store, *columns(key)) for key in rows] if await self._has_extra_rows() else [],
        )
        await self._db.run_many(
            "INSERT OR REPLACE INTO extra_row (store, id, project, label) VALUES (?, ?, ?, ?)",
            [(store, row, *columns(key)) for key, numbers in rows.items() for row in numbers[1:]],
        )

    async def _has_extra_rows(self) -> bool:
        query = "SELECT 1 FROM extra_row WHERE store = ? LIMIT 1"
        return await self._db.value(query, (await self._id(),)) is not None

    async def _set_fingerprints(self, found: Fingerprints | None) -> None:
        store = await self._id()
        await self._db.run("DELETE FROM fingerprint WHERE store = ?", (store,))
        said = None if found is None else json.dumps([list(found.sizes), found.average, found.scheme])
        await self._db.run("UPDATE store SET blocks = ? WHERE id = ?", (said, store))
        if found is not None:
            await self._set_blocks(
                {
                    (place, at): each
                    for place, blocks in enumerate(found.blocks)
                    for at, each in blocks.items()
                }
            )

    async def _set_blocks(self, blocks: Mapping[tuple[int, int], Block | None]) -> None:
        store = await self._id()
        await self._db.run_many(
            "DELETE FROM fingerprint WHERE store = ? AND place = ? AND block = ?",
            [(store, *at) for at, each in blocks.items() if each is None],
        )
        await self._db.run_many(
            "INSERT OR REPLACE INTO fingerprint (store, place, block, mark, owners) VALUES (?, ?, ?, ?, ?)",
            [(store, *at, *each) for at, each in blocks.items() if each is not None],
        )

    async def note(self, found: Mapping[Key, Entry]) -> None:
        """Remember what smtd wrote and read back, in the transaction that is open.

        A store that looks as it did before that was put back to what it was.
        """
        await self._db.run("DELETE FROM head WHERE store = ?", (await self._id(),))
        self._noted.append(await put(self._db, await self._id(), found))
        await self._unlist(found)

    async def _unlist(self, keys: Collection[Key]) -> None:
        """Have *keys* read at the next look, whatever the blocks look like, if there are any."""
        await self._db.run_many(
            "UPDATE entry SET unlisted = 1 WHERE store = ? AND project = ? AND label = ?"
            " AND (SELECT blocks IS NOT NULL FROM store WHERE id = ?)",
            [(await self._id(), *columns(key), await self._id()) for key in keys],
        )

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
    for table in ("entry", "held", "head", "extra_row", "fingerprint"):
        await db.run(f"DELETE FROM {table} WHERE store = ?", (store,))
    await db.run("UPDATE store SET epoch = ?, blocks = NULL WHERE id = ?", (_epoch(), store))


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
        "INSERT INTO entry (store, project, label, state, digest, problem, seq)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET state = excluded.state,"
        " digest = excluded.digest, problem = excluded.problem, seq = excluded.seq",
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
    for chunk in _chunks(list(keys)):
        begin, given = _wanted(chunk)
        query = (
            f"{begin} SELECT e.project, e.label, e.state, e.digest, e.problem"
            " FROM wanted w CROSS JOIN entry e"
            " ON e.store = ? AND e.project = w.project AND e.label = w.label"
        )
        found.update(map(_read, await db.fetch(query, (*given, store))))
    return found


def _wanted(keys: Sequence[Key]) -> tuple[str, list[str | bytes]]:
    """Return how a query begins that is about *keys*, and its first parameters.

    SQLite finds them by the whole of a primary key only in a join: by `IN` it goes through all of a store.
    """
    values = ", ".join(["(?, ?)"] * len(keys))
    return f"WITH wanted (project, label) AS (VALUES {values})", [*chain.from_iterable(map(columns, keys))]


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _ASKED):
        yield items[start : start + _ASKED]


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
