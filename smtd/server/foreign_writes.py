"""Enter into the log what other programs, such as `smt` on the same machine, write into the served database.

In tables that smtd serve made, triggers note which records another program touches, in the same commit. A
save of Sumatra is several commits, so a record is entered once it has stayed untouched for a moment. In any
other tables, the server compares all records with the log after another program has written. If several
processes serve a database, one of them has this duty (`lease.py`); whatever it commits for the duty, it
commits only if it still has it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import anyio

from smtd.errors import StoreError
from smtd.gather import gather
from smtd.records.record import Key
from smtd.server import change_log, trigger_notes
from smtd.server.backend import Replaced
from smtd.server.change_log import LogRow
from smtd.server.database import Job, ServedDatabase
from smtd.server.lease import DutyLost
from smtd.server.transaction import WriteTransaction
from smtd.server.writer import GROUP_SIZE, Writer
from smtd.stores.django import reader
from smtd.stores.django.connection import DatabaseConnection
from smtd.stores.django.reader import DecodedRow

log = logging.getLogger("smtd")

#: Seconds between two checks whether other programs have written; and the longest such time, where the
#: database announces their writes.
CHECK_INTERVAL, LONGEST_INTERVAL = 0.1, 1.0
#: Seconds for which a record must stay untouched before it is entered, and seconds since the first touch
#: after which it is entered anyway.
QUIET_PERIOD, LONGEST_DELAY = 0.1, 1.0
#: Comparisons of all records take at most this share of the time.
COMPARISON_SHARE = 0.05
#: Keys that are compared at a time.
_PAGE_SIZE = 500
_IDS = (
    "SELECT db_id FROM django_store_record WHERE db_id > ? AND project_id IS NOT NULL"
    f" ORDER BY db_id LIMIT {_PAGE_SIZE}"
)
#: Earlier than any other time.
_IMMEDIATELY = float("-inf")


@dataclass(slots=True)
class _Touched:
    """A key that other programs touched: when first and last, and the ids of its notes."""

    first: float
    last: float
    note_ids: Sequence[int]


class ForeignWrites:
    """Enters into the log, by *writer*, what other programs write into *database*."""

    def __init__(self, database: ServedDatabase, writer: Writer) -> None:
        self._database = database
        self._backend = database.backend
        self._writer = writer
        #: The term for which this process has the duty, or had it last.
        self._term = ""
        self._forget()

    def _forget(self) -> None:
        """Know nothing of what other programs have written."""
        self._touched: dict[Key, _Touched] = {}
        #: The earliest time of the next comparison of all records (None: none is due); `_IMMEDIATELY` also
        #: skips the pause after the last one.
        self._comparison_due: float | None = None if self._has_notes_of_all else _IMMEDIATELY
        #: The notes of rows that many records share, and those of them that the running comparison of all
        #: records covers (None: none is running).
        self._shared_notes: Sequence[int] = ()
        self._covered_notes: Sequence[int] | None = None
        self._checked_version: Hashable = None
        #: The version of the database up to which the notes were read.
        self._notes_version: Hashable = None
        self._no_comparison_before = float("-inf")

    @property
    def _has_notes_of_all(self) -> bool:
        """Whether the log lacks only what triggers have noted: others may have written a moment ago."""
        return self._database.is_own and self._database.is_complete

    async def run(self) -> None:
        """Watch for writes until cancelled.

        Rights that other programs change take effect at once, however long it takes to enter their records.
        Raises Replaced if another file, or another state of it, has taken the place of the database.
        """
        loops = (self._check_for_writes, self._enter_settled, self._compare_when_due)
        while True:
            async with self._backend.duty() as self._term:
                if await self._take_over():
                    await gather([partial(self._repeat, work) for work in loops])

    async def _take_over(self) -> bool:
        """Begin with what the database says of the log: another process may have had the duty.

        Return whether that succeeded.
        """
        if not self._backend.is_watched:
            # No process has looked for what others wrote before this one.
            self._database.has_all_records = False
            try:
                await self._submit(_begin)
            except Replaced:
                raise
            except DutyLost:
                return False
            except StoreError as exc:
                log.warning("the server cannot check for writes of other programs: %s", exc)
                await anyio.sleep(LONGEST_INTERVAL)
                return False
            self._backend.is_watched = True
        self._forget()
        return True

    async def _submit(self, job: Job) -> Any:
        """Run *job* in a transaction in which this process has the duty. Raises DutyLost, StoreError."""
        return await self._writer.submit(partial(_on_duty, self._term, job))

    async def _repeat(self, work: Callable[[], Awaitable[None]]) -> None:
        """Repeat *work* until cancelled or the duty is lost, also after a StoreError. Raises Replaced."""
        is_down = False
        while self._backend.has_duty(self._term):
            rings, before = self._backend.writes.rings, self._state
            try:
                await work()
                is_down = False
            except Replaced:
                raise
            except DutyLost:
                return
            except StoreError as exc:
                if not is_down:
                    log.warning("the server cannot check for writes of other programs: %s", exc)
                is_down = True
            if self._state != before:
                self._backend.writes.ring()  # the other loops may have something to do now
            if self._is_busy or not self._backend.tells_of_writes:
                await anyio.sleep(CHECK_INTERVAL)
            else:
                await self._backend.writes.wait(rings, LONGEST_INTERVAL)

    @property
    def _state(self) -> tuple[Hashable, bool]:
        return self._checked_version, self._is_busy

    @property
    def _is_busy(self) -> bool:
        """Whether something is due soon even if no program writes."""
        return bool(self._touched) or self._comparison_due is not None or self._covered_notes is not None

    async def _check_for_writes(self) -> None:
        """Check whether other programs have written, and reload rights and projects; only read."""
        database = self._database
        version = await database.read(self._backend.foreign_version)
        if version == self._checked_version:
            return
        has_triggers = await database.has_triggers()
        projects = database.projects
        if await database.reload():
            database.listeners.access_changed()
            projects = {}
        if self._backend.is_shared and projects != database.projects:
            await self._submit(_announce_access)
        now = anyio.current_time()
        if self._checked_version is not None:
            self._writer.last_foreign_write = now
            if not database.is_own and self._comparison_due is None:
                self._comparison_due = now + 2 * QUIET_PERIOD
        if database.is_own and not has_triggers:
            log.warning("%s lacks triggers of smtd's server; recreating them", database.name)
            self._schedule_full_comparison()
        self._checked_version = version

    def _schedule_full_comparison(self) -> None:
        """Make a comparison of all records due: without notes, the log may lack what other programs wrote."""
        self._database.has_all_records = False
        self._comparison_due = _IMMEDIATELY

    async def _enter_settled(self) -> None:
        """Enter the records that other programs touched and that have settled; restore missing triggers."""
        database, version = self._database, self._checked_version
        if database.is_own and (version != self._notes_version or self._touched):
            if not await database.has_triggers():
                self._schedule_full_comparison()
                await self._submit(WriteTransaction.repair_triggers)
                await self._backend.create_triggers()
                self._schedule_full_comparison()  # a comparison that began before the repair is not enough
            await self._process_notes()
        if database.has_stale_rights:
            await self._submit(WriteTransaction.delete_stale_rights)
            database.has_stale_rights = False
        self._notes_version = version
        if not self._touched and self._comparison_due is None and self._covered_notes is None:
            database.logged_version = version
        await self._backend.tidy(max(database.last_commit, self._writer.last_foreign_write))

    async def _compare_when_due(self) -> None:
        """Compare all records with the log, if that is due."""
        if self._comparison_due is None and not self._database.has_all_records:
            self._comparison_due = _IMMEDIATELY  # another process has found that the log may lack some
        if self._comparison_due is None:
            return
        if self._comparison_due != _IMMEDIATELY and anyio.current_time() < max(
            self._comparison_due, self._no_comparison_before
        ):
            return
        is_first = self._comparison_due == _IMMEDIATELY
        self._covered_notes, self._comparison_due = self._shared_notes, None
        try:
            if not await self._database.read(self._backend.may_differ) and not is_first:
                return
            await self._compare_all()
        except BaseException:
            self._comparison_due = self._comparison_due or anyio.current_time()
            raise
        finally:
            self._covered_notes = None

    async def _process_notes(self) -> None:
        """Read the notes of the triggers, and enter the keys that have settled."""
        now = anyio.current_time()
        notes = await self._database.read(trigger_notes.read)
        self._shared_notes = notes.shared
        if not set(notes.shared) <= set(self._covered_notes or ()):
            self._comparison_due = self._comparison_due or now
        for key, note_ids in notes.touched.items():
            touched = self._touched.setdefault(key, _Touched(now, now, note_ids))
            if touched.note_ids != note_ids:
                touched.last = now
            touched.note_ids = note_ids
        if notes.ignored:
            await self._submit(partial(_delete_ignored, notes.ignored))
        settled = {
            key: touched.note_ids
            for key, touched in self._touched.items()
            if now - touched.last >= QUIET_PERIOD or now - touched.first >= LONGEST_DELAY
        }
        while some := dict(islice(settled.items(), GROUP_SIZE)):
            await self._submit(partial(_enter, some))
            for key in some:
                del settled[key], self._touched[key]

    async def _compare_all(self) -> None:
        """Compare every record with the log, a page at a time, and enter what differs.

        The notes stay until it is complete, so that it is repeated if it fails or the server stops.
        """
        began, form = anyio.current_time(), await self._database.read(change_log.form)
        seen: set[Key] = set()
        last = reader.LOWEST
        while page := await self._compare_page(last):
            rows, last, differing = page
            seen |= rows
            await self._enter_all(differing)
        after = Key("", "")
        while keys := await self._database.read(
            partial(change_log.current_keys, after=after, limit=_PAGE_SIZE)
        ):
            after = keys[-1]
            await self._enter_all([key for key in keys if key not in seen])
        await self._submit(partial(self._set_complete, form, self._covered_notes or ()))
        now = anyio.current_time()
        self._no_comparison_before = now + (now - began) / COMPARISON_SHARE

    async def _set_complete(self, form: str, notes: Sequence[int], transaction: WriteTransaction) -> None:
        """Note that the log has every record, and delete *notes*, unless triggers were missing meanwhile."""
        is_complete = await transaction.set_complete(form)
        if is_complete:
            await transaction.delete_notes(notes)
        transaction.after_commit.append(partial(setattr, self._database, "has_all_records", is_complete))

    async def _compare_page(self, last: int) -> tuple[set[Key], int, list[Key]] | None:
        """Return the keys of the next rows after *last*, the last row id, and the keys the log has wrong."""

        async def query(db: DatabaseConnection) -> tuple[list[int], list[DecodedRow], Mapping[Key, LogRow]]:
            async with db.reading():
                ids = [row_id for (row_id,) in await db.fetch(_IDS, (last,))]
                found = [raw.found() for raw in await reader.by_id(db, ids)]
                return ids, found, await change_log.rows_of(db, {each.key for each in found})

        ids, found, logged = await self._database.read(query)
        if not ids:
            return None
        rows: dict[Key, list[DecodedRow]] = {}
        for each in found:
            rows.setdefault(each.key, []).append(each)
        differing = [
            key
            for key, held in rows.items()
            if key not in logged or logged[key].content[:2] != change_log.content_of(held)[:2]
        ]
        return set(rows), ids[-1], differing

    async def _enter_all(self, keys: Collection[Key]) -> None:
        todo = iter(keys)
        while some := list(islice(todo, GROUP_SIZE)):
            await self._submit(partial(_enter, dict.fromkeys(some, ())))


async def _on_duty(term: str, job: Job, transaction: WriteTransaction) -> Any:
    """Run *job* if this process has the duty for *term* until the commit. Raises DutyLost."""
    await transaction.check_duty(term)
    return await job(transaction)


async def _enter(keys: Mapping[Key, Sequence[int]], transaction: WriteTransaction) -> None:
    """Enter *keys*, and delete the notes of each."""
    for key, note_ids in keys.items():
        await transaction.log_current(key)
        if note_ids:
            await transaction.delete_notes(note_ids)


async def _begin(transaction: WriteTransaction) -> None:
    """Note that nobody has looked for writes before, and let other processes rely on the duty from now on."""
    await transaction.set_incomplete()
    await transaction.begin_duty()


async def _announce_access(transaction: WriteTransaction) -> None:
    transaction.announce_access()


async def _delete_ignored(notes: Sequence[int], transaction: WriteTransaction) -> None:
    transaction.announce_access()  # some are of projects or rights
    await transaction.delete_notes(notes)
