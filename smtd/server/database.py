"""The database that is served: one file, one connection, one process.

What is asked often is in memory and is what the last commit left there: the number of the last change, the
projects, the rights. Everything else is asked for.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import anyio
from anyio import to_thread

from smtd import denied, private, regular
from smtd.errors import StoreRefused, StoreUnreachable, UsageError
from smtd.records.record import Key, Record
from smtd.server import change_log, new_file
from smtd.server.accounts.rights import Right
from smtd.server.change_log import Eras, LogRow, Numbers
from smtd.server.sizes import LARGEST_RECORD, fitting, sizes
from smtd.server.transaction import STALE_RIGHT, Current, ProjectInfo, WriteTransaction, tagged
from smtd.sqlite import Connection
from smtd.stores.django.database import translating
from smtd.stores.django.ids import RowIds
from smtd.stores.django.record_rows import RecordRows, record_of
from smtd.stores.django.sqlite import SqliteFile
from smtd.stores.django.writer import RowWriter

T = TypeVar("T")
#: What the one writer is asked to do. It may await its transaction, and nothing else; what it raises undoes
#: it.
Job: TypeAlias = Callable[[WriteTransaction], Coroutine[Any, Any, Any]]

#: Statements that are kept prepared: a save needs some forty.
_STATEMENTS = 256


class Replaced(StoreUnreachable):
    """Another file is in the place of the one that is served."""


class Committed(NamedTuple):
    """What came of a transaction: the result or the error of each job, and the changes, in their order.

    *records* has those that were written, as they are now.
    """

    results: Sequence[Any]
    changes: Sequence[LogRow]
    records: Mapping[Key, Record]


class Shown(NamedTuple):
    """A record as it is, the text of its ETag, or what is wrong with it; nothing if it is not there."""

    record: Record | None = None
    validator: str | None = None
    problem: str = ""


class Changes(NamedTuple):
    """Some of the *changes*, in their order, each with its record if it was asked for.

    *head*: the number of the last change of all, as of the same moment. *more*: there may be more of them.
    """

    changes: Sequence[tuple[LogRow, Record | None]]
    head: int
    more: bool


class ServedDatabase:
    """The database in *file*, which this process alone serves.

    *made*: smtd serve made it, so that it notes what others write.
    """

    def __init__(
        self, file: SqliteFile, db: Connection, identity: tuple[int, int] | None, *, made: bool
    ) -> None:
        self.path = file.path
        self.made = made
        #: The number of the last change.
        self.head = 0
        self.eras = Eras(())
        self.projects: dict[str, ProjectInfo] = {}
        #: Project, name and level of each right of a user.
        self.rights: dict[str, list[tuple[str, str, str]]] = {}
        #: There are rights in projects that others have deleted: they do not count.
        self.has_stale_rights = False
        #: SQLite's count of the commits of others up to which all of them are in the log.
        self.entered: int | None = None
        self.last_commit = 0.0
        #: Set when another file is in the place of this one.
        self.replaced = anyio.Event()
        self._file = file
        self._db = db
        self._records = RecordRows(ids := RowIds(), RowWriter())
        self._ids = ids
        self._identity = identity

    async def begin(self) -> bool:
        """Open an era; say whether the log has all that was there when it was closed."""

        async def begin() -> bool:
            async with self._db.writing():
                self.head, self.eras = await change_log.opened(self._db, time.time())
                form = await self._db.value("SELECT form FROM smtd_head")
            return bool(form == change_log.FORM)

        complete = await self.read(begin)
        await self.reload()
        return complete and self.made

    async def reload(self) -> bool:
        """Read again what is kept in memory and others may write; say whether rights have changed."""
        before = self.rights

        async def load() -> tuple[dict[str, ProjectInfo], dict[str, list[tuple[str, str, str]]]]:
            asked = "SELECT id, name, description FROM django_store_project"
            found = await self._db.fetch(asked)
            projects = {
                name: ProjectInfo(str(title or ""), str(text or ""))
                for name, title, text in found
                if isinstance(name, str)
            }
            rights: dict[str, list[tuple[str, str, str]]] = {}
            asked = (
                f"SELECT project, username, level FROM smtd_right WHERE NOT {STALE_RIGHT}"
                " ORDER BY username, project"
            )
            for project, user, level in await self._db.fetch(asked):
                rights.setdefault(str(user), []).append((str(project), str(user), str(level)))
            asked = f"SELECT count(*) FROM smtd_right WHERE {STALE_RIGHT}"
            self.has_stale_rights = bool(await self._db.value(asked))
            return projects, rights

        self.projects, self.rights = await self.read(load)  # at once: requests are answered meanwhile
        return self.rights != before

    async def read(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return what *work* returns, which awaits nothing but the connection; see `Connection.at_once`."""
        with translating(self._file):
            return await self._db.at_once(work)

    @property
    def db(self) -> Connection:
        """The connection, for what runs by `read`."""
        return self._db

    # What is asked for

    async def version(self) -> int:
        """Return SQLite's count of the commits of others. Call it by `read`. Raises Replaced."""
        self._check_place()
        return int(await self._db.value("PRAGMA data_version"))

    async def known(self, key: Key) -> tuple[LogRow | None, bool]:
        """Return the last change of *key*, and whether nobody can have changed it since."""

        async def look() -> tuple[LogRow | None, bool]:
            return await change_log.row_of(self._db, key), await self.version() == self.entered

        return await self.read(look)

    async def show(self, keys: Collection[Key]) -> dict[Key, Shown]:
        """Return what is there under *keys* now."""

        async def look() -> dict[Key, Shown]:
            async with self._db.reading():
                found = await self._records.held(self._db, keys)
            return {key: _shown(found.get(key, ())) for key in keys}

        return await self.read(look)

    async def since(self, seq: int, most: int, project: str | None, *, bytes_of_records: int = 0) -> Changes:
        """Return the *most* oldest changes after *seq*, of one *project* (None: of all).

        With *bytes_of_records* each has its record, if there is one that is not too large for the feed; and
        there are fewer changes if their records are more bytes than that.
        """

        async def look() -> Changes:
            async with self._db.reading():
                rows = await change_log.since(self._db, seq, most, project)
                more, shown = len(rows) == most, {}
                if bytes_of_records:
                    keys = [row.key for row in rows if row.content.digest]
                    size = await sizes(self._db, await self._ids.of(self._db, keys, ()))
                    count = fitting(rows, size, bytes_of_records)
                    rows, more = rows[:count], more or count < len(rows)
                    keys = [row.key for row in rows if size.get(row.key, LARGEST_RECORD) < LARGEST_RECORD]
                    held = await self._records.held(self._db, keys)
                    shown = {key: _shown(found) for key, found in held.items()}
            return Changes([_together(row, shown.get(row.key)) for row in rows], self.head, more)

        return await self.read(look)

    async def listing(self, project: str) -> tuple[list[tuple[str, str]], int]:
        """Return moment and label of all records in *project*, and the number of the last change there."""

        async def look() -> tuple[list[tuple[str, str]], int]:
            async with self._db.reading():
                found = await change_log.there(self._db, project)
                return found, await change_log.last_number(self._db, project)

        return await self.read(look)

    async def newest(self) -> dict[str, str]:
        """Return when the newest record of each project was run, in the form of the tables."""
        return dict(await self.read(partial(change_log.newest, self._db)))

    async def tagged(self, project: str, tags: Sequence[str]) -> list[str]:
        """Return the labels of the records in *project* that have one of *tags*."""
        return await self.read(partial(tagged, self._db, project, tags))

    # What is written

    async def transact(self, jobs: Sequence[Job]) -> Committed:
        """Do *jobs* in one transaction, each on its own: what one raises undoes only that.

        Raises StoreError if nothing of it was done.
        """

        try:
            committed, after = await self.read(partial(self._transact, jobs))
        except BaseException:
            self._records.forget()
            raise
        for note in after:
            note()
        self.last_commit = time.monotonic()
        return committed

    async def _transact(self, jobs: Sequence[Job]) -> tuple[Committed, list[Callable[[], None]]]:
        self._check_place()
        async with self._db.writing():
            await self._db.run("UPDATE smtd_head SET writes = 1")
            numbers = Numbers(self._db, self.head)
            transaction = WriteTransaction(self._db, self._records, numbers)
            results = [await self._alone(job, transaction) for job in jobs]
            await self._db.run("UPDATE smtd_head SET seq = ?, writes = 0", (numbers.head,))
        self.head = numbers.head
        return Committed(results, numbers.noted, transaction.written), transaction.committed

    def _check_place(self) -> None:
        if _identity(self.path) != self._identity:
            raise Replaced(f"{self.path} was replaced by another file while it was served")

    async def _alone(self, job: Job, transaction: WriteTransaction) -> Any:
        """Return what *job* returns, or the error that undid it."""
        mark, count = transaction.numbers.mark(), len(transaction.committed)
        transaction.has_written = False
        await self._db.run("SAVEPOINT job")
        try:
            result = await job(transaction)
        except Exception as exc:
            if isinstance(exc, sqlite3.Error) and not isinstance(exc, self._file.refusals):
                raise  # the transaction may be over: the disk is full, say
            await self._db.run("ROLLBACK TO job")
            transaction.numbers.back_to(mark)
            del transaction.committed[count:]
            if transaction.has_written:
                self._records.forget()
            result = exc
        await self._db.run("RELEASE job")
        return result

    def has_project(self, project: str, info: ProjectInfo) -> None:
        """Note that a *project* was committed."""
        self.projects[project] = info

    def has_owner(self, project: str, username: str) -> None:
        """Note that the owner of a new *project* was committed."""
        self.rights.setdefault(username, []).append((project, username, Right.OWNER.word))
        self.rights[username].sort()

    def lacks_project(self, project: str) -> None:
        """Note that the deletion of a *project* was committed."""
        self.projects.pop(project, None)
        kept = {name: [one for one in rights if one[0] != project] for name, rights in self.rights.items()}
        self.rights = {name: rights for name, rights in kept.items() if rights}

    def learn(self, row_id: int, key: Key) -> None:
        """Note that a row bears *key* now. Call it by `read`."""
        self._ids.learn(row_id, key)

    async def checkpoint(self) -> None:
        """Bring what was committed into the file itself, as far as nobody reads what was there before."""
        await self.read(partial(self._db.fetch, "PRAGMA wal_checkpoint(PASSIVE)"))


