"""Find changed records on a server by a version of each record, which the server computes.

A version covers every row that a record consists of. So it shows what Sumatra changes, what Sumatra takes
away from one record when it deletes another, and what a user changes by hand. Versions are only compared for
equality, never for order: so transactions that are rolled back, that last long, or whose numbers start again
hide no change. Another look at the same content gives the same version.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from smtd.errors import RecordUnusable
from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.record import Key
from smtd.records.run_status import is_final
from smtd.stores.base import Changes, Scan, Token
from smtd.stores.django import reader, schema
from smtd.stores.django.connection import DatabaseConnection, Row
from smtd.stores.django.ids import RowIds
from smtd.stores.django.mapping import MEMBERSHIPS, OUTPUTS, PREFIX, RECORD_COLUMNS, REFERENCES
from smtd.stores.django.reader import EncodedRow
from smtd.stores.django.server import Dialect, ServerDatabase
from smtd.stores.index import DIFFERENT


class _Part(NamedTuple):
    """Rows of other tables that a record consists of: the column of the owner, the tables, the columns."""

    owner: str
    tables: str
    rows: tuple[tuple[str, Sequence[str]], ...]


_PARTS = (
    _Part(
        "t.object_id",
        "django_store_taggeditem t JOIN django_store_tag n ON n.id = t.tag_id"
        " JOIN django_content_type c ON c.id = t.content_type_id"
        " AND c.app_label = 'django_store' AND c.model = 'record'",
        (("t", ("id",)), ("n", ("name",))),
    ),
    _Part(f"k.{OUTPUTS.link}", f"{PREFIX}{OUTPUTS.table} k", (("k", ("id", *OUTPUTS.columns)),)),
    *(
        _Part(
            "m.record_id",
            f"{PREFIX}{each.through} m JOIN {PREFIX}{each.table} d ON d.id = m.{each.link}",
            (("m", ("id",)), ("d", ("id", *each.columns))),
        )
        for each in MEMBERSHIPS
    ),
)


def statement(sql: Dialect, ids: str = "") -> str:
    """Return the query for id, project and version of every record, or of those *ids* (placeholders).

    With *ids*, the query needs the ids as parameters 1 + len(_PARTS) times.
    """
    parts = [f"coalesce(p{number}.mark, 0)" for number in range(len(_PARTS))]
    links = [reference.link for reference in REFERENCES]
    rows = [sql.version("r", ("project_id", *RECORD_COLUMNS, *links))]
    rows += [sql.version(f"x{at}", tuple(each.columns)) for at, each in enumerate(REFERENCES)]
    joins = [schema.reference_join(at, each) for at, each in enumerate(REFERENCES)]
    joins += [
        f"LEFT JOIN ({_part(sql, part, ids)}) p{number} ON p{number}.owner = r.db_id"
        for number, part in enumerate(_PARTS)
    ]
    where = f"WHERE r.db_id IN ({ids})" if ids else ""
    version = sql.number(["r.db_id", *rows, *parts])
    return (
        f"SELECT r.db_id, r.project_id, {version} AS mark FROM django_store_record r"
        f" {' '.join(joins)} {where}"
    )


def _part(sql: Dialect, part: _Part, ids: str) -> str:
    version = sql.total(sql.number([sql.version(alias, columns) for alias, columns in part.rows]))
    where = f"{part.owner} IN ({ids})" if ids else f"{part.owner} IS NOT NULL"
    return (
        f"SELECT {part.owner} AS owner, {version} AS mark FROM {part.tables}"
        f" WHERE {where} GROUP BY {part.owner}"
    )


class _State(NamedTuple):
    """The number of records, and the sum of their versions."""

    records: int
    total: int

    @property
    def token(self) -> Token:
        return f"{self.records}:{self.total}".encode()


class _KnownState(NamedTuple):
    """The state at one moment, and what shows that nothing has changed since."""

    moment: str
    since: str
    trace: list[Row]
    state: _State


class _Seen(msgspec.Struct, frozen=True, gc=False):
    """One row: its key, its digest (or a text: what is wrong with it), whether its run is over.

    *version* is a hash of the row. There are as many of these in memory as records: so it has only four
    fields, and nothing that the garbage collector tracks.
    """

    version: int
    key: Key
    found: Digest | str
    final: bool = True


class RowVersionTracker:
    """Decodes only records with a new version, and detects writes of others by those of all records."""

    def __init__(self, database: ServerDatabase, ids: RowIds) -> None:
        self._database = database
        self._sql = database.dialect
        self._ids = ids
        self._all = statement(self._sql)
        self._seen: dict[int, _Seen] = {}
        self._last: Scan | None = None
        self._projects: Collection[str] | None = None
        #: The versions of all records as this object knows them; None: it has not looked yet.
        self._versions: dict[int, int] | None = None
        self._known_state: _KnownState | None = None

    async def scan(self, db: DatabaseConnection, projects: Collection[str] | None) -> Scan:
        """Return the scan of all rows of *projects* (None: of all).

        A half-finished save has other versions when it is finished, and is read again.
        """
        async with db.reading():
            found = await db.fetch(self._all)
        versions = {row_id: int(version) for row_id, _, version in found}
        wanted = {
            row_id: int(version)
            for row_id, project, version in found
            if project is not None and (projects is None or project in projects)
        }
        known = {row_id: seen for row_id, seen in self._seen.items() if wanted.get(row_id) == seen.version}
        new = [row_id for row_id in wanted if row_id not in known]
        read = await self._read(db, new)
        before, last = self._seen, self._last if self._projects == projects else None
        self._seen, self._projects = known | read, projects
        self._versions = versions | {row_id: one.version for row_id, one in read.items()}
        for row_id, one in read.items():
            self._ids.add(row_id, one.key)
        if last is None or not known:
            self._last = _scan(self._seen.values())
        else:
            keys = {one.key for one in read.values()}
            keys |= {before[row_id].key for row_id in before.keys() - known.keys()}
            self._last = _changed(last, keys, [one for one in self._seen.values() if one.key in keys])
        return self._last

    async def _read(self, db: DatabaseConnection, ids: Sequence[int]) -> dict[int, _Seen]:
        """Read the rows of *ids*, each with its version from the same snapshot.

        With an earlier version, a row that was changed in between, and is changed back later, would count as
        known.
        """
        read: dict[int, _Seen] = {}
        for start in range(0, len(ids), reader.PAGE):
            chunk = ids[start : start + reader.PAGE]
            async with db.reading():
                page = await reader.by_id(db, chunk)
                versions = await self._versions_of(db, chunk)
            read |= {raw.row_id: _seen_row(raw, versions.get(raw.row_id, 0)) for raw in page}
        return read

    async def _versions_of(self, db: DatabaseConnection, ids: Sequence[int]) -> dict[int, int]:
        asked = statement(self._sql, schema.placeholders(len(ids)))
        found = await db.fetch(asked, [*ids] * (1 + len(_PARTS)))
        return {row_id: int(version) for row_id, _, version in found}

    async def versions(self, db: DatabaseConnection, ids: Collection[int]) -> Mapping[int, int]:
        """Return the versions of the rows of *ids*, which other writes would change; called while writing."""
        found: dict[int, int] = {}
        listed = list(ids) if self._versions is not None else []
        for start in range(0, len(listed), reader.PAGE):
            found |= await self._versions_of(db, listed[start : start + reader.PAGE])
        return found

    def wrote(self, ids: Collection[int], versions: Mapping[int, int]) -> None:
        """Note that smtd wrote the rows of *ids*, which now have *versions* (without one: gone)."""
        if self._versions is not None:
            for row_id in ids:
                self._versions.pop(row_id, None)
            self._versions |= versions

    def forget(self) -> None:
        """Forget everything: the tables were replaced."""
        self._seen, self._last, self._versions, self._known_state = {}, None, None, None

    async def token(self) -> Token | None:
        """Return a token of the state that was last read or written; None if others have written."""
        if self._versions is None:
            return None
        known = _State(len(self._versions), sum(self._versions.values()))
        return known.token if known == await self._state() else None

    async def unchanged_since(self, token: Token) -> bool:
        """Say whether the tables are certainly in the state for which *token* was returned."""
        return (await self._state()).token == token

    async def _state(self) -> _State:
        """Return the current state; compute it again only if a client may have written to the tables."""
        async with self._database.session() as db, db.reading():
            moment, known = await self._sql.moment(db), self._known_state
            if known is None or not await self._is_current(db, known, moment):
                asked = f"SELECT count(*), coalesce(sum(m.mark), 0) FROM ({self._all}) m"
                ((records, total),) = await db.fetch(asked)
                since = await self._sql.since(db)
                trace = await self._sql.trace(db, since)
                known = _KnownState(moment, since, trace, _State(int(records), int(total)))
            self._known_state = known._replace(moment=moment)
        return known.state

    async def _is_current(self, db: DatabaseConnection, known: _KnownState, moment: str) -> bool:
        if moment and moment == known.moment:
            return True
        return bool(known.trace) and await self._sql.trace(db, known.since) == known.trace


def _seen_row(raw: EncodedRow, version: int) -> _Seen:
    _, key, record = raw.found()
    if isinstance(record, RecordUnusable):
        return _Seen(version, key, record.reason)
    try:
        return _Seen(version, key, canonical.digest(record), is_final(record))
    except RecordUnusable as exc:
        return _Seen(version, key, exc.reason)


def _scan(seen: Iterable[_Seen]) -> Scan:
    """Return the scan of a store with exactly the records *seen*."""
    digests: dict[Key, Digest] = {}
    unreadable: dict[Key, str] = {}
    unfinished: set[Key] = set()
    for one in seen:
        if isinstance(one.found, str):
            unreadable[one.key] = one.found
            continue
        if digests.setdefault(one.key, one.found) != one.found:
            unreadable[one.key] = DIFFERENT
        if not one.final:
            unfinished.add(one.key)
    for key in unreadable:
        digests.pop(key, None)
        unfinished.discard(key)
    return Scan(digests, unfinished, unreadable)


def _changed(before: Scan, keys: Collection[Key], seen: Iterable[_Seen]) -> Scan:
    """Return the scan of a store that differs from *before* only in *keys*, whose records are *seen*.

    *before*, from `_scan` or this function, is changed and must not be used again: a copy would cost too
    much.
    """
    part, digests, unreadable = _scan(seen), before.digests, before.unreadable
    unfinished = before.unfinished
    assert isinstance(digests, dict)
    assert isinstance(unreadable, dict)
    assert isinstance(unfinished, set)
    for key in keys:
        digests.pop(key, None)
        unreadable.pop(key, None)
    digests.update(part.digests)
    unreadable.update(part.unreadable)
    unfinished.difference_update(keys)
    unfinished.update(part.unfinished)
    return Scan(digests, unfinished, unreadable, Changes(before.number, keys))
