"""The columns of the table of records: what each is called, shows, and is sorted by. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Column(NamedTuple):
    """A column of the table.

    *kind* tells the template how to show the field *name* of a row. *order*: the SQL expression by which the
    table is sorted, never NULL; empty if it is not. *values*: those of its placeholders. *from_top*: whether
    people want the greatest first.
    """

    name: str
    title: str
    kind: str = "text"
    order: str = ""
    from_top: bool = False
    values: tuple[str, ...] = ()


#: The label comes first, and is always shown.
LABEL = Column("label", "Record", "label", "r.label")
ALL = {
    column.name: column
    for column in (
        LABEL,
        Column("at", "Run", "moment", "r.at", from_top=True),
        Column("status", "Status", "status", "r.status"),
        Column("reason", "Reason", "text", "r.reason"),
        Column("outcome", "Outcome", "text", "r.outcome"),
        Column("tags", "Tags", "tags"),
        Column("main_file", "Main file", "code", "r.main_file"),
        Column("arguments", "Arguments", "code", "r.arguments"),
        Column("duration", "Duration", "duration", "ifnull(r.duration, -1)", from_top=True),
        Column("executable", "Executable", "text", "r.executable"),
        Column("version", "Version", "version", "r.version"),
        Column("user", "User", "text", "r.user"),
    )
}
DEFAULT = ("at", "status", "reason", "outcome", "tags", "main_file", "duration")
#: What the table is sorted by unless the reader chooses.
NEWEST = ALL["at"]
_SEPARATOR = "."
#: What the name of a column that is a parameter begins with.
PARAMETER = "p:"
_OF_PARAMETER = (
    "ifnull((SELECT ifnull(p.number, p.text) FROM parameter p WHERE p.record = r.id AND p.name = ?), '')"
)


def chosen(names: Iterable[str]) -> list[Column]:
    """Return the columns *names* that there are, in the order of the table, after the label."""
    wanted = set(names)
    return [column for name, column in ALL.items() if name in wanted and column is not LABEL]


def from_text(text: str | None) -> list[Column]:
    """Return the columns that `to_text` wrote; the default ones for None, or if none is left."""
    found = [] if text is None else chosen(text.split(_SEPARATOR))
    return found or chosen(DEFAULT)


def to_text(columns: Sequence[Column]) -> str:
    """Return *columns* as a cookie keeps them."""
    return _SEPARATOR.join(column.name for column in columns)


def sorted_by(name: str) -> Column:
    """Return the column *name* if the table can be sorted by it, else the one it is sorted by at first."""
    if name.startswith(PARAMETER):
        return of_parameter(name.removeprefix(PARAMETER))
    column = ALL.get(name, NEWEST)
    return column if column.order else NEWEST


def of_parameter(name: str) -> Column:
    """Return the column of the parameter *name*: numbers come before texts."""
    return Column(f"{PARAMETER}{name}", name, "parameter", _OF_PARAMETER, values=(name,))
