"""A page of the feed: some changes, with as many of their records as it has room for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from smtd.records.record import Key, Record
from smtd.server.change_log import LogRow
from smtd.server.transaction import Current
from smtd.stores.django.connection import DatabaseConnection

#: The feed sends a record of up to this many bytes with its change; clients must request a larger one.
LARGEST_RECORD = 2**20
#: Rows of one query.
_CHUNK = 250
#: The length of what may be long in a record, with 300 characters for each file that it read or made. (With
#: GROUP BY, SQLite would hold all rows in memory to sort them.)
_SIZES = """
SELECT r.project_id, r.label,
    length(r.reason) + length(r.outcome) + length(r.diff) + length(r.script_arguments)
    + length(r.stdout_stderr) + coalesce(length(p.content), 0)
    + (SELECT coalesce(sum(length(d.diff)), 0) FROM django_store_record_dependencies m
       JOIN django_store_dependency d ON d.id = m.dependency_id WHERE m.record_id = r.db_id)
    + 300 * (SELECT count(*) FROM django_store_datakey k WHERE k.output_from_record_id = r.db_id)
    + 300 * (SELECT count(*) FROM django_store_record_input_data i WHERE i.record_id = r.db_id)
FROM django_store_record r LEFT JOIN django_store_parameterset p ON p.id = r.parameters_id
WHERE r.db_id IN ({})
"""


class FeedPage(NamedTuple):
    """Some *changes*, in order, each with its record if the caller wants records.

    *head*: the number of the last change in the whole log, at the same time. *more*: more may follow.
    """

    changes: Sequence[tuple[LogRow, Record | None]]
    head: int
    more: bool


async def sizes(db: DatabaseConnection, row_ids: Sequence[int]) -> dict[Key, int]:
    """Return about how many characters the rows with *row_ids* have, by key."""
    found: dict[Key, int] = {}
    for start in range(0, len(row_ids), _CHUNK):
        some = row_ids[start : start + _CHUNK]
        for project, label, size in await db.fetch(_SIZES.format(", ".join("?" * len(some))), some):
            key = Key(project, label)
            found[key] = found.get(key, 0) + int(size)
    return found


def count_fitting(rows: Sequence[LogRow], sizes: Mapping[Key, int], limit: int) -> int:
    """Return how many of *rows*, but at least one, have records whose *sizes* add up to at most *limit*.

    A record that is too large for the feed counts as 0, because the feed leaves it out.
    """
    remaining = limit
    for index, row in enumerate(rows):
        size = sizes.get(row.key, 0)
        remaining -= size if size < LARGEST_RECORD else 0
        if remaining < 0 and index:
            return index
    return len(rows)


def with_record(row: LogRow, current: Current | None) -> tuple[LogRow, Record | None]:
    """Return *row* with the current record and its digest: it may be newer than the change in the log."""
    if current is None or current.content.digest is None:
        return row, None
    return row._replace(content=row.content._replace(digest=current.content.digest)), current.record
