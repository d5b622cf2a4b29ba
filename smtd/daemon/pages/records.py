"""The records of the pairs: their projects as a list, and what the shared pages of records ask for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import NamedTuple

import anyio
from aiohttp import web

from smtd.daemon.pages.asking import Ask
from smtd.daemon.pages.dispatch import LocalRequest, Show
from smtd.daemon.pages.pair_catalog import PairCatalog
from smtd.daemon.pages.pair_indexes import PairIndexes, Start
from smtd.daemon.pages.record_edits import RecordEdits
from smtd.daemon.pair_records import PairAccess
from smtd.errors import SmtdError
from smtd.merge.sides import Both
from smtd.web import answers
from smtd.web.answers import PageError
from smtd.web.records import record_pages
from smtd.web.records.catalog import RecordRequest, ShowRecords
from smtd.web.records.table_pages import CHOSEN, choose_columns
from smtd.web.templates import Templates

#: Pages that read records at once.
_AT_ONCE = 2
#: The most projects in the list: a page has at most 100 kB.
_MOST_PROJECTS = 300


class PairProject(NamedTuple):
    """A project of a pair, and how many records of it each side has."""

    pair: str
    name: str
    left: int
    right: int


class PairPages:
    """Shows the records of the pairs that *access* knows; streams end when *ending* is set."""

    def __init__(
        self, ask: Ask, access: PairAccess, templates: Templates, start: Start, ending: anyio.Event
    ) -> None:
        self._ask = ask
        self._access = access
        self._templates = templates
        self._indexes = PairIndexes(access, start)
        self._reading = anyio.Semaphore(_AT_ONCE)
        self._ending = ending
        self._edits = RecordEdits(ask, templates)

    @property
    def shows(self) -> Mapping[tuple[str, str], Show]:
        """What answers each method and path."""
        shared = record_pages.shows(self._templates, _whole, self._ending)
        return {
            **{
                ("GET", path): self._stream(show) if path.endswith("/live") else self._of_pair(show)
                for path, show in shared.items()
            },
            ("GET", "/projects"): self.show_projects,
            ("POST", "/project/columns"): self._choose_columns,
            ("GET", "/record/edit"): self._ask_edit,
            ("POST", "/record/edit"): self._save_edit,
        }

    async def show_projects(self, request: LocalRequest) -> web.Response:
        """Show the projects of all pairs; this reads no store."""
        rows, problems = list[PairProject](), dict[str, str]()
        for name in self._access.names():
            try:
                counts = await self._record_counts(name)
            except SmtdError as exc:
                problems[name] = f"{exc}."
                continue
            if counts is None:
                problems[name] = "its first sync has not ended yet."
            rows += [
                PairProject(name, project, each.left, each.right) for project, each in (counts or {}).items()
            ]
        return answers.page(
            self._templates,
            "pair_projects.html",
            request.visit,
            rows=rows[:_MOST_PROJECTS],
            left_out=max(0, len(rows) - _MOST_PROJECTS),
            problems=dict(list(problems.items())[:20]),
            has_pairs=bool(self._access.names()),
        )

    async def _record_counts(self, name: str) -> Mapping[str, Both[int]] | None:
        records = await self._access.records(name)
        return None if records is None else await records.record_counts()

    def _of_pair(self, show: ShowRecords) -> Show:
        async def show_records(request: LocalRequest) -> web.StreamResponse:
            async with self._reading, self._catalog(request.query.one("pair")) as catalog:
                return await show(RecordRequest(request.http, request.visit, catalog))

        return show_records

    async def _ask_edit(self, request: LocalRequest) -> web.StreamResponse:
        async with self._reading, self._catalog(request.query.one("pair")) as catalog:
            return await self._edits.ask(request, catalog)

    async def _save_edit(self, request: LocalRequest) -> web.StreamResponse:
        form = await request.form()
        async with self._catalog(form.one("pair")) as catalog:
            return await self._edits.save(request, form, catalog)

    def _stream(self, show: ShowRecords) -> Show:
        async def follow(request: LocalRequest) -> web.StreamResponse:
            async with self._catalog(request.query.one("pair")) as catalog:
                return await show(RecordRequest(request.http, request.quiet_visit, catalog))

        return follow

    async def _choose_columns(self, request: LocalRequest) -> web.StreamResponse:
        form = await request.form()
        request.session.notice = CHOSEN
        return choose_columns(self._templates.site, form, {"pair": form.one("pair")})

    @asynccontextmanager
    async def _catalog(self, name: str) -> AsyncIterator[PairCatalog]:
        """Yield the records of the pair *name*, or of the first one, for a `with` block. Raises PageError."""
        names = self._access.names()
        name = name or (names[0] if names else "")
        records = await self._access.records(name)
        if records is None:
            sentence = f"The first sync of pair {name} has not ended yet; look again in a moment."
            raise PageError(HTTPStatus.SERVICE_UNAVAILABLE, sentence)
        counts = await records.record_counts()
        others = [other for other in names if other != name]
        async with self._indexes.of(name) as indexing:
            yield PairCatalog(records, indexing, self._ask, counts, others)


def _whole(body: bytes, media_type: str, headers: Mapping[str, str]) -> web.Response:
    return web.Response(body=body, content_type=media_type, headers=headers)
