"""What the page about a data file shows: bounded, so that it has at most 100 kB. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

from smtd.web.records.entry import Row
from smtd.web.records.excerpt import Some, cost, some
from smtd.web.records.index import FileUse
from smtd.web.records.table import short_label

#: The bytes of all records, of all other files, and of the markup of one of each.
_USES, _OTHERS, _ROW, _ITEM = 60_000, 25_000, 420, 60


class UseRow(NamedTuple):
    """A record that used the file, its label as shown, what its run did, and the digest of the content."""

    row: Row
    label: str
    role: str
    digest: str


class DataView(NamedTuple):
    """The newest records that used a file, and the paths of other files of its name."""

    uses: Some[UseRow]
    others: Some[str]


def data_view(uses: Sequence[FileUse], others: Sequence[str], place: int) -> DataView:
    """Return what the page shows of *uses* and *others*; each address there takes *place* bytes more."""
    rows = (UseRow(use.row, short_label(use.row), use.role, use.digest[:64]) for use in uses)
    return DataView(
        some(rows, len(uses), _USES, lambda use: _size(use) + 2 * place),
        some(others, len(others), _OTHERS, lambda path: cost(path) + len(_quoted(path)) + _ITEM + place),
    )


def _size(use: UseRow) -> int:
    project = use.row.project
    address = 2 * len(_quoted(project)) + len(_quoted(use.row.label))
    return _ROW + address + cost(project) + cost(use.label) + cost(use.digest)


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="replace")
