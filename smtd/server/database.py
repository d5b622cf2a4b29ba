"""The served database: its memory, and everything that requests read and write there.

`backend.py` is the seam to the kinds of databases; this is the same for all.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Coroutine, Hashable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from functools import partial
from typing import Any, TypeAlias, TypeVar

import anyio

from smtd.errors import RecordUnusable, StoreError
from smtd.gather import gather
from smtd.records.record import Key, Record
from smtd.server import change_log
from smtd.server.alarm import Freshness
from smtd.server.backend import Backend, Head, Replaced, UsersFingerprint
from smtd.server.change_log import ChangeNumbers, Eras, LogRow, ProjectTotals
from smtd.server.feed import Committed, Listeners
from smtd.server.feed_page import LARGEST_RECORD, FeedPage, count_fitting, sizes, with_record
from smtd.server.memory import Everything, Memory, ProjectInfo, find_project, load_access, load_everything
from smtd.server.transaction import Current, WriteTransaction, current_of, tagged_labels
from smtd.stores.django.connection import DatabaseConnection

log = logging.getLogger("smtd")

T = TypeVar("T")
#: A job for the one writer. It may await only its transaction. If it raises an exception, its changes are
#: rolled back.
Job: TypeAlias = Callable[[WriteTransaction], Coroutine[Any, Any, Any]]

#: The most changes of other processes that are passed on one by one; of more, listeners must ask again.
MOST_BEHIND = 1000
#: Seconds between two checks of what others commit, if nothing announces it.
_PAUSE = 1.0
#: About the most bytes of records that are read for listeners at a time.
_BYTES_FOR_LISTENERS = 2**20


class ServedDatabase(Memory):
    """The database in *backend*. Its memory is as of the last commit that this process knows."""

    def __init__(self, backend: Backend) -> None:
        super().__init__()
        self.backend = backend
        self.name = backend.name
        self.is_own = backend.is_own
        self.listeners = Listeners()
        #: The `Backend.foreign_version` up to which the log has all writes of other programs (None: unknown).
        self.logged_version: Hashable = None
        self.last_commit = 0.0
        #: Set when another database, or another state of it, has taken the place of this one.
        self.replaced = anyio.Event()
        #: Held from before a commit until memory has it: so commits enter memory in their order.
        self._order: AbstractAsyncContextManager[Any] = anyio.Lock() if backend.is_shared else nullcontext()
        self._freshness = Freshness(self._check_head)
        #: Where the log is in the database; it differs after a restore (see `Head.place`).
        self._place: Hashable = None

    @property
    def is_complete(self) -> bool:
        """Whether the log has every record, except for changes that are not entered yet.

        Then a client that reads all of it knows which records do not exist.
        """
        return self.has_all_records and self.backend.is_watched

    async def begin(self) -> None:
        """Open an era, and load what memory holds."""

        async def begin(db: DatabaseConnection) -> tuple[Head, Everything]:
            async with db.writing():
                await self.backend.lock_head(db)
                seq, _ = await change_log.open_era(db, time.time())
                if self.is_own and not await self.backend.has_triggers(db):
                    await self.backend.repair_triggers(db)
                    await change_log.set_incomplete(db)
                await self.backend.save_head(db, seq, changes_access=True)
                return await self.backend.head(db), await load_everything(db)

        head, everything = await self.read(begin)
        await self.backend.create_triggers()
        self._adopt(head, everything)
        self.appeared.clear()
        self._place = head.place
        self.last_commit = time.monotonic()
        if not self.backend.is_shared and not self.is_own:
            self.has_all_records = False  # others may have written since, without a note

    async def reload(self) -> bool:
        """Read again the projects and rights, which other programs may write; say if rights have changed."""
        async with self._order:  # else older ones might take the place of newer ones
            before = self.rights
            access = await self.read(load_access)
            self.replace_access(access)
            return self.rights != before

    async def read(self, work: Callable[[DatabaseConnection], Coroutine[Any, Any, T]]) -> T:
        """Return what *work* returns; it may await only the connection that it gets. Raises StoreError."""
        return await self.backend.read(work)

    # Following other processes

    async def refresh(self) -> None:
        """Bring memory up to date with what other processes committed before this call. Raises StoreError."""
        if self.backend.is_shared:
            await self._freshness.check()

    async def _check_head(self) -> None:
        async def query(db: DatabaseConnection) -> None:
            head = await self.backend.head(db)
            if not self._is_known(head):
                async with db.reading():
                    await self._catch_up(db, await self.backend.head(db))

        async with self._order:
            await self.read(query)

    def _is_known(self, head: Head) -> bool:
        return head.seq == self.head and head.era == self.eras.newest

    async def _catch_up(self, db: DatabaseConnection, head: Head) -> None:
        """Take into memory what others have committed up to *head*, and report it. Raises Replaced.

        Call it inside a transaction, with `_order` held if others may commit.
        """
        if self._is_known(head):
            return
        new = await load_everything(db) if head.access > self.head else None
        eras = self.eras if new is None else new.eras
        is_later = head.seq >= self.head and eras.can_continue(self.head, head.seq)
        if not self.backend.is_shared or not is_later:
            raise Replaced(f"another state was restored into {self.name} while it was served")
        wanted = _BYTES_FOR_LISTENERS if self.listeners.want_records() else 0
        found, more = list[tuple[LogRow, Record | None]](), True
        while more and len(found) < MOST_BEHIND:
            page = await self._page(db, found[-1][0].seq if found else self.head, MOST_BEHIND, None, wanted)
            found += page.changes
            more = page.more
        self._adopt(head, new)
        if new is not None:
            self.listeners.access_changed()
        if more:
            self.listeners.fell_behind()
            return
        records = {row.key: record for row, record in found if record is not None}
        self.listeners.committed(Committed((), [row for row, _ in found], records))

    def _adopt(self, head: Head, new: Everything | None) -> None:
        self.head = head.seq
        if new is not None:
            self.replace_access(new.access)
            self.views, self.eras = new.views, new.eras
            self.has_all_records = new.has_all_records

    async def follow(self, users: UsersFingerprint) -> None:
        """Take into memory what other processes commit, soon after; until cancelled. Raises Replaced.

        *users* is compared with that of other processes.
        """
        if self.backend.is_shared:
            await gather([self._follow, lambda: self.backend.listen(users)])

    async def _follow(self) -> None:
        is_down = False
        while True:
            rings = self.backend.commits.rings
            try:
                await self.refresh()
                is_down = False
            except Replaced:
                raise
            except StoreError as exc:
                if not is_down:
                    log.warning("the server cannot follow other processes: %s", exc)
                is_down = True
            await self.backend.commits.wait(rings, _PAUSE)

    # Reading

    async def has_triggers(self) -> bool:
        """Say whether triggers note what other programs write; another program may have dropped some.

        Raises Replaced if the database has the log of another state, or none.
        """

        async def query(db: DatabaseConnection) -> bool:
            async with db.reading():
                head = await self.backend.head(db)
                if not self.backend.is_shared:
                    await self._catch_up(db, head)
                return await self.backend.has_triggers(db)

        return await self.read(query)

    async def last_change(self, key: Key) -> tuple[LogRow | None, bool]:
        """Return the last change of *key* in the log, and whether it is certain that none came since then."""

        async def query(db: DatabaseConnection) -> tuple[LogRow | None, bool]:
            # Asked first: what is entered between the two statements would make an earlier row seem certain.
            is_certain = await self.backend.is_logged(db, self.logged_version)
            return await change_log.row_of(db, key), is_certain

        return await self.read(query)

    async def current_records(self, keys: Collection[Key]) -> dict[Key, Current]:
        """Return what each of *keys* holds now."""

        async def query(db: DatabaseConnection) -> dict[Key, Current]:
            async with db.reading():
                found = await self.backend.rows(db, keys)
            return {key: current_of(key, found.get(key, ())) for key in keys}

        return await self.read(query)

    async def measured(self, keys: Collection[Key]) -> dict[Key, int]:
        """Return about how many characters the record of each of *keys* has, for those that have one."""

        async def query(db: DatabaseConnection) -> dict[Key, int]:
            async with db.reading():
                return await sizes(db, await self.backend.row_ids(db, keys))

        return await self.read(query)

    async def changes_since(
        self, seq: int, limit: int, project: str | None, *, bytes_of_records: int = 0
    ) -> FeedPage:
        """Return up to *limit* changes after *seq*, oldest first, of one *project* (None: of all).

        If *bytes_of_records* is not 0, each change has its record, unless there is none, or it is unreadable
        or too large for the feed; and the page ends, after at least one change, before the records exceed
        about that many bytes. Raises Replaced if another state was restored into the database.
        """

        async def query(db: DatabaseConnection) -> FeedPage:
            async with db.reading():
                head = await self.backend.head(db)
                if not self.backend.is_shared:
                    await self._catch_up(db, head)  # raises Replaced: no page comes from another log
                page = await self._page(db, seq, limit, project, bytes_of_records)
                return page._replace(head=head.seq)

        return await self.read(query)

    async def _page(
        self, db: DatabaseConnection, seq: int, limit: int, project: str | None, bytes_of_records: int
    ) -> FeedPage:
        """Return a page as `changes_since` does, with the *head* of memory. Call it inside a transaction."""
        rows = await change_log.changes_since(db, seq, limit, project)
        more, current = len(rows) == limit, {}
        if bytes_of_records:
            keys = [row.key for row in rows if row.content.digest]
            size = await sizes(db, await self.backend.row_ids(db, keys))
            count = count_fitting(rows, size, bytes_of_records)
            rows, more = rows[:count], more or count < len(rows)
            keys = [row.key for row in rows if size.get(row.key, LARGEST_RECORD) < LARGEST_RECORD]
            found = await self.backend.rows(db, keys)
            current = {key: current_of(key, rows_of_key) for key, rows_of_key in found.items()}
        return FeedPage([with_record(row, current.get(row.key)) for row in rows], self.head, more)

    async def listing(self, project: str) -> tuple[list[tuple[str, str]], int]:
        """Return the moment and label of each record in *project*, and its `change_log.last_number`."""

        async def query(db: DatabaseConnection) -> tuple[list[tuple[str, str]], int]:
            async with db.reading():
                found = await change_log.moments_and_labels(db, project)
                return found, await change_log.last_number(db, project)

        return await self.read(query)

    async def totals(self) -> dict[str, ProjectTotals]:
        """Return the totals of each project that has records."""
        return await self.read(change_log.totals)

    async def tagged_labels(self, project: str, tags: Sequence[str]) -> list[str]:
        """Return the labels of the records in *project* that have one of *tags*."""
        held = [tag for tag in tags if self.backend.can_hold(tag)]
        return await self.read(partial(tagged_labels, project=project, tags=held)) if held else []

    async def project(self, name: str) -> ProjectInfo | None:
        """Return the project whose id is *name*; None if there is none.

        A project that memory lacks is looked for in the database: another program may have made it, or put it
        back from a backup, a moment ago.
        """
        info = self.projects.get(name)
        if info is None and self.backend.can_hold(name):
            info = await self.read(partial(find_project, name=name))
        return info

    async def existing(self, projects: Collection[str]) -> set[str]:
        """Return those of *projects* that exist now: others may have made one a moment ago."""
        held = [project for project in projects if self.backend.can_hold(project)]
        if not held:
            return set()
        query = f"SELECT id FROM django_store_project WHERE id IN ({', '.join('?' * len(held))})"
        return {str(name) for (name,) in await self.read(lambda db: db.fetch(query, held))} & set(held)

    # Writing

    async def transact(self, jobs: Sequence[Job]) -> Committed:
        """Run *jobs* in one transaction; a job that raises an exception is rolled back alone.

        Listeners learn of it before this returns. Raises StoreError if the transaction failed; then nothing
        was written, or, if the connection was lost during the commit, all of it.
        """
        async with AsyncExitStack() as until_reported:
            committed, callbacks = await self.read(partial(self._transact, jobs, until_reported))
            for callback in callbacks:
                callback()
            self.last_commit = time.monotonic()
            self.listeners.committed(committed)
        return committed

    async def _transact(
        self, jobs: Sequence[Job], until_reported: AsyncExitStack, db: DatabaseConnection
    ) -> tuple[Committed, list[Callable[[], None]]]:
        async with self.backend.writing(db):
            head = await self._locked_head(db)
            numbers = ChangeNumbers(db, head.seq, self.backend.log_change)
            transaction = WriteTransaction(db, self.backend, numbers)
            if head.place != self._place:
                numbers.head, eras = await change_log.open_era(db, time.time())
                transaction.changes_access = True
                transaction.after_commit.append(partial(self._moved, head.place, eras))
            results = [await self._run_job(job, transaction, db) for job in jobs]
            seq = numbers.head
            if self.backend.is_shared:
                seq = max(seq, head.seq + 1)  # others see by the number that there was a transaction
            await self.backend.save_head(db, seq, changes_access=transaction.changes_access)
            await until_reported.enter_async_context(self._order)
        self.head = seq
        return Committed(results, numbers.logged, transaction.written), transaction.after_commit

    async def _locked_head(self, db: DatabaseConnection) -> Head:
        """Lock the log, and bring memory up to date; return where the log ends."""
        head = await self.backend.lock_head(db)
        if not self._is_known(head):
            async with self._order:
                await self._catch_up(db, head)
        return head

    def _moved(self, place: Hashable, eras: Eras) -> None:
        """Note that the log is elsewhere, or maybe was put back: a new era has begun."""
        self._place, self.eras = place, eras

    async def _run_job(self, job: Job, transaction: WriteTransaction, db: DatabaseConnection) -> Any:
        """Run *job* in a savepoint; return its result, or the exception for which it was rolled back."""
        savepoint, count = transaction.numbers.savepoint(), len(transaction.after_commit)
        written = dict(transaction.written)
        transaction.has_written = False
        await db.run("SAVEPOINT job")
        try:
            result = await job(transaction)
        except Exception as exc:
            is_refusal = self.backend.is_refusal(exc)
            if self.backend.is_broken(exc) and not is_refusal:
                raise
            await db.run("ROLLBACK TO SAVEPOINT job")
            transaction.numbers.roll_back(savepoint)
            del transaction.after_commit[count:]
            transaction.written = written
            if transaction.has_written:
                self.backend.records.forget()
            result = RecordUnusable(str(exc)) if is_refusal and not isinstance(exc, RecordUnusable) else exc
        await db.run("RELEASE SAVEPOINT job")
        return result
