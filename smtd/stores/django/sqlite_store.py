"""A store in an SQLite file, which compares hashes of its rows to find what others have changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Coroutine, Sequence
from functools import cache
from typing import Any

from smtd.records.canonical import Digest
from smtd.stores.base import Capabilities, Change, Outcome, Scan, Token
from smtd.stores.django.connection import DatabaseConnection
from smtd.stores.django.database import translating_errors
from smtd.stores.django.file_tracker import FileTracker
from smtd.stores.django.reader import EncodedRow
from smtd.stores.django.sqlite import SqliteFile
from smtd.stores.django.store import DjangoStore, T
from smtd.stores.index import NO_RECHECK, AllHashed, Busy, Recheck, RowIndex, RowLook


class SqliteStore(DjangoStore):
    """A relational store of Sumatra 0.8.1 in *file*."""

    def __init__(self, file: SqliteFile, location: str) -> None:
        super().__init__(file, location)
        self._file = file
        self._tracker = FileTracker(file, self._ids)
        #: The last look was partial.
        self._is_partial = False

    @property
    def capabilities(self) -> Capabilities:
        return _capabilities(self._file.batch, self._file.obstacle)

    async def scan(self, projects: Collection[str] | None = None) -> Scan:
        with translating_errors(self._file):
            await self._file.begin_look()
            async with self._session() as db:
                if db is None:
                    self._forget()
                    return Scan({})
                return await self._tracker.scan(db, projects)

    async def track(self, index: RowIndex, recheck: Recheck = NO_RECHECK) -> RowLook:
        with translating_errors(self._file):
            is_quiet, began = await self._file.begin_look(wait=False), time.time()
            async with self._session() as db:
                if db is None:
                    self._forget()
                    return RowLook({}, {}, whole=True, undisturbed=True)
                self._ids.forget()
                new = None
                is_all_known = not (self._is_partial or recheck.keys or recheck.everything)
                if recheck.may_be_partial and is_quiet and is_all_known:
                    new = await self._tracker.track_new(db, index)
                self._is_partial = new is not None
                look = new or await self._tracker.track(db, index, recheck)
        if is_quiet and look.undisturbed:
            return look
        return look._replace(busy=Busy(began, max(began, time.time())))

    async def follow(self, index: RowIndex) -> None:
        self._ids.follow(index)

    async def fingerprint_all(self, index: RowIndex) -> AllHashed | None:
        with translating_errors(self._file):
            async with self._session() as db:
                if db is None or self._is_partial:
                    return None
                return await self._tracker.fingerprint_all(db, index)

    async def _at_once(self, work: Callable[[DatabaseConnection], Coroutine[Any, Any, T]]) -> T | None:
        done = await self._file.at_once(work)
        return done[0] if done else await super()._at_once(work)

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        if self._is_partial:
            self._ids.forget()  # a row that was not looked at may bear another key by now
        return await super().write(changes)

    async def token(self) -> Token | None:
        with translating_errors(self._file):
            return None if self._is_partial else await self._file.token()

    async def unchanged_since(self, token: Token) -> bool:
        with translating_errors(self._file):
            return self._known_whole(await self._file.unchanged_since(token))

    async def resume(self, token: Token) -> bool:
        with translating_errors(self._file):
            is_same = await self._file.resume(token)
        if is_same:
            self._tracker.note_version()
        return self._known_whole(is_same)

    def _known_whole(self, is_same: bool) -> bool:
        """Note if the database *is_same* as at a token: another object has looked at everything since."""
        self._is_partial = self._is_partial and not is_same
        return is_same

    def rest(self) -> None:
        super().rest()
        self._tracker.rest()

    def _forget(self) -> None:
        self._tracker.forget()

    def _digest(self, raw: EncodedRow) -> Digest | None:
        return self._tracker.digest(raw)


@cache
def _capabilities(batch: int, obstacle: str) -> Capabilities:
    return Capabilities(
        exclusive_writes=True,
        batch=batch,
        keeps_opaque=False,
        read_only=obstacle,
        saves_records=True,
        resumes=True,
        tracks=True,
    )
