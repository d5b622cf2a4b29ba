"""Enter into the log what other programs, such as `smt` on the same machine, write into the served database.

In a file that smtd serve made, triggers note which records another program touches, in the same commit. A
save of Sumatra is several commits, so a record is entered once it has stayed untouched for a moment. In any
other file, the server compares all records with the log after another program has written.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import anyio

from smtd.errors import StoreError
from smtd.gather import gather
from smtd.records.record import Key
from smtd.server import change_log, trigger_notes
from smtd.server.database import Replaced, ServedDatabase
from smtd.server.transaction import WriteTransaction
from smtd.server.writer import GROUP_SIZE, Writer
from smtd.stores.django import reader

log = logging.getLogger("smtd")

#: Seconds between two checks whether other programs have written.
CHECK_INTERVAL = 0.1
#: Seconds for which a record must stay untouched before it is entered, and seconds since the first touch
#: after which it is entered anyway.
QUIET_PERIOD, LONGEST_DELAY = 0.1, 1.0
#: Comparisons of all records take at most this share of the time.
COMPARISON_SHARE = 0.05
#: Keys that are compared at a time.
_PAGE_SIZE = 500
#: Seconds without a commit after which the write-ahead log is copied into the file itself (a checkpoint).
_CHECKPOINT_AFTER = 1.0
#: Earlier than any other time.
_IMMEDIATELY = float("-inf")


@dataclass(slots=True)
class _Touched:
    """A key that other programs touched: when first and last, and the ids of its notes."""

    first: float
    last: float
    note_ids: Sequence[int]


class ForeignWrites:
    """Enters into the log, by *writer*, what other programs write into *database*.

    *rights_changed* is called when another program has changed rights. `is_complete`: the log has every
    record, so that a client that reads all of it knows which records do not exist.
    """

    def __init__(
        self,
        database: ServedDatabase,
        writer: Writer,
        rights_changed: Callable[[], None],
        *,
        complete: bool,
    ) -> None:
        self.is_complete = complete
        self._rights_changed = rights_changed
        self._database = database
        self._writer = writer
        self._touched: dict[Key, _Touched] = {}
        #: The earliest time of the next comparison of all records (None: none is due); `_IMMEDIATELY` also
        #: skips the pause after the last one.
        self._comparison_due: float | None = None if complete else _IMMEDIATELY
        #: The notes of rows that many records share, and those of them that the running comparison of all
        #: records covers (None: none is running).
        self._shared_notes: Sequence[int] = ()
        self._covered_notes: Sequence[int] | None = None
        self._checked_version: int | None = None
        #: The version of the database up to which the notes were read.
        self._notes_version: int | None = None
        self._no_comparison_before = float("-inf")
        #: The time of the last commit that is certainly in the file itself, and of the last checkpoint tried.
        self._checkpointed = self._checkpoint_tried = float("-inf")

    async def run(self) -> None:
        """Watch for writes until cancelled.

        Rights that other programs change take effect at once, however long it takes to enter their records.
        Raises Replaced if another file, or another state of it, has taken the place of the database.
        """
        loops = (self._check_for_writes, self._enter_settled, self._compare_when_due)
        await gather([partial(self._repeat, work) for work in loops])

    async def _repeat(self, work: Callable[[], Awaitable[None]]) -> None:
        """Repeat *work* until cancelled, also after a StoreError. Raises Replaced."""
        is_down = False
        while True:
            try:
                await work()
                is_down = False
            except Replaced:
                raise
            except StoreError as exc:
                if not is_down:
                    log.warning("the server cannot check for writes of other programs: %s", exc)
                is_down = True
            await anyio.sleep(CHECK_INTERVAL)

    async def _check_for_writes(self) -> None:
        """Check whether other programs have written, and reload rights and projects; only read."""
        database = self._database
        version = await database.read(database.version)
        if version == self._checked_version:
            return
        has_triggers = await database.read(database.has_triggers)
        if await database.reload():
            self._rights_changed()
        now = anyio.current_time()
        if self._checked_version is not None:
            self._writer.last_foreign_write = now
            if not database.is_own and self._comparison_due is None:
                self._comparison_due = now + 2 * QUIET_PERIOD
        if database.is_own and not has_triggers:
            log.warning("%s lacks triggers of smtd's server; recreating them", database.path)
            self._schedule_full_comparison()
        self._checked_version = version

    def _schedule_full_comparison(self) -> None:
        """Make a comparison of all records due: without notes, the log may lack what other programs wrote."""
        self.is_complete = False
        self._comparison_due = _IMMEDIATELY

    async def _enter_settled(self) -> None:
        """Enter the records that other programs touched and that have settled; restore missing triggers."""
        database, version = self._database, self._checked_version
        if database.is_own and (version != self._notes_version or self._touched):
            if not await database.read(database.has_triggers):
                self._schedule_full_comparison()
                await self._writer.submit(_repair_triggers)
                self._schedule_full_comparison()  # a comparison that began before the repair is not enough
            await self._process_notes()
        if database.has_stale_rights:
            await self._writer.submit(_delete_stale_rights)
            database.has_stale_rights = False
        self._notes_version = version
        if not self._touched and self._comparison_due is None and self._covered_notes is None:
            database.logged_version = version
        await self._checkpoint()

    async def _compare_when_due(self) -> None:
        """Compare all records with the log, if that is due."""
        if self._comparison_due is None:
            return
        if self._comparison_due != _IMMEDIATELY and anyio.current_time() < max(
            self._comparison_due, self._no_comparison_before
        ):
            return
        self._covered_notes, self._comparison_due = self._shared_notes, None
        try:
            await self._compare_all()
        except BaseException:
            self._comparison_due = self._comparison_due or anyio.current_time()
            raise
        finally:
            self._covered_notes = None

    async def _process_notes(self) -> None:
        """Read the notes of the triggers, and enter the keys that have settled."""
        now = anyio.current_time()
        notes = await self._database.read(partial(trigger_notes.read, self._database.db))
        self._shared_notes = notes.shared
        if notes.shared and (not self._covered_notes or self._covered_notes[-1] < notes.shared[-1]):
            self._comparison_due = self._comparison_due or now
        for key, note_ids in notes.touched.items():
            touched = self._touched.setdefault(key, _Touched(now, now, note_ids))
            if touched.note_ids[-1] != note_ids[-1]:
                touched.last = now
            touched.note_ids = note_ids
        if notes.ignored:
            await self._writer.submit(partial(_delete_notes, notes.ignored))
        settled = {
            key: touched.note_ids
            for key, touched in self._touched.items()
            if now - touched.last >= QUIET_PERIOD or now - touched.first >= LONGEST_DELAY
        }
        while some := dict(islice(settled.items(), GROUP_SIZE)):
            await self._writer.submit(partial(self._enter, some))
            for key in some:
                del settled[key], self._touched[key]

    async def _enter(self, keys: dict[Key, Sequence[int]], transaction: WriteTransaction) -> None:
        """Enter *keys*, and delete the notes of each."""
        for key, note_ids in keys.items():
            await transaction.log_current(key)
            await transaction.delete_notes(note_ids)

    async def _compare_all(self) -> None:
        """Compare every record with the log, a page at a time, and enter what differs.

        The notes stay until it is complete, so that it is repeated if it fails or the server stops.
        """
        began = anyio.current_time()
        seen: set[Key] = set()
        last = reader.LOWEST
        while page := await self._database.read(partial(self._compare_page, last)):
            rows, last, differing = page
            seen |= rows
            await self._enter_all(differing)
        after = Key("", "")
        while keys := await self._database.read(partial(self._logged_keys, after)):
            after = keys[-1]
            await self._enter_all([key for key in keys if key not in seen])
        if self._comparison_due != _IMMEDIATELY:  # else triggers were found missing during the comparison
            done = self._covered_notes or ()
            await self._writer.submit(partial(_mark_complete, done))
            self.is_complete = self._comparison_due != _IMMEDIATELY
        now = anyio.current_time()
        self._no_comparison_before = now + (now - began) / COMPARISON_SHARE

    async def _compare_page(self, last: int) -> tuple[set[Key], int, list[Key]] | None:
        """Return the keys of the next rows after *last*, the last row id, and the keys the log has wrong."""
        db = self._database.db
        query = (
            "SELECT db_id FROM django_store_record WHERE db_id > ? AND project_id IS NOT NULL"
            f" ORDER BY db_id LIMIT {_PAGE_SIZE}"
        )
        async with db.reading():
            ids = [row_id for (row_id,) in await db.fetch(query, (last,))]
            found = [raw.found() for raw in await reader.by_id(db, ids)]
            logged = await change_log.rows_of(db, {each.key for each in found})
        if not ids:
            return None
        current = {each.key: change_log.content_of([each]) for each in found}
        differing = [
            key
            for key, now in current.items()
            if key not in logged or (logged[key].content.digest, logged[key].content.problem) != now[:2]
        ]
        return set(current), ids[-1], differing

    async def _logged_keys(self, after: Key) -> list[Key]:
        return await change_log.current_keys(self._database.db, after, _PAGE_SIZE)

    async def _enter_all(self, keys: Collection[Key]) -> None:
        async def log_current(some: Collection[Key], transaction: WriteTransaction) -> None:
            for key in some:
                await transaction.log_current(key)

        todo = iter(keys)
        while some := list(islice(todo, GROUP_SIZE)):
            await self._writer.submit(partial(log_current, some))

    async def _checkpoint(self) -> None:
        """Copy the write-ahead log into the file while no program writes: a copy of the file then has all."""
        last, now = max(self._database.last_commit, self._writer.last_foreign_write), anyio.current_time()
        if (
            self._database.is_own
            and last > self._checkpointed
            and now - max(last, self._checkpoint_tried) > _CHECKPOINT_AFTER
        ):
            self._checkpoint_tried = now
            if await self._database.checkpoint():
                self._checkpointed = last


async def _mark_complete(notes: Sequence[int], transaction: WriteTransaction) -> None:
    await transaction.mark_complete()
    await transaction.delete_notes(notes)


async def _delete_notes(notes: Sequence[int], transaction: WriteTransaction) -> None:
    await transaction.delete_notes(notes)


async def _repair_triggers(transaction: WriteTransaction) -> None:
    await transaction.repair_triggers()


async def _delete_stale_rights(transaction: WriteTransaction) -> None:
    await transaction.delete_stale_rights()
