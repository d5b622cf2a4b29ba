"""The first page of the server: the projects that its user may read."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from aiohttp import web

from smtd.server.accounts.rights import Right
from smtd.server.change_log import ProjectTotals
from smtd.server.database import ServedDatabase
from smtd.server.pages.dispatch import PageRequest
from smtd.web import answers
from smtd.web.templates import Templates


class ProjectRow(NamedTuple):
    """A project as the page shows it; *newest*: when its newest record was run, in UTC."""

    id: str
    name: str
    description: str
    records: int
    newest: datetime | None


class ProjectPages:
    """Shows the projects of *database*."""

    def __init__(self, database: ServedDatabase, templates: Templates) -> None:
        self._database = database
        self._templates = templates

    async def show(self, request: PageRequest) -> web.Response:
        """Show the projects, newest first."""
        totals = await self._database.totals()
        rows = [
            ProjectRow(name, info.name, info.description, found.records, _time(found.newest))
            for name, info in self._database.projects.items()
            if request.caller.may(Right.READ, name)
            for found in (totals.get(name, ProjectTotals()),)
        ]
        rows.sort(key=lambda row: (row.newest or datetime.min, row.id), reverse=True)
        return answers.page(self._templates, "projects.html", request.visit, projects=rows)


def _time(moment: str) -> datetime | None:
    """Return the time that the log of changes has as *moment*; None if that is empty, or no time."""
    try:
        return datetime.fromisoformat(moment)
    except ValueError:
        return None
