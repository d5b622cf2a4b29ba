"""What changes on a page while somebody looks: streams of Server-Sent Events with the HTML of its parts.

A page that is hidden closes its stream (`script.js`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import NamedTuple, TypeAlias

import anyio
from aiohttp import web

from smtd.errors import SmtdError
from smtd.web.answers import HEADERS, PageError

#: Seconds between two comments.
_SILENCE = 15.0

#: Returns the parts of a page that are live, by their ids; None: none has changed. PageError: it is over.
Parts: TypeAlias = Callable[[], Awaitable[Mapping[str, str] | None]]


class StreamLimits(NamedTuple):
    """The seconds between two checks for changes, the most that a stream lasts, and how many there may be.

    The browser then begins another one. *most* is of all visitors together, *of_one* of one visitor.
    """

    period: float
    longest: float
    most: int
    of_one: int


class LiveStreams:
    """Streams the parts of pages; all streams end when *ending* is set."""

    def __init__(self, ending: anyio.Event) -> None:
        self._ending = ending
        self._streams: Counter[str] = Counter()

    async def send(
        self, request: web.Request, user: str, parts: Parts, limits: StreamLimits
    ) -> web.StreamResponse:
        """Send *parts* to *user* as they change, until the stream ends. Raises PageError for one too many."""
        if self._streams.total() >= limits.most or self._streams[user] >= limits.of_one:
            raise PageError(HTTPStatus.SERVICE_UNAVAILABLE, "Too many pages are open; close some.")
        headers = {**HEADERS, "Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
        answer = web.StreamResponse(headers=headers)
        self._streams[user] += 1
        try:
            await answer.prepare(request)
            with anyio.move_on_after(limits.longest), suppress(ConnectionError, SmtdError, PageError):
                await self._send(answer, parts, limits.period)
        finally:
            self._streams[user] -= 1
            self._streams += Counter()  # drops those who have none
        return answer

    async def _send(self, answer: web.StreamResponse, parts: Parts, period: float) -> None:
        sent: Mapping[str, str] = {}
        last = anyio.current_time()
        while not self._ending.is_set():
            found = await parts()
            changed = {part: html for part, html in (found or {}).items() if sent.get(part) != html}
            if changed:
                sent = {**sent, **changed}
                await answer.write(f"data: {json.dumps(changed)}\n\n".encode())
                last = anyio.current_time()
            elif anyio.current_time() - last > _SILENCE:
                await answer.write(b":\n\n")
                last = anyio.current_time()
            with anyio.move_on_after(period):
                await self._ending.wait()
