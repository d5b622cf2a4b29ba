"""What the table of records shows: headings that sort it, bounded cells, filters and their values. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from smtd.web.records import query as queries
from smtd.web.records.columns import Column
from smtd.web.records.entry import Row
from smtd.web.records.excerpt import cost, excerpt, some
from smtd.web.records.query import RecordQuery

#: The bytes that the texts of a row may take in the page, those of one cell, and all values of a filter.
_ROW, _CELL, _VALUES = 900, 260, 2500
_TEXTS = ("text", "code", "version")
#: The characters that tell one version of code from another.
_VERSION = 12


class Heading(NamedTuple):
    """The head of a column. *link*: the fields of the address that sorts by it (None: nothing does).

    *direction*: `ascending` or `descending` if the table is sorted by it, else empty.
    """

    column: Column
    link: Mapping[str, str | None] | None
    direction: str


class Cell(NamedTuple):
    """A value in the table; *kind* says how to show it. *is_cut*: there is more."""

    kind: str
    value: Any
    is_cut: bool = False


class TableRow(NamedTuple):
    """A row of the table."""

    row: Row
    cells: Sequence[Cell]


class Filter(NamedTuple):
    """Something to choose by: its *name* in the address, what it is, what is chosen, and what can be."""

    name: str
    title: str
    value: str
    values: Sequence[str]


#: The filters with values to choose from, and how people call them.
TITLES = {
    "tag": "Tag",
    "status": "Status",
    "main_file": "Main file",
    "executable": "Executable",
    "version": "Version",
}


def headings(query: RecordQuery, columns: Sequence[Column]) -> list[Heading]:
    """Return the heads of *columns* of the table of *query*."""
    return [heading(query, column) for column in columns]


def heading(query: RecordQuery, column: Column) -> Heading:
    """Return the head of *column*: a click sorts by it, or turns the order around."""
    if not column.order:
        return Heading(column, None, "")
    is_sorted = column == query.sort
    goes_down = (not query.descending) if is_sorted else column.from_top
    order = None if goes_down == column.from_top else "down" if goes_down else "up"
    link = queries.fields(query, sort=column.name, order=order)
    direction = ("descending" if query.descending else "ascending") if is_sorted else ""
    return Heading(column, link, direction)


def table_rows(rows: Sequence[Row], columns: Sequence[Column]) -> list[TableRow]:
    """Return *rows* with a cell for each of *columns*."""
    return [TableRow(row, _cells(row, columns)) for row in rows]


def _cells(row: Row, columns: Sequence[Column]) -> list[Cell]:
    left, found = _ROW, []
    for column in columns:
        cell = _cell(row, column, min(left, _CELL))
        if cell.kind in _TEXTS:
            left -= cost(cell.value)
        elif cell.kind == "tags":
            left -= sum(map(cost, cell.value))
        found.append(cell)
    return found


def _cell(row: Row, column: Column, most: int) -> Cell:
    if column.kind == "tags":
        tags = row.tag_names
        shown = some(tags, len(tags), most, lambda tag: cost(tag) + 40)
        return Cell("tags", shown.items, bool(shown.left_out))
    value = getattr(row, column.name)
    if column.kind not in _TEXTS:
        return Cell(column.kind, value)
    if column.kind == "version" and len(value) > _VERSION and value.isalnum():
        return Cell("code", value[:_VERSION])
    if column.name == "outcome" and row.problem:
        value = row.problem
    text = excerpt(" ".join(value.split()), max(most, 0))
    return Cell(column.kind, text.text, text.is_cut)


def filters(query: RecordQuery, values: Mapping[str, Sequence[str]]) -> list[Filter]:
    """Return the filters of *query*, with the *values* that records of the project have, commonest first."""
    found = []
    for name, title in TITLES.items():
        value = query.tag if name == "tag" else query.exact.get(name, "")
        known = some(values.get(name, ()), 0, _VALUES, lambda each: 2 * cost(each) + 30).items
        choices = sorted({*known, *filter(None, [value])})
        found.append(Filter(name, title, value, choices))
    return found
