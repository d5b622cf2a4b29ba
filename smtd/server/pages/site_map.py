"""Which page answers which request."""

from __future__ import annotations

from collections.abc import Mapping

from smtd.server.database import ServedDatabase
from smtd.server.pages.dispatch import Show
from smtd.server.pages.edits import EditPages
from smtd.server.pages.indexing import Indexing
from smtd.server.pages.project_edit import ProjectEditPages
from smtd.server.pages.projects import ProjectPages
from smtd.server.pages.reading import Reading
from smtd.server.pages.record import RecordPages
from smtd.server.pages.table import TablePages
from smtd.server.writer import Writer
from smtd.web.templates import Templates


def shows(
    database: ServedDatabase, templates: Templates, writer: Writer, indexing: Indexing
) -> Mapping[tuple[str, str], Show]:
    """Return what answers each method and path."""
    reading = Reading(database)
    projects = ProjectPages(database, templates)
    table = TablePages(reading, templates, indexing)
    record = RecordPages(reading, templates, indexing)
    edits = EditPages(reading, templates, writer)
    project = ProjectEditPages(database, reading, templates, writer)
    return {
        ("GET", "/"): projects.show,
        ("GET", "/project"): table.show,
        ("POST", "/project/columns"): table.choose_columns,
        ("GET", "/project/edit"): project.ask,
        ("POST", "/project/edit"): project.save,
        ("GET", "/parameters"): table.show_parameters,
        ("GET", "/record"): record.show,
        ("GET", "/record/text"): record.show_text,
        ("GET", "/record/edit"): edits.ask,
        ("POST", "/record/edit"): edits.save,
        ("GET", "/record/delete"): edits.ask_deletion,
        ("POST", "/record/delete"): edits.delete,
        ("GET", "/compare"): record.compare,
        ("GET", "/data"): record.show_data,
    }
