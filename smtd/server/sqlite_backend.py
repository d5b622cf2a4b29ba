"""An SQLite file as the served database: one file, one connection, one process."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import anyio

from smtd.filestat import identity
from smtd.records.record import Key
from smtd.server import change_log, trigger_notes
from smtd.server.alarm import Alarm
from smtd.server.backend import Head, Replaced, UsersFingerprint
from smtd.server.known_rows import KnownRows
from smtd.sqlite import Connection, is_busy
from smtd.stores.django.connection import DatabaseConnection
from smtd.stores.django.database import translating_errors
from smtd.stores.django.reader import DecodedRow
from smtd.stores.django.rows import Columns
from smtd.stores.django.sqlite import SqliteFile

T = TypeVar("T")

#: Seconds that a statement waits for the lock of another program. The BEGIN of a job's transaction does not
#: wait (`writing`): reads use the same connection, and would wait behind it.
_LOCK_TIMEOUT = 10
_WAIT_FOR_LOCKS = f"PRAGMA busy_timeout = {_LOCK_TIMEOUT * 1000}"
#: Seconds without a commit after which the write-ahead log is copied into the file itself (a checkpoint).
_CHECKPOINT_AFTER = 1.0


class SqliteBackend:
    """The database in *file*, open as *db*. The file has the *identity*.

    *is_own*: smtd serve made the file, so that triggers note what other programs write.
    """

    log_change = f"INSERT OR REPLACE INTO {change_log.INTO}"
    is_shared, has_unfair_lock, is_watched, tells_of_writes = False, True, True, False

    def __init__(
        self, file: SqliteFile, db: Connection, identity: tuple[int, int] | None, *, is_own: bool
    ) -> None:
        self.name = str(file.path)
        self.is_own = is_own
        self.commits, self.writes = Alarm(), Alarm()
        self.db = db
        self._file = file
        self._identity = identity
        self._rows = KnownRows(db, is_own=is_own)
        self.records = self._rows.records
        #: The time of the last commit that is certainly in the file itself, and of the last checkpoint tried.
        self._checkpointed = self._checkpoint_tried = float("-inf")

    async def read(self, work: Callable[[DatabaseConnection], Coroutine[Any, Any, T]]) -> T:
        """See `Backend.read`; *work* runs in the thread of the connection (see `Connection.at_once`)."""
        with translating_errors(self._file):
            return await self.db.at_once(partial(work, self.db))

    @asynccontextmanager
    async def writing(self, db: DatabaseConnection) -> AsyncIterator[None]:
        """Open a transaction without waiting; if it fails after it began, forget all known rows.

        If another program has a write transaction open, this fails at once; `read` then raises
        StoreUnreachable.
        """
        self._check_file()
        has_begun = False
        await db.run("PRAGMA busy_timeout = 0")
        try:
            async with db.writing():
                has_begun = True
                await db.run(_WAIT_FOR_LOCKS)
                yield
        except BaseException:
            if has_begun:
                self._rows.forget()
            raise
        finally:
            await db.run(_WAIT_FOR_LOCKS)

    def _check_file(self) -> None:
        if identity(self._file.path) != self._identity:
            raise Replaced(f"{self.name} was replaced by another file while it was served")

    async def head(self, db: DatabaseConnection) -> Head:
        try:
            found = await db.fetch("SELECT seq, (SELECT max(start) FROM smtd_era) FROM smtd_head")
        except sqlite3.OperationalError:
            if await db.value("SELECT count(*) FROM sqlite_master WHERE name = 'smtd_head'"):
                raise
            raise Replaced(f"{self.name} was replaced while it was served: it has no log") from None
        return Head(*found[0])

    async def lock_head(self, db: DatabaseConnection) -> Head:
        head = await self.head(db)
        await self._rows.catch_up()
        await db.run("UPDATE smtd_head SET writes = 1")
        return head

    async def save_head(self, db: DatabaseConnection, seq: int, *, changes_access: bool) -> None:
        await db.run("UPDATE smtd_head SET seq = ?, writes = 0", (seq,))

    async def rows(self, db: DatabaseConnection, keys: Collection[Key]) -> dict[Key, list[DecodedRow]]:
        return await self._rows.rows(keys)

    async def row_ids(self, db: DatabaseConnection, keys: Collection[Key]) -> list[int]:
        return await self._rows.row_ids(keys)

    async def is_logged(self, db: DatabaseConnection, logged_version: Hashable) -> bool:
        return await self.foreign_version(db) == logged_version

    def as_stored(self, key: Key, columns: Columns) -> Columns:
        return self._file.as_stored(key, columns)

    async def collisions(self, db: DatabaseConnection, keys: Collection[Key]) -> Mapping[Key, str]:
        return await self._file.collisions(db, keys)

    def can_hold(self, text: str) -> bool:
        return True

    def is_refusal(self, exc: Exception) -> bool:
        # A text that cannot be encoded is refused before SQLite gets it.
        return isinstance(exc, self._file.refusals)

    def is_broken(self, exc: Exception) -> bool:
        return isinstance(exc, sqlite3.Error)  # for example after a full disk

    def is_locked(self, exc: Exception) -> bool:
        return exc.__cause__ is not None and isinstance(exc.__cause__, Exception) and is_busy(exc.__cause__)

    # What other programs write

    @asynccontextmanager
    async def duty(self) -> AsyncIterator[str]:
        """Begin at once: no other process serves the file."""
        yield ""

    def has_duty(self, term: str) -> bool:
        return True

    async def check_duty(self, db: DatabaseConnection, term: str) -> None:
        """Do nothing: no other process can have it."""

    async def begin_duty(self, db: DatabaseConnection) -> None:
        """Do nothing: nobody else relies on it."""

    async def foreign_version(self, db: DatabaseConnection) -> Hashable:
        """Return `PRAGMA data_version`: commits of other programs change it."""
        self._check_file()
        return int(await db.value("PRAGMA data_version"))

    async def has_triggers(self, db: DatabaseConnection) -> bool:
        return await self._rows.has_triggers()

    async def delete_notes(self, db: DatabaseConnection, note_ids: Sequence[int]) -> None:
        await trigger_notes.delete(db, note_ids)

    async def repair_triggers(self, db: DatabaseConnection) -> None:
        await trigger_notes.repair_triggers(db)

    async def create_triggers(self) -> None:
        """Do nothing: a transaction can create triggers."""

    async def may_differ(self, db: DatabaseConnection) -> bool:
        return True

    async def listen(self, users: UsersFingerprint) -> None:
        """Do nothing: a file announces nothing."""

    async def tidy(self, last_write: float) -> None:
        """Copy the write-ahead log into the file while no program writes: a copy of the file then has all."""
        now = anyio.current_time()
        if (
            self.is_own
            and last_write > self._checkpointed
            and now - max(last_write, self._checkpoint_tried) > _CHECKPOINT_AFTER
        ):
            self._checkpoint_tried = now
            if await self.checkpoint():
                self._checkpointed = last_write

    async def checkpoint(self) -> bool:
        """Copy the write-ahead log into the file itself; say whether all of it is there.

        While another program reads an earlier state, SQLite does not copy later commits.
        """
        found = await self.read(lambda db: db.fetch("PRAGMA wal_checkpoint(PASSIVE)"))
        is_busy, pages, done = found[0]
        return not is_busy and pages == done
