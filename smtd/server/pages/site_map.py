"""Which page answers which request."""

from __future__ import annotations

from collections.abc import Mapping

import anyio
from aiohttp import web

from smtd.server.answers import LargeAnswer
from smtd.server.database import ServedDatabase
from smtd.server.pages.catalog import ServedCatalog
from smtd.server.pages.dispatch import PageRequest, Show
from smtd.server.pages.edits import EditPages
from smtd.server.pages.indexing import Indexing
from smtd.server.pages.project_edit import ProjectEditPages
from smtd.server.pages.projects import ProjectPages
from smtd.server.pages.reading import Reading
from smtd.server.writer import Writer
from smtd.web import forms
from smtd.web.records.catalog import RecordRequest, ShowRecords
from smtd.web.records.live_pages import LivePages
from smtd.web.records.record_pages import RecordPages
from smtd.web.records.table_pages import TablePages
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
    projects = ProjectPages(database, templates)
    live = LivePages(templates, ending)
    table, record = TablePages(templates), RecordPages(templates, LargeAnswer)
    edits = EditPages(reading, templates, writer)
    project = ProjectEditPages(database, reading, templates, writer)

    def of_caller(show: ShowRecords) -> Show:
        async def show_records(request: PageRequest) -> web.StreamResponse:
            catalog = ServedCatalog(request, reading, indexing)
            return await show(RecordRequest(request.http, request.visit, catalog))

        return show_records

    async def choose_columns(request: PageRequest) -> web.StreamResponse:
        return table.choose_columns(await forms.read(request.http, request.visit.token), {})

    return {
        ("GET", "/"): projects.show,
        ("GET", "/project"): of_caller(table.show),
        ("POST", "/project/columns"): choose_columns,
        ("GET", "/project/edit"): project.ask,
        ("POST", "/project/edit"): project.save,
        ("GET", "/project/live"): of_caller(live.follow_table),
        ("GET", "/record/live"): of_caller(live.follow_record),
        ("GET", "/parameters"): of_caller(table.show_parameters),
        ("GET", "/record"): of_caller(record.show),
        ("GET", "/record/text"): of_caller(record.show_text),
        ("GET", "/record/edit"): edits.ask,
        ("POST", "/record/edit"): edits.save,
        ("GET", "/record/delete"): edits.ask_deletion,
        ("POST", "/record/delete"): edits.delete,
        ("GET", "/compare"): of_caller(record.compare),
        ("GET", "/data"): of_caller(record.show_data),
    }
