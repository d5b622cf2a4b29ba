"""What keys hold now, as requests read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from smtd.records.record import Key, Record
from smtd.server import change_log
from smtd.server.change_log import LogRow
from smtd.server.transaction import Current
from smtd.stores.django.reader import DecodedRow
from smtd.stores.django.record_rows import record_of


class CurrentRecord(NamedTuple):
    """The current record of a key and the text of its ETag, or a *problem*; nothing if there is no record."""

    record: Record | None = None
    validator: str | None = None
    problem: str = ""


class FeedPage(NamedTuple):
    """Some *changes*, in order, each with its record if the caller wants records.

    *head*: the number of the last change in the whole log, at the same time. *more*: more may follow.
    """

    changes: Sequence[tuple[LogRow, Record | None]]
    head: int
    more: bool


def current_record(rows: Sequence[DecodedRow]) -> CurrentRecord:
    """Return what a key holds that has these *rows*."""
    current = Current(Key("", ""), rows, change_log.content_of(rows))
    if current.content.problem:
        return CurrentRecord(problem=current.content.problem)
    return CurrentRecord(record_of(rows[0]), current.content.digest) if rows else CurrentRecord()


def with_record(row: LogRow, current: CurrentRecord | None) -> tuple[LogRow, Record | None]:
    """Return *row* with the current record and its digest: it may be newer than the change in the log."""
    if current is None or current.record is None or current.validator is None:
        return row, None
    return row._replace(content=row.content._replace(digest=current.validator)), current.record
