"""What changes on a page of records while somebody looks: streams of Server-Sent Events.

A stream looks every two seconds, and sends the HTML of the parts that have changed. A page that is hidden
closes its stream (`script.js`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from http import HTTPStatus

import anyio
from aiohttp import web

from smtd.errors import SmtdError
from smtd.records.record import Key
from smtd.web.answers import HEADERS, PageError
from smtd.web.records import query
from smtd.web.records.catalog import RecordRequest
from smtd.web.records.statements import MOST_COUNTED
from smtd.web.templates import Templates

#: Seconds between two looks, until a stream ends (the browser begins another), and between two comments.
_LOOK, _LONGEST, _SILENCE = 2.0, 900.0, 15.0
#: The most streams at once, of all visitors and of one.
_STREAMS, _OF_ONE = 100, 8

#: Returns the parts of a page that are live, by their ids.
Parts = Callable[[], Awaitable[Mapping[str, str]]]


class LivePages:
    """Streams what changes on pages of records; *ending* is set when the process ends."""

    def __init__(self, templates: Templates, ending: anyio.Event) -> None:
        self._templates = templates
        self._ending = ending
        self._streams: Counter[str] = Counter()

    async def follow_table(self, request: RecordRequest) -> web.StreamResponse:
        """Stream how many records a table finds, and how many of them are new since it was shown."""
        form, catalog = request.query, request.catalog
        project = form.required("name")
        catalog.project(project)
        asked, newest = query.of_form(project, form).at_first, _number(form.one("newest"))

        async def parts() -> Mapping[str, str]:
            total, new = await catalog.index.newer(asked, newest)
            values = {"place": catalog.place, "project": project, "fields": query.fields(asked)}
            return {
                part: self._templates.page(
                    f"{part}_part.html", request.visit, total=total, new=new, most=MOST_COUNTED, **values
                )
                for part in ("found", "fresh")
            }

        return await self._stream(request, project, parts)

    async def follow_record(self, request: RecordRequest) -> web.StreamResponse:
        """Stream whether a record is another one than the one that was shown."""
        form, catalog = request.query, request.catalog
        key, shown = Key(form.required("project"), form.required("label")), form.required("digest")
        catalog.project(key.project)

        async def parts() -> Mapping[str, str]:
            now = (await catalog.index.digests([key])).get(key)
            values = {"place": catalog.place, "key": key, "now": now, "shown": shown}
            return {"changed": self._templates.page("changed_part.html", request.visit, **values)}

        return await self._stream(request, key.project, parts)

    async def _stream(self, request: RecordRequest, project: str, parts: Parts) -> web.StreamResponse:
        user = request.visit.user
        if self._streams.total() >= _STREAMS or self._streams[user] >= _OF_ONE:
            raise PageError(HTTPStatus.SERVICE_UNAVAILABLE, "Too many pages are open; close some.")
        headers = {**HEADERS, "Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
        answer = web.StreamResponse(headers=headers)
        self._streams[user] += 1
        try:
            await answer.prepare(request.http)
            with anyio.move_on_after(_LONGEST), suppress(ConnectionError, SmtdError, PageError):
                await self._send(answer, request, project, parts)
        finally:
            self._streams[user] -= 1
            self._streams += Counter()  # drops those who have none
        return answer

    async def _send(
        self, answer: web.StreamResponse, request: RecordRequest, project: str, parts: Parts
    ) -> None:
        catalog, cursor = request.catalog, None
        sent: Mapping[str, str] = {}
        last = anyio.current_time()
        while not self._ending.is_set() and await catalog.may_still_read(project):
            is_complete = (await catalog.progress(project)).is_complete
            if is_complete and catalog.index.cursor != cursor:
                cursor, found = catalog.index.cursor, await parts()
                changed = {part: html for part, html in found.items() if sent.get(part) != html}
                sent = found
                if changed:
                    await answer.write(f"data: {json.dumps(changed)}\n\n".encode())
                    last = anyio.current_time()
            if anyio.current_time() - last > _SILENCE:
                await answer.write(b":\n\n")
                last = anyio.current_time()
            with anyio.move_on_after(_LOOK):
                await self._ending.wait()


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0
