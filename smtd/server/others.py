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
from smtd.server import change_log, noting
from smtd.server.database import Replaced, ServedDatabase
from smtd.server.transaction import WriteTransaction
from smtd.server.writer import GROUP, Writer
from smtd.stores.django import reader

log = logging.getLogger("smtd")

#: Seconds between two checks whether other programs have written.
TICK = 0.1
#: Seconds for which a record must stay untouched before it is entered, and seconds since the first touch
#: after which it is entered anyway.
SETTLED, PATIENCE = 0.1, 1.0
#: Comparisons of all records take at most this share of the time.
SHARE = 0.05
#: Keys that are compared at a time.
_PAGE = 500
#: Seconds without a commit after which the write-ahead log is copied into the file itself (a checkpoint).
_REST = 1.0
#: Earlier than any other time.
_AT_ONCE = float("-inf")


@dataclass(slots=True)
class _Touched:
    """A key that other programs touched: when first and last, and the numbers of its notes."""

    first: float
    last: float
    numbers: Sequence[int]


class OtherWriters:
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
        #: The earliest time of the next comparison of all records (None: none is due). `_AT_ONCE` also skips
        #: the rest after the last one.
        self._all_at: float | None = None if complete else _AT_ONCE
        #: The notes of rows that many records share, and those of them that the running comparison of all
        #: records covers (None: none is running).
        self._shared: Sequence[int] = ()
        self._looking_for: Sequence[int] | None = None
        self._version: int | None = None
        #: The version of the database up to which the notes were read.
        self._read: int | None = None
        self._rests_until = float("-inf")
        #: The time of the last commit that is certainly in the file itself, and of the last checkpoint tried.
        self._checkpointed = self._tried = float("-inf")

    async def run(self) -> None:
        """Watch for writes until cancelled.

        Rights that other programs change take effect at once, however long it takes to enter their records.
        Raises Replaced if another file, or another state of it, has taken the place of the database.
        """
        loops = (self._see, self._enter_settled, self._look_when_asked)
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
                    log.warning("the server cannot see what others write: %s", exc)
                is_down = True
            await anyio.sleep(TICK)

    async def _see(self) -> None:
        """Check whether other programs have written, and reload rights and projects; only read."""
        database = self._database
        version = await database.read(database.version)
        if version == self._version:
            return
        is_noted = await database.read(database.notes_others)
        if await database.reload():
            self._rights_changed()
        now = anyio.current_time()
        if self._version is not None:
            self._writer.others_wrote = now
            if not database.made and self._all_at is None:
                self._all_at = now + 2 * SETTLED
        if database.made and not is_noted:
            log.warning("%s lacks triggers of smtd's server; they are made anew", database.path)
            self._mistrust()
        self._version = version

    def _mistrust(self) -> None:
        """Make a comparison of all records due: without notes, the log may lack what other programs wrote."""
        self.is_complete = False
        self._all_at = _AT_ONCE

    async def _enter_settled(self) -> None:
        """Enter the records that other programs touched and that have settled; restore missing triggers."""
        database, version = self._database, self._version
        if database.made and (version != self._read or self._touched):
            if not await database.read(database.notes_others):
                self._mistrust()
                await self._writer.submit(_repair)
                self._mistrust()  # a comparison that began before the repair is not enough
            await self._look_at_touched()
        if database.has_stale_rights:
            await self._writer.submit(_forget_stale_rights)
            database.has_stale_rights = False
        self._read = version
        if not self._touched and self._all_at is None and self._looking_for is None:
            database.entered = version
        await self._rest()

    async def _look_when_asked(self) -> None:
        """Compare all records with the log, if that is due."""
        if self._all_at is None:
            return
        if self._all_at != _AT_ONCE and anyio.current_time() < max(self._all_at, self._rests_until):
            return
        self._looking_for, self._all_at = self._shared, None
        try:
            await self._look_at_all()
        except BaseException:
            self._all_at = self._all_at or anyio.current_time()
            raise
        finally:
            self._looking_for = None

    async def _look_at_touched(self) -> None:
        """Read the notes of the triggers, and enter the keys that have settled."""
        now = anyio.current_time()
        notes = await self._database.read(partial(noting.notes, self._database.db))
        self._shared = notes.shared
        if notes.shared and (not self._looking_for or self._looking_for[-1] < notes.shared[-1]):
            self._all_at = self._all_at or now
        for key, numbers in notes.touched.items():
            touched = self._touched.setdefault(key, _Touched(now, now, numbers))
            if touched.numbers[-1] != numbers[-1]:
                touched.last = now
            touched.numbers = numbers
        if notes.idle:
            await self._writer.submit(partial(_forget, notes.idle))
        settled = {
            key: touched.numbers
            for key, touched in self._touched.items()
            if now - touched.last >= SETTLED or now - touched.first >= PATIENCE
        }
        while some := dict(islice(settled.items(), GROUP)):
            await self._writer.submit(partial(self._enter, some))
            for key in some:
                del settled[key], self._touched[key]

    async def _enter(self, keys: dict[Key, Sequence[int]], transaction: WriteTransaction) -> None:
        """Enter *keys*, and delete the notes of each."""
        for key, numbers in keys.items():
            await transaction.enter(key)
            await transaction.forget_notes(numbers)

    async def _look_at_all(self) -> None:
        """Compare every record with the log, a page at a time, and enter what differs.

        The notes stay until it is complete, so that it is repeated if it fails or the server stops.
        """
        began = anyio.current_time()
        seen: set[Key] = set()
        last = reader.LOWEST
        while page := await self._database.read(partial(self._page, last)):
            rows, last, differing = page
            seen |= rows
            await self._enter_all(differing)
        after = Key("", "")
        while keys := await self._database.read(partial(self._logged, after)):
            after = keys[-1]
            await self._enter_all([key for key in keys if key not in seen])
        if self._all_at != _AT_ONCE:  # else triggers were found missing during the comparison
            done = self._looking_for or ()
            await self._writer.submit(partial(_complete, done))
            self.is_complete = self._all_at != _AT_ONCE
        now = anyio.current_time()
        self._rests_until = now + (now - began) / SHARE

    async def _page(self, last: int) -> tuple[set[Key], int, list[Key]] | None:
        """Return the keys of the next rows after *last*, the last row id, and the keys the log has wrong."""
        db = self._database.db
        asked = (
            "SELECT db_id FROM django_store_record WHERE db_id > ? AND project_id IS NOT NULL"
            f" ORDER BY db_id LIMIT {_PAGE}"
        )
        async with db.reading():
            ids = [row_id for (row_id,) in await db.fetch(asked, (last,))]
            found = [raw.found() for raw in await reader.by_id(db, ids)]
            logged = await change_log.rows_of(db, {each.key for each in found})
        if not ids:
            return None
        held = {each.key: change_log.content_of([each]) for each in found}
        differing = [
            key
            for key, now in held.items()
            if key not in logged or (logged[key].content.digest, logged[key].content.problem) != now[:2]
        ]
        return set(held), ids[-1], differing

    async def _logged(self, after: Key) -> list[Key]:
        return await change_log.keys_there(self._database.db, after, _PAGE)

    async def _enter_all(self, keys: Collection[Key]) -> None:
        async def enter(some: Collection[Key], transaction: WriteTransaction) -> None:
            for key in some:
                await transaction.enter(key)

        todo = iter(keys)
        while some := list(islice(todo, GROUP)):
            await self._writer.submit(partial(enter, some))

    async def _rest(self) -> None:
        """Copy the write-ahead log into the file while no program writes: a copy of the file then has all."""
        last, now = max(self._database.last_commit, self._writer.others_wrote), anyio.current_time()
        if self._database.made and last > self._checkpointed and now - max(last, self._tried) > _REST:
            self._tried = now
            if await self._database.checkpoint():
                self._checkpointed = last


async def _complete(notes: Sequence[int], transaction: WriteTransaction) -> None:
    await transaction.complete()
    await transaction.forget_notes(notes)


async def _forget(notes: Sequence[int], transaction: WriteTransaction) -> None:
    await transaction.forget_notes(notes)


async def _repair(transaction: WriteTransaction) -> None:
    await transaction.repair()


async def _forget_stale_rights(transaction: WriteTransaction) -> None:
    await transaction.forget_stale_rights()
