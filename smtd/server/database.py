"""The served database: one file, one connection, one process.

Memory holds what requests need often, as of the server's last commit: the number of the last change, the
projects, and the rights and views of users. `reload` takes in projects and rights that other programs have
written. Everything else is read from the file on request.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NamedTuple, TypeAlias, TypeVar

import anyio

from smtd.errors import StoreUnreachable
from smtd.filestat import identity
from smtd.records.record import Key, Record
from smtd.server import change_log, trigger_notes
from smtd.server.accounts.rights import Right
from smtd.server.change_log import ChangeNumbers, Eras, LogRow
from smtd.server.known_rows import KnownRows
from smtd.server.record_sizes import LARGEST_RECORD, count_fitting, sizes
from smtd.server.transaction import STALE_RIGHT, Current, ProjectInfo, WriteTransaction, tagged_labels
from smtd.sqlite import Connection
from smtd.stores.django.database import translating
from smtd.stores.django.record_rows import record_of
from smtd.stores.django.sqlite import SqliteFile
from smtd.text import encodable

T = TypeVar("T")
#: A job for the one writer. It may await only its transaction. If it raises an exception, its changes are
#: rolled back.
Job: TypeAlias = Callable[[WriteTransaction], Coroutine[Any, Any, Any]]

#: Seconds that a statement waits for the lock of another program. The BEGIN of a job's transaction does not
#: wait (`_writing`): reads use the same connection, and would wait behind it.
_LOCK_TIMEOUT = 10
_WAIT_FOR_LOCKS = f"PRAGMA busy_timeout = {_LOCK_TIMEOUT * 1000}"


class Replaced(StoreUnreachable):
    """Another file has taken the place of the served one, or another state was restored into it."""


class Committed(NamedTuple):
    """The outcome of a transaction: the result or the error of each job, and the logged changes, in order.

    *records* has the records that were written, as they are after the transaction.
    """

    results: Sequence[Any]
    changes: Sequence[LogRow]
    records: Mapping[Key, Record]


class CurrentRecord(NamedTuple):
    """The current record of a key and the text of its ETag, or a *problem*; nothing if there is no record."""

    record: Record | None = None
    validator: str | None = None
    problem: str = ""


class FeedPage(NamedTuple):
    """Some *changes*, in order, each with its record if the caller wants records.

    *head*: the number of the last change in the whole log, at the same time. *more*: more may follow.
    """

    changes: Sequence[tuple[LogRow, Record | None]]
    head: int
    more: bool


class SeenView(NamedTuple):
    """The last known view of a user: `View.fingerprint` and its *number*. A new view gets another number."""

    fingerprint: str
    number: int


class ServedDatabase:
    """The database in *file*, which no other process serves.

    *is_own*: smtd serve made the file, so that triggers note what other programs write.
    """

    def __init__(
        self, file: SqliteFile, db: Connection, identity: tuple[int, int] | None, *, is_own: bool
    ) -> None:
        self.path = file.path
        self.is_own = is_own
        #: The number of the last change.
        self.head = 0
        self.eras = Eras(())
        self.projects: dict[str, ProjectInfo] = {}
        #: By user name: project, user name and level of each right.
        self.rights: dict[str, list[tuple[str, str, str]]] = {}
        #: By user name: the view when the user last asked for changes.
        self.views: dict[str, SeenView] = {}
        #: The table has rights in projects that other programs deleted; they do not count.
        self.has_stale_rights = False
        #: The `PRAGMA data_version` up to which the log has all writes of other programs (None: unknown).
        self.logged_version: int | None = None
        self.last_commit = 0.0
        #: Set when another file, or another state of it, has taken the place of this one.
        self.replaced = anyio.Event()
        self._file = file
        self._db = db
        self._rows = KnownRows(db, is_own=is_own)
        self._identity = identity

    async def begin(self) -> bool:
        """Open an era, and load what memory holds.

        Return whether the log has every record, except for changes that triggers have noted.
        """

        async def begin() -> bool:
            async with self._db.writing():
                self.head, self.eras = await change_log.open_era(self._db, time.time())
                form = await self._db.value("SELECT form FROM smtd_head")
                if self.is_own and not await trigger_notes.are_triggers_intact(self._db):
                    await trigger_notes.repair_triggers(self._db)
                    form = ""
                    await self._db.run("UPDATE smtd_head SET form = ''")
            views = await self._db.fetch("SELECT username, mark, number FROM smtd_view")
            self.views = {
                str(user): SeenView(str(fingerprint), int(number)) for user, fingerprint, number in views
            }
            return bool(form == change_log.DIGEST_PREFIX)

        complete = await self.read(begin)
        self.last_commit = time.monotonic()
        await self.reload()
        return complete and self.is_own

    async def reload(self) -> bool:
        """Read again the projects and rights, which other programs may write; say if rights have changed."""
        before = self.rights

        async def load() -> tuple[dict[str, ProjectInfo], dict[str, list[tuple[str, str, str]]]]:
            query = "SELECT id, name, description FROM django_store_project"
            found = await self._db.fetch(query)
            projects = {
                name: ProjectInfo(encodable(str(title or "")), encodable(str(text or "")))
                for name, title, text in found
                if isinstance(name, str) and encodable(name) == name  # no address can contain any other id
            }
            rights: dict[str, list[tuple[str, str, str]]] = {}
            query = (
                f"SELECT project, username, level FROM smtd_right WHERE NOT {STALE_RIGHT}"
                " ORDER BY username, project"
            )
            for project, user, level in await self._db.fetch(query):
                rights.setdefault(str(user), []).append((str(project), str(user), str(level)))
            query = f"SELECT count(*) FROM smtd_right WHERE {STALE_RIGHT}"
            self.has_stale_rights = bool(await self._db.value(query))
            return projects, rights

        self.projects, self.rights = await self.read(load)  # both at once: requests run during the read
        return self.rights != before

    async def read(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return what *work* returns; it may await only the connection (see `Connection.at_once`)."""
        with translating(self._file):
            return await self._db.at_once(work)

    @property
    def db(self) -> Connection:
        """The connection, for functions that run through `read`."""
        return self._db

    # Reading

    async def version(self) -> int:
        """Return `PRAGMA data_version`: commits of other programs change it. Raises Replaced.

        Call it through `read`.
        """
        self._check_file()
        return int(await self._db.value("PRAGMA data_version"))

    async def has_triggers(self) -> bool:
        """Say whether triggers note what other programs write; another program may have dropped some.

        Call it through `read`. Raises Replaced if the file has the log of another state, or none.
        """
        if not await self._db.value("SELECT count(*) FROM sqlite_master WHERE name = 'smtd_head'"):
            raise self._restored()
        async with self._db.reading():
            await self._check_log()
            return await self._rows.has_triggers()

    async def _check_log(self) -> None:
        if not await change_log.is_unchanged(self._db, self.head, self.eras):
            raise self._restored()

    def _restored(self) -> Replaced:
        return Replaced(f"another state was restored into {self.path} while it was served")

    async def last_change(self, key: Key) -> tuple[LogRow | None, bool]:
        """Return the last change of *key* in the log, and whether it is certain that none came since then."""

        async def look() -> tuple[LogRow | None, bool]:
            return await change_log.row_of(self._db, key), await self.version() == self.logged_version

        return await self.read(look)

    async def current_records(self, keys: Collection[Key]) -> dict[Key, CurrentRecord]:
        """Return the current record of each of *keys*."""

        async def look() -> dict[Key, CurrentRecord]:
            async with self._db.reading():
                found = await self._rows.rows(keys)
            return {key: _current_record(found.get(key, ())) for key in keys}

        return await self.read(look)

    async def measured(self, keys: Collection[Key]) -> dict[Key, int]:
        """Return about how many characters the record of each of *keys* has, for those that have one."""

        async def look() -> dict[Key, int]:
            async with self._db.reading():
                return await sizes(self._db, await self._rows.row_ids(keys))

        return await self.read(look)

    async def changes_since(
        self, seq: int, limit: int, project: str | None, *, bytes_of_records: int = 0
    ) -> FeedPage:
        """Return up to *limit* changes after *seq*, oldest first, of one *project* (None: of all).

        If *bytes_of_records* is not 0, each change has its record, unless there is none, or it is unreadable
        or too large for the feed; and the page ends, after at least one change, before the records exceed
        about that many bytes.
        """

        async def look() -> FeedPage:
            async with self._db.reading():
                rows = await change_log.changes_since(self._db, seq, limit, project)
                more, current = len(rows) == limit, {}
                if bytes_of_records:
                    keys = [row.key for row in rows if row.content.digest]
                    size = await sizes(self._db, await self._rows.row_ids(keys))
                    count = count_fitting(rows, size, bytes_of_records)
                    rows, more = rows[:count], more or count < len(rows)
                    keys = [row.key for row in rows if size.get(row.key, LARGEST_RECORD) < LARGEST_RECORD]
                    found = await self._rows.rows(keys)
                    current = {key: _current_record(rows_of_key) for key, rows_of_key in found.items()}
            return FeedPage([_with_record(row, current.get(row.key)) for row in rows], self.head, more)

        return await self.read(look)

    async def listing(self, project: str) -> tuple[list[tuple[str, str]], int]:
        """Return the moment and label of each record in *project*, and its `change_log.last_number`."""

        async def look() -> tuple[list[tuple[str, str]], int]:
            async with self._db.reading():
                found = await change_log.moments_and_labels(self._db, project)
                return found, await change_log.last_number(self._db, project)

        return await self.read(look)

    async def newest_moments(self) -> dict[str, str]:
        """Return when the newest record of each project was run, as the tables store it."""
        return dict(await self.read(partial(change_log.newest_moments, self._db)))

    async def tagged_labels(self, project: str, tags: Sequence[str]) -> list[str]:
        """Return the labels of the records in *project* that have one of *tags*."""
        return await self.read(partial(tagged_labels, self._db, project, tags))

    # Writing

    async def transact(self, jobs: Sequence[Job]) -> Committed:
        """Run *jobs* in one transaction; a job that raises an exception is rolled back alone.

        Raises StoreError if the transaction failed; then nothing was written.
        """

        committed, callbacks = await self.read(partial(self._transact, jobs))
        for callback in callbacks:
            callback()
        self.last_commit = time.monotonic()
        return committed

    async def _transact(self, jobs: Sequence[Job]) -> tuple[Committed, list[Callable[[], None]]]:
        self._check_file()
        async with self._writing():
            await self._check_log()
            await self._rows.catch_up()
            await self._db.run("UPDATE smtd_head SET writes = 1")
            numbers = ChangeNumbers(self._db, self.head)
            transaction = WriteTransaction(self._db, self._rows.records, numbers)
            results = [await self._run_job(job, transaction) for job in jobs]
            await self._db.run("UPDATE smtd_head SET seq = ?, writes = 0", (numbers.head,))
        self.head = numbers.head
        return Committed(results, numbers.logged, transaction.written), transaction.after_commit

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[None]:
        """Open a transaction without waiting; if it fails after it began, forget all known rows.

        If another program has a write transaction open, this fails at once; `read` then raises
        StoreUnreachable.
        """
        has_begun = False
        await self._db.run("PRAGMA busy_timeout = 0")
        try:
            async with self._db.writing():
                has_begun = True
                await self._db.run(_WAIT_FOR_LOCKS)
                yield
        except BaseException:
            if has_begun:
                self._rows.forget()
            raise
        finally:
            await self._db.run(_WAIT_FOR_LOCKS)

    def _check_file(self) -> None:
        if identity(self.path) != self._identity:
            raise Replaced(f"{self.path} was replaced by another file while it was served")

    async def _run_job(self, job: Job, transaction: WriteTransaction) -> Any:
        """Run *job* in a savepoint; return its result, or the exception for which it was rolled back."""
        savepoint, count = transaction.numbers.savepoint(), len(transaction.after_commit)
        transaction.has_written = False
        await self._db.run("SAVEPOINT job")
        try:
            result = await job(transaction)
        except Exception as exc:
            if isinstance(exc, sqlite3.Error) and not isinstance(exc, self._file.refusals):
                raise  # SQLite may have ended the transaction, for example on a full disk
            await self._db.run("ROLLBACK TO job")
            transaction.numbers.roll_back(savepoint)
            del transaction.after_commit[count:]
            if transaction.has_written:
                self._rows.forget()
            result = exc
        await self._db.run("RELEASE job")
        return result

    def store_project(self, project: str, info: ProjectInfo) -> None:
        """Store a committed *project* in memory."""
        self.projects[project] = info

    def store_owner(self, project: str, username: str) -> None:
        """Store the committed owner of a new *project* in memory."""
        self.rights.setdefault(username, []).append((project, username, Right.OWNER.word))
        self.rights[username].sort()

    def store_view(self, username: str, view: SeenView) -> None:
        """Store the committed view of a user in memory."""
        self.views[username] = view

    def remove_project(self, project: str) -> None:
        """Remove *project* and all rights in it from memory: it was deleted, or will be added again."""
        self.projects.pop(project, None)
        kept = {name: [one for one in rights if one[0] != project] for name, rights in self.rights.items()}
        self.rights = {name: rights for name, rights in kept.items() if rights}

    async def checkpoint(self) -> bool:
        """Copy the write-ahead log into the file itself; say whether all of it is there.

        While another program reads an earlier state, SQLite does not copy later commits.
        """
        found = await self.read(partial(self._db.fetch, "PRAGMA wal_checkpoint(PASSIVE)"))
        is_busy, pages, done = found[0]
        return not is_busy and pages == done


def _current_record(rows: Sequence[Any]) -> CurrentRecord:
    current = Current(Key("", ""), rows, change_log.content_of(rows))
    if current.content.problem:
        return CurrentRecord(problem=current.content.problem)
    return CurrentRecord(record_of(rows[0]), current.content.digest) if rows else CurrentRecord()


def _with_record(row: LogRow, current: CurrentRecord | None) -> tuple[LogRow, Record | None]:
    """Return *row* with the current record and its digest: it may be newer than the change in the log."""
    if current is None or current.record is None or current.validator is None:
        return row, None
    return row._replace(content=row.content._replace(digest=current.validator)), current.record
