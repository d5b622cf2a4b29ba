"""The search index: the records of a store, in a form that a page can be made from in milliseconds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from smtd.records.record import Key, Record
from smtd.sqlite import Connection
from smtd.web.records import entry, index_file, statements
from smtd.web.records.entry import IndexEntry, Row
from smtd.web.records.parameter_values import Parameter
from smtd.web.records.query import PagePlace, RecordQuery

#: The most values that a filter offers.
_MOST_VALUES = 200
#: The most records that are shown of those that used a file, and the most files of one name.
MOST_USERS, MOST_PATHS = 500, 100
_KINDS = ("status", "main_file", "executable", "version")
_ROW = ", ".join(Row._fields)
_INSERT = f"INSERT INTO record (id, {_ROW}) VALUES ({', '.join('?' * (len(Row._fields) + 1))})"
_COUNT = """
INSERT INTO facet (project, kind, value, count) VALUES (?, ?, ?, ?)
ON CONFLICT (project, kind, value) DO UPDATE SET count = count + excluded.count
"""


class Indexed(NamedTuple):
    """What a key of the store holds: a *record*, the *problem* of one that cannot be read, or nothing.

    *digest* identifies the content; None: there is no record.
    """

    key: Key
    digest: str | None
    record: Record | None = None
    problem: str = ""


class TablePage(NamedTuple):
    """Some *rows*, in order; *total*: how many the query finds on all pages, up to MOST_COUNTED + 1.

    *before* and *after*: the places beside which the other pages are (None: there are none). *newest*: the
    number of the newest record of the index, for `newer`.
    """

    rows: Sequence[Row]
    total: int
    before: PagePlace | None
    after: PagePlace | None
    newest: int = 0


class FileUse(NamedTuple):
    """A record whose run read or made a file; *role* says which."""

    row: Row
    role: str
    path: str
    digest: str


class SearchIndex:
    """The index; `opened` makes it.

    *cursor*: up to where in the changes of its source it has them all, as the source writes that (empty: it
    has none).
    """

    def __init__(self, writer: Connection, reader: Connection) -> None:
        self._writer = writer
        self._reader = reader
        self.cursor = ""

    # Filling

    async def begin(self, source: str, can_continue: Callable[[str], bool] = lambda cursor: True) -> str:
        """Follow the store that *source* names from now on; return the cursor in it.

        The index is emptied if it is of another store, or *can_continue* says no to its cursor.
        """
        known = await self._writer.fetch("SELECT source, cursor FROM state")
        if not known or known[0][0] != source or not can_continue(str(known[0][1])):
            await self.empty(source)
        else:
            self.cursor = str(known[0][1])
        return self.cursor

    async def empty(self, source: str) -> None:
        """Remove all records, to begin again with those of the store that *source* names."""
        tables = ("state", "record", "facet", "tag", "parameter", "file", "words")
        async with self._writer.writing():
            await self._writer.run_script([f"DELETE FROM {table}" for table in tables])
            await self._writer.run("INSERT INTO state VALUES (?, '')", (source,))
        self.cursor = ""

    async def apply(self, changes: Sequence[Indexed], cursor: str) -> None:
        """Take in *changes*; the index then has all changes up to *cursor*."""
        await self._writer.at_once(partial(self._apply, changes, cursor))
        self.cursor = cursor

    async def _apply(self, changes: Sequence[Indexed], cursor: str) -> None:
        async with self._writer.writing():
            for change in changes:
                await self._put(change)
            await self._writer.run("DELETE FROM facet WHERE count <= 0")
            await self._writer.run("UPDATE state SET cursor = ?", (cursor,))

    async def _put(self, change: Indexed) -> None:
        known = await self._writer.fetch(
            f"SELECT id, {_ROW} FROM record WHERE project = ? AND label = ?", change.key
        )
        row_id = None
        if known:
            row_id = known[0][0]
            if known[0][3] == change.digest:
                return
            await self._remove(known[0][0], Row(*known[0][1:]))
        if change.digest is None:
            return
        if change.record is None:
            made = entry.of_unreadable(change.key, change.digest, change.problem)
        else:
            made = entry.of_record(change.key, change.digest, change.record)
        await self._insert(row_id, made)

    async def _insert(self, row_id: int | None, made: IndexEntry) -> None:
        """Insert *made* with the id *row_id* that the record had (None: it is new)."""
        db = self._writer
        row_id = await db.run(_INSERT, (row_id, *made.row))
        await db.run(
            f"INSERT INTO words (rowid, {', '.join(made.words._fields)}) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (row_id, *made.words),
        )
        await db.run_many("INSERT OR IGNORE INTO tag VALUES (?, ?)", [(tag, row_id) for tag in made.tags])
        await db.run_many(
            "INSERT OR IGNORE INTO parameter VALUES (?, ?, ?, ?, ?)",
            [(row_id, place, *each) for place, each in enumerate(made.parameters)],
        )
        await db.run_many("INSERT INTO file VALUES (?, ?, ?, ?, ?)", [(row_id, *each) for each in made.files])
        await db.run_many(_COUNT, [(*facet, 1) for facet in _facets(made.row)])

    async def _remove(self, row_id: int, row: Row) -> None:
        db = self._writer
        await db.run_many(_COUNT, [(*facet, -1) for facet in _facets(row)])
        for table in ("tag", "parameter", "file"):
            await db.run(f"DELETE FROM {table} WHERE record = ?", (row_id,))
        await db.run("DELETE FROM words WHERE rowid = ?", (row_id,))
        await db.run("DELETE FROM record WHERE id = ?", (row_id,))

    # Asking

    async def count(self) -> int:
        """Return how many records the index has."""
        return int(await self._reader.value("SELECT count(*) FROM record"))

    async def page(self, query: RecordQuery) -> TablePage:
        """Return the page of *query*."""
        return await self._reader.at_once(partial(self._page, query))

    async def _page(self, query: RecordQuery) -> TablePage:
        matches = statements.match_count(query)
        few = matches is not None and int(await self._reader.value(*matches)) <= statements.FEW_MATCHES
        rows = [Row(*found) for found in await self._reader.fetch(*statements.page(query, few=few))]
        total = int(await self._reader.value(*statements.count(query)))
        has_more = len(rows) > query.size
        rows = rows[: query.size]
        if query.before is not None:
            rows.reverse()
        is_inner = bool(rows) and query.after is not None
        goes_back = has_more if query.before is not None else is_inner
        goes_on = bool(rows) if query.before is not None else has_more
        before = await self._place(query, rows[0]) if goes_back else None
        after = await self._place(query, rows[-1]) if goes_on else None
        newest = await self._reader.value("SELECT ifnull(max(id), 0) FROM record")
        return TablePage(rows, total, before, after, int(newest))

    async def newer(self, query: RecordQuery, newest: int) -> tuple[int, int]:
        """Return how many records *query* finds on all pages, and how many of them came after *newest*.

        Both up to MOST_COUNTED + 1.
        """
        queries = (statements.count(query), statements.newer(query, newest))
        (total,), (new,) = await self._reader.fetch_each(queries)
        return int(total[0]), int(new[0])

    async def _place(self, query: RecordQuery, row: Row) -> PagePlace:
        """Return the place of *row* in *query*: SQLite computes its value, which it compares again."""
        value = await self._reader.value(
            f"SELECT {query.sort.order} FROM record r WHERE r.project = ? AND r.label = ?",
            (*query.sort.values, *row.key),
        )
        return PagePlace(value, row.label)

    async def digests(self, keys: Sequence[Key]) -> dict[Key, str]:
        """Return the digests of those of *keys* that the index has."""
        query = "SELECT digest FROM record WHERE project = ? AND label = ?"
        found = await self._reader.fetch_each([(query, key) for key in keys])
        return {key: rows[0][0] for key, rows in zip(keys, found, strict=True) if rows}

    async def values(self, project: str, kind: str) -> list[str]:
        """Return the values that records of *project* have, commonest first; *kind*: `tag`, or a filter."""
        query = (
            "SELECT value FROM facet WHERE project = ? AND kind = ? AND count > 0"
            f" ORDER BY count DESC, value LIMIT {_MOST_VALUES}"
        )
        return [value for (value,) in await self._reader.fetch(query, (project, kind))]

    async def parameters(self, project: str, labels: Collection[str]) -> Mapping[str, dict[str, Parameter]]:
        """Return the parameters of the records *labels* in *project*, by label and name, in their order."""
        places = ", ".join("?" * len(labels))
        query = (
            "SELECT r.label, p.name, p.text, p.number FROM record r JOIN parameter p ON p.record = r.id"
            f" WHERE r.project = ? AND r.label IN ({places}) ORDER BY r.id, p.place"
        )
        found: dict[str, dict[str, Parameter]] = {}
        for label, *values in await self._reader.fetch(query, (project, *labels)):
            parameter = Parameter(*values)
            found.setdefault(label, {})[parameter.name] = parameter
        return found

    async def uses(self, projects: Collection[str], path: str) -> list[FileUse]:
        """Return which records of *projects* read or made the file at *path*, newest first."""
        places = ", ".join("?" * len(projects))
        query = (
            f"SELECT {', '.join(f'r.{name}' for name in Row._fields)}, f.role, f.path, f.digest FROM file f"
            f" JOIN record r ON r.id = f.record WHERE f.path = ? AND r.project IN ({places})"
            f" ORDER BY r.at DESC, r.label LIMIT {MOST_USERS + 1}"
        )
        size = len(Row._fields)
        rows = await self._reader.fetch(query, (path, *projects))
        return [FileUse(Row(*found[:size]), *found[size:]) for found in rows]

    async def paths(self, projects: Collection[str], name: str) -> list[str]:
        """Return the paths of files in records of *projects* whose last part is *name*."""
        places = ", ".join("?" * len(projects))
        query = (
            "SELECT DISTINCT f.path FROM file f JOIN record r ON r.id = f.record"
            f" WHERE f.name = ? AND r.project IN ({places}) ORDER BY f.path LIMIT {MOST_PATHS}"
        )
        return [path for (path,) in await self._reader.fetch(query, (name, *projects))]


@asynccontextmanager
async def opened(path: Path | None) -> AsyncIterator[SearchIndex]:
    """Open the index at *path* for a `with` block, as `index_file.connections` does."""
    async with index_file.connections(path) as (writer, reader):
        yield SearchIndex(writer, reader)


def _facets(row: Row) -> list[tuple[str, str, str]]:
    """Return the values of a record that are counted: project, kind and value."""
    found = [(row.project, kind, value) for kind in _KINDS if (value := getattr(row, kind))]
    return found + [(row.project, "tag", tag) for tag in dict.fromkeys(row.tag_names)]
