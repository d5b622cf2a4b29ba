"""Follow the feed of smtd's own server, so that a change there is known as soon as it happens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio

from smtd.backoff import pauses
from smtd.errors import SmtdError
from smtd.stores.http.feed_api import FeedApi, Gone

log = logging.getLogger("smtd")

#: Seconds between two attempts to reach the server again: the first and the longest pause.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0


@asynccontextmanager
async def listening(api: FeedApi, changed: Callable[[], None]) -> AsyncIterator[Callable[[], bool]]:
    """Call *changed* when a record on the server changed, or may have, for the length of a `with` block.

    Everything that changes after the block was entered is noticed. Yields a function that says whether that
    still is so. Raises what a request raises.
    """
    number = (await api.changes(None)).next
    # No group of anyio's: the block may be left in another scope than it was entered in.
    task = asyncio.create_task(_follow(api, number, changed))
    try:
        yield lambda: not task.done()
    finally:
        task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.gather(task, return_exceptions=True)


async def _follow(api: FeedApi, number: int | None, changed: Callable[[], None]) -> None:
    """Call *changed* for changes after *number*, until cancelled."""
    retries = pauses(FIRST_PAUSE, LONGEST_PAUSE)
    while True:
        try:
            page = await api.changes(number)
            if page.changes or page.more or number is None:
                changed()
            number = page.next
            async with api.following(number) as stream:
                async for sign in stream:
                    number, retries = sign.number, pauses(FIRST_PAUSE, LONGEST_PAUSE)
                    if sign.is_change:
                        changed()
        except Gone:
            number = None
        except SmtdError as exc:
            # Polls go on meanwhile, and say what is wrong.
            log.debug("the feed cannot be followed: %s", exc)
        await anyio.sleep(next(retries))
