"""Follow the feed of smtd's own server, so that a change there is known as soon as it happens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio

from smtd.backoff import pauses
from smtd.errors import SmtdError
from smtd.stores.driver import Announcements
from smtd.stores.http.feed_api import FeedApi, Gone
from smtd.wakeup import waking

log = logging.getLogger("smtd")

#: Seconds between two attempts to open the stream again: the first and the longest pause.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0
#: Seconds to wait for the first sign of life: a proxy may hold a stream back.
START = 10.0
#: After this number of failures in a row, a cycle has to find out what is wrong with the server.
FAILURES = 2


@asynccontextmanager
async def listening(api: FeedApi, changed: Callable[[], None]) -> AsyncIterator[Announcements]:
    """Call *changed* when a record on the server changed, or may have, for the length of a `with` block.

    Everything that changes after the block was entered is noticed. Raises what a request raises.
    """
    follower = _Follower(api, changed)
    # No group of anyio's: the block may be left in another scope than it was entered in.
    task = asyncio.create_task(follower.run())
    try:
        with anyio.move_on_after(START):
            await follower.tried.wait()
        if follower.number is None:
            follower.number = (await api.changes(None)).next
        yield Announcements(lambda: not task.done(), lambda: follower.is_current)
    finally:
        task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.gather(task, return_exceptions=True)


class _Follower:
    """Calls *changed* for changes on the server, until `run` is cancelled."""

    def __init__(self, api: FeedApi, changed: Callable[[], None]) -> None:
        #: The number to continue from (None: from now on).
        self.number: int | None = None
        #: Whether a stream is open that has announced each change so far.
        self.is_current = False
        #: Set when the first attempt to open a stream has succeeded or failed.
        self.tried = anyio.Event()
        self._api = api
        self._changed = changed
        #: There may have been changes that no stream announces.
        self._has_gap = False
        self._failures = 0

    async def run(self) -> None:
        """Open one stream after the other, and begin each where the last one ended."""
        retries = pauses(FIRST_PAUSE, LONGEST_PAUSE)
        while True:
            # After a sleep of the machine the stream is dead, and no pause has to end.
            with anyio.CancelScope() as scope, waking(scope.cancel):
                self._failures += 1
                is_gone = await self._follow()
                self.tried.set()
                if self._failures == 0:
                    retries = pauses(FIRST_PAUSE, LONGEST_PAUSE)
                if self._failures == FAILURES:
                    self._changed()
                if not is_gone or self._failures > 1:  # else a new number is all that the server wants
                    await anyio.sleep(next(retries))

    async def _follow(self) -> bool:
        """Follow one stream to its end; say whether the server did not know the number to continue from."""
        try:
            async with self._api.following(self.number) as stream:
                async for sign in stream:
                    self.number, self._failures, self.is_current = sign.number, 0, True
                    self.tried.set()
                    if sign.is_change or self._has_gap:
                        self._has_gap = False
                        self._changed()
        except Gone:
            self.number, self._has_gap = None, True
            return True
        except SmtdError as exc:
            # Polls go on, and report what is wrong.
            log.debug("the feed cannot be followed: %s", exc)
        finally:
            self.is_current = False
        return False
