"""What stores in the Django schema have in common: they read by key, and write in short transactions."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import anyio

from smtd.errors import RecordUnusable, StoreUnreachable
from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.record import BAD_VALUE, Key, Record, bad_value, is_plain
from smtd.stores.base import DONE, STALE, Capabilities, Change, Outcome, Result
from smtd.stores.django import reader, rows
from smtd.stores.django.connection import DatabaseConnection
from smtd.stores.django.database import Database, translating_errors
from smtd.stores.django.ids import RowIds
from smtd.stores.django.reader import DecodedRow, EncodedRow
from smtd.stores.django.record_rows import RecordRows, RowChange, record_of
from smtd.stores.django.rows import Columns
from smtd.stores.django.shared_rows import RowNotStored
from smtd.stores.django.writer import RowWriter

T = TypeVar("T")


class DjangoStore(ABC):
    """A relational store of Sumatra 0.8.1 in *database*; *location* is how the user named it.

    The store of each kind of database adds how it learns what others have changed: its scans and tokens.
    """

    def __init__(self, database: Database, location: str) -> None:
        self.location = location
        self.kind = database.kind
        self._database = database
        self._ids = RowIds()
        self._writer = RowWriter()
        self._records = RecordRows(self._ids, self._writer)
        self._generation = 0
        #: The errors for a record that the tables do not accept.
        self._refusals: tuple[type[Exception], ...] = (*database.refusals, RowNotStored)
        #: The changes of the last call of `write`.
        self._last_changes: dict[Key, Change] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.location!r})"

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What this kind of database can do, with the limits of the present one."""

    async def projects(self) -> list[str]:
        with translating_errors(self._database):
            async with self._session() as db:
                found = await db.fetch("SELECT id FROM django_store_project") if db else []
        return sorted(name for (name,) in found if isinstance(name, str) and is_plain(name))

    @abstractmethod
    def _forget(self) -> None:
        """Forget what was learned of the rows: the database was replaced."""

    def _digest(self, raw: EncodedRow) -> Digest | None:
        """Return the digest of the record in *raw* (None: the row must be decoded for that)."""
        return None

    async def _versions(self, db: DatabaseConnection, ids: Collection[int]) -> Mapping[int, int]:
        """Return the versions of the rows of *ids*, which other writes would change; called while writing."""
        return {}

    def _wrote(self, ids: Collection[int], versions: Mapping[int, int]) -> None:  # noqa: B027 - a file needs no note
        """Note that this object wrote the rows of *ids*, which now have *versions* (without one: gone)."""

    async def read(self, keys: Collection[Key]) -> dict[Key, Record]:
        if not keys:
            return {}
        with translating_errors(self._database):
            indexed = await self._ids.indexed(keys)
            raws = await self._at_once(partial(self._raws, keys, indexed)) or []
        found = [raw.found() for raw in raws]
        for raw, one in zip(raws, found, strict=True):
            if isinstance(one.record, Record):
                self._set_known_digest(raw, one.key, one.record)
        return _unambiguous(found)

    async def _raws(
        self, keys: Collection[Key], indexed: Collection[int], db: DatabaseConnection
    ) -> list[EncodedRow]:
        """Return the rows of *keys* from one snapshot."""
        async with db.reading():
            raws = await reader.by_id(db, await self._ids.of(db, keys, indexed))
        await db.release()
        return raws

    def _set_known_digest(self, raw: EncodedRow, key: Key, record: Record) -> None:
        """Set the digest of *record* without computing it, if it is known or this object wrote the record."""
        digest, change = self._digest(raw), self._last_changes.get(key)
        wrote = None if change is None else change.record
        if digest is None and wrote is not None and canonical.identical(wrote, record):
            digest = canonical.digest(wrote)
        if digest is not None:
            canonical.set_digest(record, digest)

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        self._last_changes = {change.key: change for change in changes}
        with translating_errors(self._database):
            await self._database.create()
            size = self._database.batch
            for start in range(0, len(changes), size):
                began = time.monotonic()
                outcomes += await self._write_batch(changes[start : start + size])
                if self._database.has_unfair_lock:
                    # Leave the lock to others for as long as it was held.
                    await anyio.sleep(time.monotonic() - began)
        return outcomes

    async def flush(self) -> None:
        with translating_errors(self._database):
            await self._database.flush()

    def rest(self) -> None:
        self._writer.rest()
        self._last_changes.clear()
        self._ids.rest()

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[DatabaseConnection | None]:
        """Yield a connection (None: no tables yet); forget what was learned of a replaced database."""
        async with self._database.session() as db:
            if self._database.generation != self._generation:
                self._generation = self._database.generation
                self._records.forget()
                self._forget()
            yield db

    async def _at_once(self, work: Callable[[DatabaseConnection], Coroutine[Any, Any, T]]) -> T | None:
        """Return the result of *work*, which awaits only the connection it gets; None without tables."""
        async with self._session() as db:
            return None if db is None else await db.at_once(partial(work, db))

    async def _write_batch(self, changes: Sequence[Change]) -> list[Outcome]:
        """Make *changes* in one transaction or, if that fails, each in one of its own."""
        try:
            return await self._transact(changes)
        except self._refusals:
            return [outcome for change in changes for outcome in await self._write_one(change)]

    async def _write_one(self, change: Change) -> list[Outcome]:
        try:
            return await self._transact([change])
        except self._refusals as exc:
            return [Outcome(Result.REFUSED, f"the database refused it: {exc}")]

    async def _transact(self, changes: Sequence[Change]) -> list[Outcome]:
        outcomes: dict[Key, Outcome] = {}
        fit: list[tuple[Change, Columns | None]] = []
        for change in changes:
            try:
                fit.append((change, self._columns(change)))
            except RecordUnusable as exc:
                outcomes[change.key] = Outcome(Result.REFUSED, str(exc))
        indexed = await self._ids.indexed([change.key for change, _ in fit])
        try:
            done = await self._at_once(partial(self._change, fit, indexed))
        except BaseException:
            self._records.forget()
            raise
        if done is None:
            raise StoreUnreachable(f"{self.location} was replaced by an empty file; smtd looks at it again")
        made, written, versions = done
        self._wrote(written, versions)
        outcomes |= made
        return [outcomes[change.key] for change in changes]

    async def _change(
        self,
        changes: Sequence[tuple[Change, Columns | None]],
        indexed: Collection[int],
        db: DatabaseConnection,
    ) -> tuple[dict[Key, Outcome], list[int], Mapping[int, int]]:
        """Make *changes* in one transaction; return outcomes, the ids of written rows, and their versions."""
        async with db.writing():
            keys = [change.key for change, _ in changes]
            held = await self._records.held(db, keys, indexed)
            collisions = await self._database.collisions(db, [key for key in keys if key not in held])
            outcomes = {
                change.key: _outcome(change, held[change.key], collisions.get(change.key, ""))
                for change, _ in changes
            }
            written = await self._records.change(
                db,
                [
                    RowChange(change.key, change.record, columns, held[change.key])
                    for change, columns in changes
                    if outcomes[change.key] is DONE
                ],
            )
            return outcomes, written, await self._versions(db, written)

    def _columns(self, change: Change) -> Columns | None:
        """Return what to write (None: it is a deletion). Raises RecordUnusable if it cannot be written."""
        if change.record is None:
            return None
        try:
            return self._database.as_stored(change.key, rows.columns(change.record))
        except BAD_VALUE as exc:
            raise bad_value(exc) from exc


def _unambiguous(found: Sequence[DecodedRow]) -> dict[Key, Record]:
    """Return the records, without those of keys of which a row is unreadable or two rows differ."""
    records: dict[Key, Record] = {}
    ambiguous = {row.key for row in found if isinstance(row.record, RecordUnusable)}
    for row in found:
        if isinstance(row.record, Record):
            first = records.setdefault(row.key, row.record)
            if first is not row.record and canonical.digest(first) != canonical.digest(row.record):
                ambiguous.add(row.key)
    return {key: record for key, record in records.items() if key not in ambiguous}


def _digest(found: DecodedRow) -> Digest:
    return canonical.digest(record_of(found))


def _outcome(change: Change, held: list[DecodedRow], clash: str) -> Outcome:
    """Return the outcome of *change*, given the rows that have its key now.

    *clash*: why no record can be added under the key (empty: one can).
    """
    try:
        digests = {_digest(found) for found in held}
    except RecordUnusable:
        return STALE
    expected = set() if change.expect is None else {change.expect}
    if digests != expected:
        return STALE
    return Outcome(Result.REFUSED, clash) if clash and change.record is not None else DONE
