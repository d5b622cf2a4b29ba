"""The Django schema as a store: pages to read, short transactions to write."""

from __future__ import annotations

import sqlite3
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import anyio

from smtd.errors import RecordUnusable, StoreUnreachable
from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.life import is_final
from smtd.records.record import Key, Record
from smtd.sqlite import Connection, translated
from smtd.stores.base import DONE, STALE, Capabilities, Change, Outcome, Result, Scan, Token
from smtd.stores.django import reader, rows
from smtd.stores.django.reader import Found, Raw, RowIds
from smtd.stores.django.rows import Columns
from smtd.stores.django.sqlite import SqliteFile
from smtd.stores.django.writer import Insert, Update, Writer

#: Records a transaction where `smt` may be working (measured: it then waits 35 ms at most).
SHARED_BATCH = 100
#: Records a transaction in a store that smtd has just made.
FRESH_BATCH = 5000


class _Seen(NamedTuple):
    mark: int
    key: Key
    digest: Digest
    final: bool
    problem: str = ""


class DjangoStore:
    """A relational store of Sumatra 0.8.1 in *database*; *location* is how a person named it."""

    kind = "sqlite"

    def __init__(self, database: SqliteFile, location: str) -> None:
        self.location = location
        self._database = database
        self._ids = RowIds()
        self._writer = Writer()
        self._generation = 0
        #: What the rows said at the last scan, by their ids.
        self._seen: dict[int, _Seen] = {}
        #: When that was, and of which projects; and the keys that were written to since.
        self._scanned: tuple[int | None, frozenset[str] | None] | None = None
        self._written: set[Key] = set()

    def __repr__(self) -> str:
        return f"DjangoStore({self.location!r})"

    @property
    def capabilities(self) -> Capabilities:
        batch = FRESH_BATCH if self._database.is_new else SHARED_BATCH
        return Capabilities(exclusive_writes=True, batch=batch, keeps_opaque=False)

    async def projects(self) -> list[str]:
        with self._translating():
            db = await self._connection()
            found = await db.fetch("SELECT id FROM django_store_project") if db else []
        return sorted(name for (name,) in found)

    async def scan(self, projects: Collection[str] | None = None) -> Scan:
        with self._translating():
            await self._database.settle()
            db = await self._connection()
            if db is None:
                return Scan({})
            # Asked before the look: a commit of others during it makes the next look a whole one.
            state = (self._database.version, None if projects is None else frozenset(projects))
            if state == self._scanned:
                await self._look_again(db)
            else:
                self._seen = await self._look(db, projects)
            self._scanned = state
            self._written.clear()
        return _scan(self._seen.values())

    async def _look(self, db: Connection, projects: Collection[str] | None) -> dict[int, _Seen]:
        """Look at every row, and understand those that are not as they were at the last scan."""
        seen: dict[int, _Seen] = {}
        async for page in reader.pages(db, projects):
            for raw in page:
                mark = raw.mark
                one = self._seen.get(raw.row_id)
                seen[raw.row_id] = one if one is not None and one.mark == mark else _looked_at(raw)
        return seen

    async def _look_again(self, db: Connection) -> None:
        """Look at what only this store has written to since the last scan."""
        if not self._written:
            return
        ids = await self._ids.of(db, self._written)
        async with db.transaction("DEFERRED"):
            there = {raw.row_id: _looked_at(raw) for raw in await reader.by_id(db, ids)}
        for row_id in ids:
            self._seen.pop(row_id, None)
        self._seen |= there

    async def read(self, keys: Collection[Key]) -> dict[Key, Record]:
        with self._translating():
            db = await self._connection()
            if db is None or not keys:
                return {}
            async with db.transaction("DEFERRED"):
                found = [raw.found() for raw in await reader.by_id(db, await self._ids.of(db, keys))]
        return _unambiguous(found)

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        self._written |= {change.key for change in changes}
        with self._translating():
            await self._database.create()
            size = self.capabilities.batch or len(changes)
            for start in range(0, len(changes), size):
                began = time.monotonic()
                outcomes += await self._write_batch(changes[start : start + size])
                if not self._database.is_new:
                    # Leave the lock to others for as long as it was held.
                    await anyio.sleep(time.monotonic() - began)
        return outcomes

    async def token(self) -> Token | None:
        with self._translating():
            return await self._database.token()

    async def unchanged_since(self, token: Token) -> bool:
        with self._translating():
            return await self._database.unchanged_since(token)

    async def _connection(self) -> Connection | None:
        """Return the connection (None: there are no tables yet); forget what an older file held."""
        db = await self._database.connection()
        if self._database.generation != self._generation:
            self._generation = self._database.generation
            self._ids.forget()
            self._writer.forget()
            self._scanned = None
        return db

    @contextmanager
    def _translating(self) -> Iterator[None]:
        """Turn what SQLite says into errors of ours."""
        try:
            yield
        except sqlite3.Error as exc:
            raise translated(exc, self.location) from exc
        except OSError as exc:
            raise StoreUnreachable(f"{self.location} cannot be read: {exc.strerror}") from exc

    async def _write_batch(self, changes: Sequence[Change]) -> list[Outcome]:
        """Make *changes* in one transaction or, if that fails, each in one of its own."""
        try:
            return await self._transact(changes)
        except (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, UnicodeError):
            return [outcome for change in changes for outcome in await self._alone(change)]

    async def _alone(self, change: Change) -> list[Outcome]:
        try:
            return await self._transact([change])
        except (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, UnicodeError) as exc:
            return [Outcome(Result.REFUSED, f"the database refused it: {exc}")]

    async def _transact(self, changes: Sequence[Change]) -> list[Outcome]:
        prepared = [_prepared(change) for change in changes]
        db = await self._connection()
        assert db is not None, "made by create()"
        try:
            async with db.transaction():
                held = await self._held(db, [change.key for change in changes])
                outcomes = [
                    _outcome(change, columns, held[change.key])
                    for change, columns in zip(changes, prepared, strict=True)
                ]
                await self._apply(
                    db,
                    [
                        (change, columns, held[change.key])
                        for change, columns, outcome in zip(changes, prepared, outcomes, strict=True)
                        if outcome is DONE
                    ],
                )
        except BaseException:
            self._writer.forget()
            self._ids.forget()
            raise
        return outcomes

    async def _held(self, db: Connection, keys: Collection[Key]) -> dict[Key, list[Found]]:
        """Return the rows that bear one of *keys* at this moment of the transaction."""
        held: dict[Key, list[Found]] = defaultdict(list)
        for raw in await reader.by_id(db, await self._ids.of(db, keys)):
            found = raw.found()
            held[found.key].append(found)
        return held

    async def _apply(
        self, db: Connection, todo: Sequence[tuple[Change, Columns | RecordUnusable | None, list[Found]]]
    ) -> None:
        inserts, deletes = [], []
        for change, columns, held in todo:
            if columns is None:
                deletes += [found.row_id for found in held]
            elif not held:
                inserts.append(Insert(change.key, _fit(columns)))
            for found in held if columns is not None else ():
                await self._writer.update(db, Update(found.row_id, _fit(columns), _changed(found, change)))
        await self._writer.delete(db, deletes)
        await self._writer.insert(db, inserts)


