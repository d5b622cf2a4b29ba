"""What the table of records shows: headings that sort it, bounded cells, filters and their values. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from smtd.web.records import query as queries
from smtd.web.records.columns import Column
from smtd.web.records.entry import Row
from smtd.web.records.excerpt import cost, excerpt, some
from smtd.web.records.query import PAGE, RecordQuery

#: The bytes that the texts of a row may take in the page, those of one cell, and all values of a filter.
_ROW, _CELL, _VALUES = 900, 260, 1500
#: The bytes that are shown of a label; those that all rows and headings may take, so that a page has 100 kB;
#: and those of the markup of a row, of a cell, and of a heading.
LABEL, _PAGE = 120, 80_000
_ROW_MARKUP, _CELL_MARKUP, _HEADING = 330, 55, 160
#: The bytes that every row gets for its texts.
_LEAST = 150
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
    """A row of the table; *label*: that of the record, shortened if it is very long."""

    row: Row
    label: str
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


def room_for_rows(query: RecordQuery, columns: int, place: int = 0) -> int:
    """Return how many bytes the rows may take in a page with so many *columns*, and links with *query*.

    *place*: the bytes that every link has besides.
    """
    return _PAGE - (columns + 4) * (queries.address_size(query) + _HEADING) - (columns + 8 + PAGE) * place


def fixed_size(row: Row, cells: int) -> int:
    """Return about how many bytes *row* takes without its texts: a label can take much in an address."""
    address = len(quote(row.project)) + len(quote(row.label, safe="", errors="replace"))
    return _ROW_MARKUP + cells * _CELL_MARKUP + address + cost(row.label) + 2 * min(cost(row.label), LABEL)


def count_fitting(rows: Sequence[Row], cells: int, room: int) -> int:
    """Return how many of *rows*, but at least one, fit into *room* bytes."""
    fitting = some(rows, len(rows), room, lambda row: fixed_size(row, cells) + _LEAST)
    return max(len(fitting.items), 1)


def table_rows(rows: Sequence[Row], columns: Sequence[Column], room: int) -> list[TableRow]:
    """Return *rows*, which fit into *room* bytes, with a cell for each of *columns*."""
    left = room - sum(fixed_size(row, len(columns)) for row in rows)
    most = min(_ROW, left // max(len(rows), 1))
    return [TableRow(row, short_label(row), _cells(row, columns, most)) for row in rows]


def short_label(row: Row) -> str:
    """Return the label of *row*, shortened if it is very long."""
    return excerpt(row.label, LABEL).shortened


def _cells(row: Row, columns: Sequence[Column], left: int) -> list[Cell]:
    found = []
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


def filter_by(query: RecordQuery, name: str, values: Sequence[str]) -> Filter:
    """Return the filter *name* of *query*, with the commonest of *values*, and the one that is chosen."""
    value = query.tag if name == "tag" else query.exact.get(name, "")
    known = some(values, len(values), _VALUES, lambda each: 2 * cost(each) + 30).items
    return Filter(name, TITLES[name], value, sorted({*known, *filter(None, [value])}))
