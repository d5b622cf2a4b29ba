"""The records of a project as a table, and the parameters of its runs side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus

from aiohttp import web

from smtd.web import answers
from smtd.web.answers import PageError
from smtd.web.forms import Form
from smtd.web.records import columns, query, table
from smtd.web.records.catalog import RecordRequest
from smtd.web.records.index import SearchIndex, TablePage
from smtd.web.records.query import RecordQuery
from smtd.web.records.statements import MOST_COUNTED
from smtd.web.records.sweep import sweep
from smtd.web.templates import Site, Templates

#: What people read when they have chosen columns.
CHOSEN = "The columns are chosen, for all projects in this browser."
#: The cookie that keeps the columns which somebody has chosen, and for how many seconds.
_COLUMNS, _KEPT = "smtd_columns", 365 * 86_400


class TablePages:
    """Shows the records of a catalog by its index."""

    def __init__(self, templates: Templates) -> None:
        self._templates = templates

    async def show(self, request: RecordRequest) -> web.Response:
        """Show a page of the records of a project."""
        form, catalog = request.query, request.catalog
        project = form.required("name")
        info = catalog.project(project)
        asked = _short_enough(query.of_form(project, form))
        chosen = columns.from_text(request.http.cookies.get(_COLUMNS))
        progress, index = await catalog.progress(project), catalog.index
        room = table.room_for_rows(asked, len(chosen), query.place_size(catalog.place))
        page = await _fitting(index, asked, len(chosen), room)
        return answers.page(
            self._templates,
            "project.html",
            request.visit,
            place=catalog.place,
            project=project,
            info=info,
            query=asked,
            label=table.heading(asked, columns.LABEL),
            headings=[table.heading(asked, each) for each in chosen],
            rows=table.table_rows(page.rows, chosen, room),
            page=page,
            most=MOST_COUNTED,
            pages=_pages(asked, page.before, page.after),
            fields=query.fields(asked),
            filters=[
                table.filter_by(asked, name, await index.values(project, name)) for name in table.TITLES
            ],
            all_columns=[(column, column in chosen) for column in columns.chosen(columns.ALL)],
            progress=progress,
        )

    async def show_parameters(self, request: RecordRequest) -> web.Response:
        """Show a page of the runs of one main file, with a column for each parameter that differs."""
        form, catalog = request.query, request.catalog
        project = form.required("project")
        info = catalog.project(project)
        progress, index = await catalog.progress(project), catalog.index
        main_files = await index.values(project, "main_file")
        asked = query.of_form(project, form)
        if "main_file" not in asked.exact and main_files:
            asked = query.of_form(project, Form([*form.fields, ("main_file", main_files[0])]))
        place = query.place_size(catalog.place)
        room = table.room_for_rows(asked, 3, place)
        page = await _fitting(index, _short_enough(asked), 3, room)
        parameters = await index.parameters(project, [row.label for row in page.rows])
        (sort,) = asked.sort.values or ("",)  # of a parameter: its name
        found = sweep(page.rows, parameters, sort, room, query.address_size(asked) + place)
        shown = [*map(columns.of_parameter, found.names)]
        return answers.page(
            self._templates,
            "parameters.html",
            request.visit,
            place=catalog.place,
            project=project,
            info=info,
            query=asked,
            main_file=table.filter_by(asked, "main_file", main_files),
            label=table.heading(asked, columns.LABEL),
            run=[table.heading(asked, each) for each in columns.chosen(("at", "duration"))],
            headings=[table.heading(asked, each) for each in shown],
            sweep=found,
            page=page,
            most=MOST_COUNTED,
            pages=_pages(asked, page.before, page.after),
            fields=query.fields(asked),
            progress=progress,
        )


def choose_columns(site: Site, form: Form, place: Mapping[str, str]) -> web.Response:
    """Keep the columns that *form* has, in this browser, and go back to the project in *place*."""
    answer = answers.see(site.address("/project", name=form.one("project"), done="columns", **place))
    answer.set_cookie(
        _COLUMNS,
        columns.to_text(columns.chosen(form.all("column"))),
        max_age=_KEPT,
        path=site.prefix,
        httponly=True,
        samesite="Strict",
    )
    return answer


async def _fitting(index: SearchIndex, asked: RecordQuery, cells: int, room: int) -> TablePage:
    """Return the page of *asked*, with fewer rows if these do not fit into *room* bytes."""
    page = await index.page(asked)
    fitting = table.count_fitting(page.rows, cells, room)
    return page if fitting == len(page.rows) else await index.page(replace(asked, size=fitting))


def _short_enough(asked: RecordQuery) -> RecordQuery:
    """Return *asked*. Raises PageError if it is too long for the many links of a page."""
    if query.address_size(asked) > query.LONGEST_ADDRESS:
        raise PageError(HTTPStatus.BAD_REQUEST, "The search is too long; use fewer words or filters.")
    return asked


def _pages(
    asked: RecordQuery, before: query.PagePlace | None, after: query.PagePlace | None
) -> dict[str, dict[str, str | None] | None]:
    """Return the fields of the addresses of the pages around this one."""
    return {
        "first": query.fields(asked) if asked.after or asked.before else None,
        "before": None if before is None else query.fields(asked, before=query.token(before)),
        "after": None if after is None else query.fields(asked, after=query.token(after)),
    }