def _shown(rows: Sequence[Any]) -> Shown:
    current = Current(Key("", ""), rows, change_log.content_of(rows))
    if current.content.problem:
        return Shown(problem=current.content.problem)
    return Shown(record_of(rows[0]), current.content.digest) if rows else Shown()


def _together(row: LogRow, shown: Shown | None) -> tuple[LogRow, Record | None]:
    """Return the change of *row* with the record that is there, by which others may have replaced another."""
    if shown is None or shown.record is None or shown.validator is None:
        return row, None
    return row._replace(content=row.content._replace(digest=shown.validator)), shown.record


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


@asynccontextmanager
async def open_database(path: Path, name: str) -> AsyncIterator[ServedDatabase]:
    """Give the database at *path*, which people know as *name*, for the length of a `with` block.

    One that is not there is made. Raises StoreRefused for a file that is no store of Sumatra 0.8.1,
    StoreUnreachable, and UsageError if another process serves it.
    """
    lock = await to_thread.run_sync(_lock, path, name)
    try:
        async with SqliteFile(path, name, statements=_STATEMENTS) as file:
            with translating(file):
                await to_thread.run_sync(_make, path)
                db = await file.connection()
                if db is None:
                    raise StoreRefused(
                        f"{name} is empty; remove the file, and smtd serve makes a store there"
                    )
                if file.obstacle:
                    raise StoreRefused(f"{name} cannot be served: {file.obstacle}")
                made = await _prepared(db)
            database = ServedDatabase(file, db, await to_thread.run_sync(_identity, path), made=made)
            yield database
            with translating(file):
                await database.checkpoint()
    finally:
        os.close(lock)


def _make(path: Path) -> None:
    if not path.exists():
        new_file.make(path)


async def _prepared(db: Connection) -> bool:
    """Add smtd's tables to a store that others made; say whether smtd serve made it."""
    async with db.writing():
        if not await db.value("SELECT count(*) FROM sqlite_master WHERE name = 'smtd_head'"):
            await db.run_script(new_file.added(made=False))
        return bool(await db.value("SELECT made FROM smtd_head"))


def _lock(path: Path, name: str) -> int:
    """Return a handle that holds the lock beside *path* until it is closed, or the process ends. Blocks."""
    try:
        private.make_directory(path.parent)
        handle = regular.lock(path.with_name(f".{path.name}.served"))
    except OSError as exc:
        raise StoreUnreachable(f"{name} cannot be served: {denied.why(exc)}") from exc
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise UsageError(f"another smtd serves {name}; stop it first") from None
    return handle
