"""What others, such as `smt` on the same machine, write into the served database: it is entered into the log.

In a file that smtd serve made triggers note which records somebody touched, in the commit that did. A save of
Sumatra is several commits, so a record is entered when nobody has touched it for a moment. In any other file
all records are looked at, when others have written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from itertools import islice

import anyio

from smtd.errors import StoreError
from smtd.records.record import Key
from smtd.server import change_log
from smtd.server.database import Replaced, ServedDatabase
from smtd.server.transaction import WriteTransaction
from smtd.server.writer import GROUP, Writer
from smtd.stores.django import reader

log = logging.getLogger("smtd")

#: Seconds between two looks at whether others have written.
TICK = 0.1
#: Seconds for which a record stays untouched before it is entered, and after which it is entered all the
#: same.
SETTLED, PATIENCE = 0.1, 1.0
#: A look at all records takes this share of the time at the most.
SHARE = 0.05
#: Keys that are compared at a time.
_PAGE = 500
#: Seconds of rest after which what was committed is brought into the file itself.
_REST = 1.0


@dataclass(slots=True)
class _Touched:
    """A key that others touched: when first and last, and by which number of `smtd_dirty` the last time."""

    first: float
    last: float
    number: int


class OtherWriters:
    """Enters what others write into the *database*, by its *writer*.

    *rights_changed* is called when others have changed rights. `is_complete`: the log has every record, so
    that who reads all of it can tell what is absent.
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
        #: All records are to be looked at, not before this time.
        self._all_at: float | None = None if complete else float("-inf")
        self._version: int | None = None
        self._rests_until = float("-inf")
        self._checkpointed = 0.0

    async def run(self) -> None:
        """Look until cancelled. Raises Replaced if another file is in the place of the database."""
        is_down = False
        while True:
            try:
                await self.look()
                is_down = False
            except Replaced:
                raise
            except StoreError as exc:
                if not is_down:
                    log.warning("the server cannot see what others write: %s", exc)
                is_down = True
            await anyio.sleep(TICK)

    async def look(self) -> None:
        """Enter what others have written, as far as it has settled."""
        database = self._database
        version = await database.read(database.version)
        if version != self._version:
            if self._version is not None:
                self._writer.others_wrote = anyio.current_time()
            if await database.reload():
                self._rights_changed()
            if database.has_stale_rights:
                await self._writer.submit(_forget_stale_rights)
                database.has_stale_rights = False
            if not database.made and self._all_at is None and self._version is not None:
                self._all_at = max(anyio.current_time() + 2 * SETTLED, self._rests_until)
        if database.made and (version != self._version or self._touched):
            await self._look_at_touched()
        self._version = version
        if self._all_at is not None and anyio.current_time() >= self._all_at:
            await self._look_at_all()
        if not self._touched and self._all_at is None:
            database.entered = version
        await self._rest()

    async def _look_at_touched(self) -> None:
        """Note what others touched, and enter what has settled."""
        now = anyio.current_time()
        dirty, is_shared = await self._database.read(self._dirty)
        if is_shared:
            self._all_at = now
        for key, number in dirty.items():
            touched = self._touched.setdefault(key, _Touched(now, now, number))
            if touched.number != number:
                touched.number, touched.last = number, now
        settled = {
            key: touched.number
            for key, touched in self._touched.items()
            if now - touched.last >= SETTLED or now - touched.first >= PATIENCE
        }
        while some := dict(islice(settled.items(), GROUP)):
            await self._writer.submit(partial(self._enter, some))
            for key in some:
                del settled[key], self._touched[key]

    async def _dirty(self) -> tuple[dict[Key, int], bool]:
        """Return the keys that others touched, each with the highest number of that.

        And whether they edited a row that many records share.
        """
        db = self._database.db
        asked = "SELECT project, label, record, max(id) FROM smtd_dirty GROUP BY project, label, record"
        found: dict[Key, int] = {}
        ignored, is_shared = 0, False
        for project, label, record, number in await db.fetch(asked):
            is_shared = is_shared or (project is None and label is None and record is None)
            if not isinstance(project, str) or not isinstance(label, str):
                ignored = max(ignored, number)  # a project, which is read again anyway, or no record of any
                continue
            key = Key(project, label)
            if isinstance(record, int):
                self._database.learn(record, key)
            found[key] = max(number, found.get(key, 0))
        if ignored:
            no_text = "typeof(project) <> 'text' OR typeof(label) <> 'text'"
            await db.run(f"DELETE FROM smtd_dirty WHERE ({no_text}) AND id <= ?", (ignored,))
        return found, is_shared

    async def _enter(self, keys: dict[Key, int], transaction: WriteTransaction) -> None:
        """Enter *keys*, and forget that they were touched up to the number of each."""
        for key, number in keys.items():
            await transaction.enter(key)
            await transaction.forget_touched(key, number)

    async def _look_at_all(self) -> None:
        """Compare every record with the log, a page at a time, and enter what differs."""
        began = anyio.current_time()
        self._all_at = None
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
        await self._writer.submit(_complete)
        self.is_complete = True
        now = anyio.current_time()
        self._rests_until = now + (now - began) / SHARE

    async def _page(self, last: int) -> tuple[set[Key], int, list[Key]] | None:
        """Return the keys of the next rows after *last*, the last number, and which differ from the log."""
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
        """Bring what was committed into the file while nobody writes: who copies it then has all of it."""
        last = self._database.last_commit
        if self._database.made and last > self._checkpointed and anyio.current_time() - last > _REST:
            self._checkpointed = last
            await self._database.checkpoint()


async def _complete(transaction: WriteTransaction) -> None:
    await transaction.complete()


async def _forget_stale_rights(transaction: WriteTransaction) -> None:
    await transaction.forget_stale_rights()
