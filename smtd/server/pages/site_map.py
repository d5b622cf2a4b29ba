"""Which page answers which request."""

from __future__ import annotations

from collections.abc import Mapping

import anyio
from aiohttp import web

from smtd.server.answers import LargeAnswer
from smtd.server.database import ServedDatabase
from smtd.server.pages.catalog import Reading, ServedCatalog
from smtd.server.pages.dispatch import PageRequest, Show
from smtd.server.pages.edits import EditPages
from smtd.server.pages.indexing import Indexing
from smtd.server.pages.projects import ProjectPages
from smtd.server.writer import Writer
from smtd.web import forms
from smtd.web.records import record_pages
from smtd.web.records.catalog import RecordRequest, ShowRecords
from smtd.web.records.table_pages import choose_columns
from smtd.web.templates import Templates


def shows(
    database: ServedDatabase,
    templates: Templates,
    writer: Writer,
    indexing: Indexing,
    ending: anyio.Event,
) -> Mapping[tuple[str, str], Show]:
    """Return what answers each method and path; streams end when *ending* is set."""
    reading = Reading(database)
    projects = ProjectPages(database, reading, templates, writer)
    edits = EditPages(reading, templates, writer)

    def of_caller(show: ShowRecords) -> Show:
        async def show_records(request: PageRequest) -> web.StreamResponse:
            catalog = ServedCatalog(request, reading, indexing)
            return await show(RecordRequest(request.http, request.visit, catalog))

        return show_records

    async def choose(request: PageRequest) -> web.StreamResponse:
        return choose_columns(templates.site, await forms.read(request.http, request.visit.token), {})

    shared = record_pages.shows(templates, LargeAnswer, ending)
    return {
        **{("GET", path): of_caller(show) for path, show in shared.items()},
        ("GET", "/"): projects.show,
        ("POST", "/project/columns"): choose,
        ("GET", "/project/edit"): projects.ask,
        ("POST", "/project/edit"): projects.save,
        ("GET", "/record/edit"): edits.ask,
        ("POST", "/record/edit"): edits.save,
        ("GET", "/record/delete"): edits.ask_deletion,
        ("POST", "/record/delete"): edits.delete,
    }
