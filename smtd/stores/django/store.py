"""A store in the Django schema: it reads pages, and writes in short transactions."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial

import anyio

from smtd.errors import RecordUnusable
from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.record import BAD_VALUE, Key, Record, bad_value, is_plain
from smtd.stores.base import DONE, STALE, Capabilities, Change, Outcome, Result, Scan, Token
from smtd.stores.django import reader, rows
from smtd.stores.django.connection import DatabaseConnection
from smtd.stores.django.database import Database, Tracker, translating_errors
from smtd.stores.django.ids import RowIds
from smtd.stores.django.reader import DecodedRow, EncodedRow
from smtd.stores.django.record_rows import RecordRows, RowChange, record_of
from smtd.stores.django.rows import Columns
from smtd.stores.django.shared_rows import RowNotStored
from smtd.stores.django.writer import RowWriter
from smtd.stores.index import Busy, Fingerprints, RowIndex, RowLook


class DjangoStore:
    """A relational store of Sumatra 0.8.1 in *database*; *location* is how the user named it."""

    def __init__(self, database: Database, location: str) -> None:
        self.location = location
        self.kind = database.kind
        self._database = database
        self._ids = RowIds()
        self._rows = database.row_tracker(self._ids)
        self._writer = RowWriter()
        self._records = RecordRows(self._ids, self._writer)
        self._generation = 0
        #: The errors for a record that the tables do not accept.
        self._refusals: tuple[type[Exception], ...] = (*database.refusals, RowNotStored)
        #: The changes of the last call of `write`.
        self._last_changes: dict[Key, Change] = {}
        #: The last look was partial.
        self._is_partial = False

    def __repr__(self) -> str:
        return f"DjangoStore({self.location!r})"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            exclusive_writes=True,
            batch=self._database.batch,
            keeps_opaque=False,
            read_only=self._database.obstacle,
            saves_records=True,
            resumes=self._rows.resumes,
            tracks=self._rows.tracker is not None,
        )

    async def projects(self) -> list[str]:
        with translating_errors(self._database):
            async with self._session() as db:
                found = await db.fetch("SELECT id FROM django_store_project") if db else []
        return sorted(name for (name,) in found if isinstance(name, str) and is_plain(name))

    async def scan(self, projects: Collection[str] | None = None) -> Scan:
        with translating_errors(self._database):
            await self._rows.settle()
            async with self._session() as db:
                if db is None:
                    return self._rows.nothing(projects)
                return await self._rows.look(db, projects)

    @property
    def _tracker(self) -> Tracker:
        assert self._rows.tracker is not None, "its capabilities say whether it tracks"
        return self._rows.tracker

    async def track(
        self,
        index: RowIndex,
        recheck: Collection[Key] = (),
        *,
        recheck_all: bool = False,
        may_be_partial: bool = False,
    ) -> RowLook:
        with translating_errors(self._database):
            is_quiet, began = await self._rows.settle(wait=False), time.time()
            async with self._session() as db:
                if db is None:
                    self._rows.nothing(None)
                    return RowLook({}, {}, whole=True, settled=True)
                self._ids.forget()
                new = None
                if may_be_partial and is_quiet and not (self._is_partial or recheck or recheck_all):
                    new = await self._tracker.track_new(db, index)
                self._is_partial = new is not None
                look = new or await self._tracker.track(db, index, recheck, recheck_all=recheck_all)
        if is_quiet and look.settled:
            return look
        return look._replace(busy=Busy(began, max(began, time.time())))

    async def follow(self, index: RowIndex) -> None:
        await self._ids.follow(index)

    async def fingerprint_all(
        self, index: RowIndex
    ) -> tuple[Fingerprints, Mapping[Key, Sequence[int]]] | None:
        with translating_errors(self._database):
            async with self._session() as db:
                return (
                    None if db is None or self._is_partial else await self._tracker.fingerprint_all(db, index)
                )

    async def read(self, keys: Collection[Key]) -> dict[Key, Record]:
        if not keys:
            return {}
        with translating_errors(self._database):
            async with self._session() as db:
                if db is None:
                    return {}
                indexed = await self._ids.indexed(keys)
                raws = await db.at_once(partial(self._raws, db, keys, indexed))
        found = [raw.found() for raw in raws]
        for raw, one in zip(raws, found, strict=True):
            if isinstance(one.record, Record):
                self._set_known_digest(raw, one.key, one.record)
        return _unambiguous(found)

    async def _raws(
        self, db: DatabaseConnection, keys: Collection[Key], indexed: Collection[int]
    ) -> list[EncodedRow]:
        """Return the rows of *keys* from one snapshot."""
        async with db.reading():
            raws = await reader.by_id(db, await self._ids.of(db, keys, indexed))
        await db.release()
        return raws

    def _set_known_digest(self, raw: EncodedRow, key: Key, record: Record) -> None:
        """Set the digest of *record* without computing it, if it is known or this object wrote the record."""
        digest, change = self._rows.digest(raw), self._last_changes.get(key)
        wrote = None if change is None else change.record
        if digest is None and wrote is not None and canonical.identical(wrote, record):
            digest = canonical.digest(wrote)
        if digest is not None:
            canonical.set_digest(record, digest)

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        if self._is_partial:
            self._ids.forget()  # a row that was not looked at may bear another key by now
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

    async def token(self) -> Token | None:
        with translating_errors(self._database):
            return None if self._is_partial else await self._rows.token()

    async def unchanged_since(self, token: Token) -> bool:
        with translating_errors(self._database):
            return self._known_whole(await self._rows.unchanged_since(token))

    async def flush(self) -> None:
        with translating_errors(self._database):
            await self._database.flush()

    def rest(self) -> None:
        self._writer.rest()
        self._last_changes.clear()
        self._rows.rest()
        self._ids.rest()

    async def resume(self, token: Token) -> bool:
        with translating_errors(self._database):
            return self._known_whole(await self._rows.resume(token))

    def _known_whole(self, is_same: bool) -> bool:
        """Note if the database *is_same* as at a token: another object has looked at everything since."""
        self._is_partial = self._is_partial and not is_same
        return is_same

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[DatabaseConnection | None]:
        """Yield a connection (None: no tables yet); forget what was learned of a replaced database."""
        async with self._database.session() as db:
            if self._database.generation != self._generation:
                self._generation = self._database.generation
                self._records.forget()
                self._rows.forget()
            yield db

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
        prepared = [self._prepared(change) for change in changes]
        async with self._session() as db:
            assert db is not None, "made by create()"
            indexed = await self._ids.indexed([change.key for change in changes])
            try:
                outcomes, written, marks = await db.at_once(
                    partial(self._change, db, changes, prepared, indexed)
                )
            except BaseException:
                self._records.forget()
                raise
        self._rows.wrote(written, marks)
        return outcomes

    async def _change(
        self,
        db: DatabaseConnection,
        changes: Sequence[Change],
        prepared: Sequence[Columns | RecordUnusable | None],
        indexed: Collection[int],
    ) -> tuple[list[Outcome], list[int], Mapping[int, int]]:
        """Make *changes* in one transaction; return outcomes, the ids of written rows, and their marks."""
        async with db.writing():
            keys = [change.key for change in changes]
            held = await self._records.held(db, keys, indexed)
            collisions = await self._database.collisions(db, [key for key in keys if key not in held])
            outcomes = [
                _outcome(change, columns, held[change.key], collisions.get(change.key, ""))
                for change, columns in zip(changes, prepared, strict=True)
            ]
            written = await self._records.change(
                db,
                [
                    RowChange(change.key, change.record, _columns_of(columns), held[change.key])
                    for change, columns, outcome in zip(changes, prepared, outcomes, strict=True)
                    if outcome is DONE
                ],
            )
            return outcomes, written, await self._rows.marks(db, written)

    def _prepared(self, change: Change) -> Columns | RecordUnusable | None:
        """Return what to write (None: the change is a deletion), or why it cannot be written."""
        if change.record is None:
            return None
        try:
            return self._database.as_stored(change.key, rows.columns(change.record))
        except RecordUnusable as exc:
            return exc
        except BAD_VALUE as exc:
            return bad_value(exc)


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


def _columns_of(columns: Columns | RecordUnusable | None) -> Columns | None:
    assert not isinstance(columns, RecordUnusable), "refused before"
    return columns


def _outcome(
    change: Change, columns: Columns | RecordUnusable | None, held: list[DecodedRow], clash: str
) -> Outcome:
    """Return the outcome of *change*, given the rows that have its key now.

    *clash*: why no record can be added under the key (empty: one can).
    """
    if isinstance(columns, RecordUnusable):
        return Outcome(Result.REFUSED, str(columns))
    try:
        digests = {_digest(found) for found in held}
    except RecordUnusable:
        return STALE
    expected = set() if change.expect is None else {change.expect}
    if digests != expected:
        return STALE
    return Outcome(Result.REFUSED, clash) if clash and columns is not None else DONE
