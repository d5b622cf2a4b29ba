"""The first page of the server: the projects that its user may read."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from aiohttp import web

from smtd.server.accounts.rights import Right
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
        newest = await self._database.newest_moments()
        counts = await self._database.record_counts()
        rows = [
            ProjectRow(name, info.name, info.description, counts.get(name, 0), _time(newest.get(name)))
            for name, info in self._database.projects.items()
            if request.caller.may(Right.READ, name)
        ]
        rows.sort(key=lambda row: (row.newest or datetime.min, row.id), reverse=True)
        return answers.page(self._templates.page("projects.html", request.visit, projects=rows))


def _time(moment: str | None) -> datetime | None:
    """Return the time that the log of changes has as *moment*; None if it has none."""
    try:
        return datetime.fromisoformat(moment) if moment else None
    except ValueError:
        return None
