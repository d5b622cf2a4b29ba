"""The page of one record, its long texts as files, several records compared, and who used a file."""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from aiohttp import web
from anyio import to_thread

from smtd.records.record import Key, Record
from smtd.server.accounts.rights import Right
from smtd.server.answers import LargeAnswer
from smtd.server.pages.dispatch import PageRequest
from smtd.server.pages.indexing import Indexing
from smtd.server.pages.reading import Reading
from smtd.web import answers, forms
from smtd.web.answers import HEADERS, PageError
from smtd.web.records import comparison, record_view
from smtd.web.records.comparison import compared
from smtd.web.records.index import MOST_USERS
from smtd.web.templates import Templates


class RecordPages:
    """Shows single records."""

    def __init__(self, reading: Reading, templates: Templates, indexing: Indexing) -> None:
        self._reading = reading
        self._templates = templates
        self._indexing = indexing

    async def show(self, request: PageRequest) -> web.Response:
        """Show one record."""
        key = await self._key(request)
        async with self._reading.record(key) as (record, _):
            view = await to_thread.run_sync(record_view.record_view, record)
        html = self._templates.page(
            "record.html",
            request.visit,
            key=key,
            record=view,
            may_write=request.caller.may(Right.WRITE, key.project),
        )
        return answers.page(html)

    async def show_text(self, request: PageRequest) -> web.StreamResponse:
        """Send all of a part of a record as a file of plain text."""
        key = await self._key(request)
        part = forms.query(request.http).required("part")
        async with self._reading.record(key) as (record, _):
            text = await to_thread.run_sync(record_view.as_text, record, part)
            if text is None:
                raise PageError(HTTPStatus.NOT_FOUND, "A record has no such part.")
            body = await to_thread.run_sync(_encoded, text)
        headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{part}.txt"'}
        answer = LargeAnswer(body, "text/plain", headers)
        answer.charset = "utf-8"
        return answer

    async def _key(self, request: PageRequest) -> Key:
        form = forms.query(request.http)
        key = Key(form.required("project"), form.required("label"))
        self._reading.project(request.caller, key.project)
        return key

    async def compare(self, request: PageRequest) -> web.Response:
        """Show what differs between records."""
        form = forms.query(request.http)
        project = form.required("project")
        self._reading.project(request.caller, project)
        labels = list(dict.fromkeys(form.all("label")))
        if not 2 <= len(labels) <= comparison.MOST:
            sentence = f"Choose two records to compare, or more, but at most {comparison.MOST}."
            raise PageError(HTTPStatus.BAD_REQUEST, sentence)
        records = [await self._without_output(Key(project, label)) for label in labels]
        found = await to_thread.run_sync(compared, records)
        html = self._templates.page(
            "compare.html", request.visit, project=project, labels=labels, comparison=found
        )
        return answers.page(html)

    async def _without_output(self, key: Key) -> Record:
        async with self._reading.record(key) as (record, _):
            return msgspec.structs.replace(record, stdout_stderr="")

    async def show_data(self, request: PageRequest) -> web.Response:
        """Show which records read or made a file."""
        path = forms.query(request.http).one("path").strip()
        progress = await self._indexing.progress()
        projects = [name for name in self._reading.readable(request.caller) if self._indexing.knows(name)]
        index = self._indexing.index
        uses = await index.uses(projects, path) if path and projects else []
        others = [each for each in await self._paths(path, projects) if each != path]
        html = self._templates.page(
            "data.html",
            request.visit,
            path=path,
            uses=uses[:MOST_USERS],
            has_more=len(uses) > MOST_USERS,
            others=others,
            progress=progress,
        )
        return answers.page(html)

    async def _paths(self, path: str, projects: list[str]) -> list[str]:
        name = path.rstrip("/").rpartition("/")[2]
        return await self._indexing.index.paths(projects, name) if name and projects else []


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")
