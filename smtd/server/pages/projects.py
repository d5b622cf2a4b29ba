"""The projects that a user may read, and the form for the name and the description of one."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import NamedTuple

from aiohttp import web

from smtd.server.accounts.rights import Right
from smtd.server.authorization import check_right
from smtd.server.caller import Caller
from smtd.server.change_log import ProjectTotals
from smtd.server.database import ServedDatabase
from smtd.server.memory import ProjectInfo
from smtd.server.pages.catalog import Reading
from smtd.server.pages.dispatch import PageRequest
from smtd.server.pages.edits import caller_now
from smtd.server.projects_api import LONGEST_NAME
from smtd.server.transaction import WriteTransaction
from smtd.server.writer import Writer
from smtd.web import answers, forms
from smtd.web.answers import PageError
from smtd.web.records.run_words import one_line
from smtd.web.templates import Templates


class ProjectRow(NamedTuple):
    """A project as the page shows it; *newest*: when its newest record was run, in UTC."""

    id: str
    name: str
    description: str
    records: int
    newest: datetime | None


class ProjectPages:
    """Shows the projects of *database*, and changes one by *writer*."""

    def __init__(
        self, database: ServedDatabase, reading: Reading, templates: Templates, writer: Writer
    ) -> None:
        self._database = database
        self._reading = reading
        self._templates = templates
        self._writer = writer

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

    async def ask(self, request: PageRequest) -> web.Response:
        """Show the form for the name and the description of a project."""
        project = forms.query(request.http).required("project")
        info = self._reading.project(request.caller, project, Right.WRITE)
        return self._form(request, project, info, info)

    async def save(self, request: PageRequest) -> web.Response:
        """Store the name and the description of a project, if nobody else changed the same one meanwhile."""
        form = await forms.read(request.http, request.visit.token)
        project = form.required("project")
        self._reading.project(request.caller, project, Right.WRITE)
        before = _as_sent(ProjectInfo(form.one("was_name"), form.one("was_description")))
        wanted = _as_sent(ProjectInfo(form.one("name"), form.one("description")))
        if wanted.name != before.name:
            wanted = replace(wanted, name=wanted.name.strip())
        if len(wanted.name) > LONGEST_NAME:
            problem = f"The name has more than {LONGEST_NAME} characters; shorten it."
            return self._form(request, project, wanted, before, problem=problem)
        save = partial(self._save, project, before, wanted, await caller_now(request))
        conflict: ProjectInfo | None = await self._writer.submit(save)
        if conflict is not None:
            return self._form(request, project, wanted, conflict, is_conflict=True)
        return answers.see(self._templates.site.address("/project", name=project, done="project"))

    def _form(
        self,
        request: PageRequest,
        project: str,
        info: ProjectInfo,
        stored: ProjectInfo,
        *,
        problem: str = "",
        is_conflict: bool = False,
    ) -> web.Response:
        """Return the form with *info* in its fields; it says *problem*, or what is *stored* now."""
        return answers.page(
            self._templates,
            "project_edit.html",
            request.visit,
            project=project,
            info=_as_sent(info),
            stored=_as_sent(stored),
            problem=problem,
            is_conflict=is_conflict,
            status=HTTPStatus.CONFLICT if problem or is_conflict else HTTPStatus.OK,
        )

    async def _save(
        self,
        project: str,
        before: ProjectInfo,
        wanted: ProjectInfo,
        caller: Caller,
        transaction: WriteTransaction,
    ) -> ProjectInfo | None:
        """Store what changes from *before* to *wanted*; return what is there if that changed otherwise."""
        await check_right(transaction, caller, Right.WRITE, project)
        stored = await transaction.project(project)
        if stored is None:
            raise PageError(HTTPStatus.NOT_FOUND, f"Project {project} was deleted meanwhile.")
        texts = []
        for name in ("name", "description"):
            old, new, now, kept = (getattr(info, name) for info in (before, wanted, _as_sent(stored), stored))
            if new != old and now not in (old, new):
                return stored
            texts.append(kept if new in (old, now) else new)
        if (info := ProjectInfo(*texts)) != stored:
            await transaction.put_project(project, info)
            transaction.after_commit.append(partial(self._database.store_project, project, info))
        return None


def _time(moment: str) -> datetime | None:
    """Return the time that the log of changes has as *moment*; None if that is empty, or no time."""
    try:
        return datetime.fromisoformat(moment)
    except ValueError:
        return None


def _as_sent(info: ProjectInfo) -> ProjectInfo:
    """Return *info* as a browser sends it back from the form."""
    name, description = (text.replace("\0", "\ufffd") for text in (info.name, info.description))
    return ProjectInfo(one_line(name), description.replace("\r\n", "\n").replace("\r", "\n"))
