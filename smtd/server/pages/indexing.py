"""Fill the search index of the pages from the changes of the served database, as long as somebody uses it."""

from __future__ import annotations

import logging
import sqlite3
import time
from http import HTTPStatus

import anyio

from smtd.errors import StoreError
from smtd.server.alarm import Alarm
from smtd.server.backend import Replaced
from smtd.server.change_log import LogRow
from smtd.server.database import ServedDatabase
from smtd.web.answers import PageError
from smtd.web.records.catalog import Progress
from smtd.web.records.index import Indexed, SearchIndex

log = logging.getLogger("smtd")

#: Changes, and about how many bytes of their records, that are taken in at a time: requests wait meanwhile.
_CHANGES, _BYTES = 200, 2**19
#: For this many seconds after somebody has opened a page the index is filled without pauses, and is filled at
#: all: what nobody uses costs nothing.
_WATCHED, _USED = 60.0, 900.0
#: How many times as long as its last step the index pauses while nobody watches, and the first pause, in
#: seconds, in which changes gather.
_PAUSE, _GATHER = 4.0, 1.0
#: Seconds for which a page waits for the index, and those until what failed is tried again.
PATIENCE, _RETRY = 1.0, 5.0


class Indexing:
    """Keeps *index* up to date with *database* while people open pages.

    `run` does the work; `wake` says that there is some.
    """

    def __init__(self, database: ServedDatabase, index: SearchIndex) -> None:
        self.index = index
        self._database = database
        self._source = database.name
        self._changed = Alarm()
        self._advanced = Alarm()
        self._watched = float("-inf")
        #: Whether the index has nothing of another store, or of another state of this one.
        self._has_begun = False

    def wake(self) -> None:
        """Take in what was committed, soon."""
        self._changed.ring()

    async def run(self) -> None:
        """Follow the database until cancelled. Raises Replaced."""
        while True:
            try:
                await self._follow()
            except Replaced:
                raise
            except StoreError as exc:
                log.info("the search index waits for the store: %s", exc)
            except sqlite3.Error as exc:
                log.warning("the search index of the pages is filled again, since it failed: %s", exc)
                await self._empty()
            await anyio.sleep(_RETRY)

    async def _empty(self) -> None:
        try:
            await self.index.empty(self._source)
        except sqlite3.Error as exc:
            log.warning("the search index of the pages cannot be used: %s", exc)

    async def _follow(self) -> None:
        # A page must never take the cursor of a lost future for a complete index.
        await self.index.begin(self._source, self._can_continue)
        self._has_begun = True
        while True:
            await self._visit()
            rings, began = self._changed.rings, time.monotonic()
            more = await self._step()
            self._advanced.ring()
            if not more:
                await self._changed.wait(rings, float("inf"))
            if not self._is_watched:
                await self._pause(_PAUSE * (time.monotonic() - began) if more else _GATHER)

    def _can_continue(self, cursor: str) -> bool:
        return self._database.eras.can_continue(_number(cursor), self._database.head)

    async def _visit(self) -> None:
        """Wait until somebody has opened a page not long ago."""
        while time.monotonic() - self._watched > _USED:
            await self._changed.wait(self._changed.rings, float("inf"))

    async def _pause(self, seconds: float) -> None:
        """Wait for *seconds*, or until somebody opens a page."""
        deadline = time.monotonic() + seconds
        while not self._is_watched and (left := deadline - time.monotonic()) > 0:
            await self._changed.wait(self._changed.rings, left)

    @property
    def _cursor(self) -> int:
        """The number of the last change that the index has."""
        return _number(self.index.cursor)

    @property
    def _is_watched(self) -> bool:
        return time.monotonic() - self._watched < _WATCHED

    async def _step(self) -> bool:
        """Take in the next changes; say whether there may be more."""
        page = await self._database.changes_since(self._cursor, _CHANGES, None, bytes_of_records=_BYTES)
        batch: list[Indexed] = []
        for row, record in page.changes:
            digest, problem = row.content.validator, row.content.problem
            if record is not None or row.content.digest is None:
                batch.append(Indexed(row.key, digest, record, problem))
                continue
            # It is too large for the feed: only one such record is in memory at a time.
            await self.index.apply(batch, str(row.seq - 1))
            batch = []
            await self.index.apply([await self._read(row)], str(row.seq))
        cursor = page.changes[-1][0].seq if page.more else page.head
        if batch or cursor != self._cursor:
            await self.index.apply(batch, str(cursor))
        return page.more

    async def _read(self, row: LogRow) -> Indexed:
        now = (await self._database.current_records([row.key]))[row.key]
        record = None if now.content.problem else now.record
        # Without either it was deleted meanwhile, which is a later change.
        return Indexed(row.key, now.content.validator, record, now.content.problem)

    def _has_all(self, number: int) -> bool:
        """Say whether the index has all changes up to *number*."""
        return self._has_begun and self._cursor >= number

    def knows(self, project: str) -> bool:
        """Say whether all that the index has of *project* is of it, and not of one that had its name before.

        Other users may have been allowed to read that one.
        """
        return self._has_all(self._database.appeared.get(project, 0))

    async def progress_in(self, project: str) -> Progress:
        """Return what `progress` does. Raises PageError unless the index `knows` *project* then."""
        found = await self.progress()
        if not self.knows(project):
            sentence = f"The search index does not have project {project} yet. Try again in a moment."
            raise PageError(HTTPStatus.SERVICE_UNAVAILABLE, sentence)
        return found

    async def progress(self) -> Progress:
        """Wait a moment for the index to have all that is committed, and return how far it is."""
        self._watched = time.monotonic()
        self.wake()
        head = self._database.head
        with anyio.move_on_after(PATIENCE):
            while not self._has_all(head):
                await self._advanced.wait(self._advanced.rings, PATIENCE)
        if self._has_all(head) and self._database.has_all_records:
            return Progress(True)
        totals = await self._database.totals()
        return Progress(False, await self.index.count(), sum(each.records for each in totals.values()))


def _number(cursor: str) -> int:
    """Return the number that *cursor* of the index is."""
    return int(cursor or 0)
