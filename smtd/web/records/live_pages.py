"""What changes on a page of records while somebody looks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

import anyio
from aiohttp import web

from smtd.records.record import Key
from smtd.web.answers import PageError
from smtd.web.live import LiveStreams, StreamLimits
from smtd.web.records import query
from smtd.web.records.catalog import RecordRequest
from smtd.web.records.statements import MOST_COUNTED
from smtd.web.templates import Templates

#: As `StreamLimits` has them.
_PERIOD, _LONGEST = 2.0, 900.0
_STREAMS, _OF_ONE = 100, 8


class LivePages:
    """Streams what changes on pages of records; *ending* is set when the process ends."""

    def __init__(self, templates: Templates, ending: anyio.Event) -> None:
        self._templates = templates
        self._streams = LiveStreams(ending)

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

    async def _stream(
        self, request: RecordRequest, project: str, parts: Callable[[], Awaitable[Mapping[str, str]]]
    ) -> web.StreamResponse:
        """Stream *parts*, which are made again when the index has other records, to those who may read."""
        catalog, cursor = request.catalog, None

        async def changed() -> Mapping[str, str] | None:
            nonlocal cursor
            if not await catalog.may_still_read(project):
                raise PageError(HTTPStatus.FORBIDDEN, f"You may not read project {project} any more.")
            is_complete = (await catalog.progress(project)).is_complete
            if not is_complete or catalog.index.cursor == cursor:
                return None
            cursor = catalog.index.cursor
            return await parts()

        limits = StreamLimits(_PERIOD, _LONGEST, _STREAMS, _OF_ONE)
        return await self._streams.send(request.http, request.visit.user, changed, limits)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0
