"""The page of one record, its long texts as files, several records compared, and who used a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TypeAlias

import anyio
import msgspec
from aiohttp import web
from anyio import to_thread

from smtd.records.record import Key, Record
from smtd.web import answers
from smtd.web.answers import HEADERS, PageError
from smtd.web.records import comparison, record_view
from smtd.web.records.catalog import Catalog, RecordRequest, ShowRecords
from smtd.web.records.comparison import compared
from smtd.web.records.data_view import data_view
from smtd.web.records.live_pages import LivePages
from smtd.web.records.query import place_size
from smtd.web.records.table_pages import TablePages
from smtd.web.templates import Templates

#: Makes an answer of a body, its media type and headers; bodies may be large.
Send: TypeAlias = Callable[[bytes, str, Mapping[str, str]], web.Response]


class RecordPages:
    """Shows single records; *send* answers with what is too long for a page."""

    def __init__(self, templates: Templates, send: Send) -> None:
        self._templates = templates
        self._send = send

    async def show(self, request: RecordRequest) -> web.Response:
        """Show one record."""
        key, catalog = _key(request), request.catalog
        async with catalog.record(key) as (record, digest):
            view = await to_thread.run_sync(record_view.record_view, record, place_size(catalog.place))
        return answers.page(
            self._templates,
            "record.html",
            request.visit,
            place=catalog.place,
            key=key,
            record=view,
            digest=digest,
            sides=await catalog.sides(key),
            may_edit=catalog.may_edit(key.project),
            may_delete=catalog.may_delete(key.project),
        )

    async def show_text(self, request: RecordRequest) -> web.StreamResponse:
        """Send all of a part of a record as a file of plain text."""
        key = _key(request)
        part = request.query.required("part")
        async with request.catalog.record(key) as (record, _):
            text = await to_thread.run_sync(record_view.as_text, record, part)
            if text is None:
                raise PageError(HTTPStatus.NOT_FOUND, "A record has no such part.")
            body = await to_thread.run_sync(_encoded, text)
        headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{part}.txt"'}
        answer = self._send(body, "text/plain", headers)
        answer.charset = "utf-8"
        return answer

    async def compare(self, request: RecordRequest) -> web.Response:
        """Show what differs between records."""
        form, catalog = request.query, request.catalog
        project = form.required("project")
        catalog.project(project)
        labels = list(dict.fromkeys(form.all("label")))
        if not 2 <= len(labels) <= comparison.MOST:
            sentence = f"Choose two records to compare, or more, but at most {comparison.MOST}."
            raise PageError(HTTPStatus.BAD_REQUEST, sentence)
        records = [await _without_output(catalog, Key(project, label)) for label in labels]
        found = await to_thread.run_sync(compared, records)
        return answers.page(
            self._templates,
            "compare.html",
            request.visit,
            place=catalog.place,
            project=project,
            labels=labels,
            comparison=found,
        )

    async def show_data(self, request: RecordRequest) -> web.Response:
        """Show which records read or made a file."""
        catalog = request.catalog
        path = request.query.one("path").strip()
        progress, index = await catalog.progress(), catalog.index
        projects = catalog.projects  # as the index knows them now
        uses = await index.uses(projects, path) if path and projects else []
        others = [each for each in await _paths(catalog, path) if each != path]
        found = data_view(uses, others, place_size(catalog.place))
        return answers.page(
            self._templates,
            "data.html",
            request.visit,
            place=catalog.place,
            other_catalogs=catalog.others,
            path=path,
            uses=found.uses,
            others=found.others,
            progress=progress,
        )


def shows(templates: Templates, send: Send, ending: anyio.Event) -> Mapping[str, ShowRecords]:
    """Return what shows the page of each path; streams, whose paths end with `live`, end with *ending*."""
    table, record, live = TablePages(templates), RecordPages(templates, send), LivePages(templates, ending)
    return {
        "/project": table.show,
        "/project/live": live.follow_table,
        "/parameters": table.show_parameters,
        "/record": record.show,
        "/record/live": live.follow_record,
        "/record/text": record.show_text,
        "/compare": record.compare,
        "/data": record.show_data,
    }


def _key(request: RecordRequest) -> Key:
    """Return the key that the address names, if the visitor may read its project. Raises PageError."""
    form = request.query
    key = Key(form.required("project"), form.required("label"))
    request.catalog.project(key.project)
    return key


async def _without_output(catalog: Catalog, key: Key) -> Record:
    async with catalog.record(key) as (record, _):
        return msgspec.structs.replace(record, stdout_stderr="")


async def _paths(catalog: Catalog, path: str) -> list[str]:
    name = path.rstrip("/").rpartition("/")[2]
    return await catalog.index.paths(catalog.projects, name) if name and catalog.projects else []


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")