def _unambiguous(found: Sequence[Found]) -> dict[Key, Record]:
    """Return the readable records but those of keys under which rows say different things."""
    records: dict[Key, Record] = {}
    ambiguous = {row.key for row in found if isinstance(row.record, RecordUnusable)}
    for row in found:
        if isinstance(row.record, Record):
            first = records.setdefault(row.key, row.record)
            if first is not row.record and canonical.digest(first) != canonical.digest(row.record):
                ambiguous.add(row.key)
    return {key: record for key, record in records.items() if key not in ambiguous}


def _looked_at(raw: Raw) -> _Seen:
    found = raw.found()
    try:
        return _Seen(raw.mark, found.key, _digest(found), is_final(_record(found)))
    except RecordUnusable as exc:
        return _Seen(raw.mark, found.key, b"", True, str(exc))


def _scan(seen: Iterable[_Seen]) -> Scan:
    digests: dict[Key, Digest] = {}
    unreadable: dict[Key, str] = {}
    unfinished: set[Key] = set()
    for one in seen:
        if one.problem:
            unreadable[one.key] = one.problem
            continue
        if digests.setdefault(one.key, one.digest) != one.digest:
            unreadable[one.key] = "two different records bear this label"
        if not one.final:
            unfinished.add(one.key)
    for key in unreadable:
        digests.pop(key, None)
        unfinished.discard(key)
    return Scan(digests, unfinished, unreadable)


def _digest(found: Found) -> Digest:
    return canonical.digest(_record(found))


def _record(found: Found) -> Record:
    if isinstance(found.record, RecordUnusable):
        raise found.record
    return found.record


def _prepared(change: Change) -> Columns | RecordUnusable | None:
    """Return what to write (None: nothing is to be left), or why it cannot be written."""
    try:
        return None if change.record is None else rows.columns(change.record)
    except RecordUnusable as exc:
        return exc


def _fit(columns: Columns | RecordUnusable | None) -> Columns:
    assert isinstance(columns, Columns), "refused before"
    return columns


def _outcome(change: Change, columns: Columns | RecordUnusable | None, held: list[Found]) -> Outcome:
    """Decide what becomes of *change*, given the rows that bear its key now."""
    if isinstance(columns, RecordUnusable):
        return Outcome(Result.REFUSED, str(columns))
    try:
        digests = {_digest(found) for found in held}
    except RecordUnusable:
        return STALE
    expected = set() if change.expect is None else {change.expect}
    return DONE if digests == expected else STALE


def _changed(found: Found, change: Change) -> list[str]:
    """Return the fields to write: those that do not say the same already."""
    assert change.record is not None, "a deletion has no fields"
    return canonical.differences(_record(found), change.record)
