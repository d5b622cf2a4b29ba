"""The store behind smtd's own server: a feed of changes to follow, and conditional writes in bulk.

The look at it is that of a store of rows. In place of hashes of its rows the index keeps one number: that of
the feed up to which the entries are right. It is kept as the mark of the only block of the only table.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from smtd.errors import RecordUnusable, StoreBusy
from smtd.records.record import Key, Record
from smtd.stores import index as known
from smtd.stores.base import DONE, STALE, Capabilities, Change, Outcome, Result, Scan, Token
from smtd.stores.http import feed_api
from smtd.stores.http.feed_api import LINES, FeedApi, FeedEntry, Gone, WriteAnswer
from smtd.stores.http.store import HttpStore
from smtd.stores.index import Block, Fingerprints, RowIndex, RowLook

_SCHEME = "feed"
#: How often a look at everything starts over.
ATTEMPTS = 5
#: Where the number of the feed is among the blocks.
_PLACE = (0, 0)


class FeedStore:
    """The records that one user sees on smtd's own server, by *api*; *plain* uses it as a Sumatra Server."""

    kind = "http"
    capabilities = Capabilities(
        exclusive_writes=True,
        batch=LINES,
        keeps_opaque=False,
        saves_records=True,
        tracks=True,
        resumes=True,
        bears_mark=True,
        announces=True,
    )

    def __init__(self, api: FeedApi, plain: HttpStore) -> None:
        self.location = plain.location
        self._api = api
        self._plain = plain
        #: The number of the feed up to which this object knows the store; None: it knows nothing.
        self._cursor: int | None = None
        #: What this object has written since, as the server confirmed it (None: deleted).
        self._wrote: dict[Key, str | None] = {}
        #: Projects that are there.
        self._projects: set[str] = set()

    def __repr__(self) -> str:
        return f"FeedStore({self.location!r})"

    async def projects(self) -> list[str]:
        return await self._plain.projects()

    async def scan(self, projects: Collection[str] | None = None) -> Scan:
        entries, cursor = await self._all_entries()
        keys = {
            entry.key
            for entry in entries
            if entry.digest is not None and (projects is None or entry.project in projects)
        }
        self._follow_to(cursor)
        return known.scan(await self._read_entries(keys))

    async def track(self, index: RowIndex, recheck: Collection[Key] = (), *, afresh: bool = False) -> RowLook:
        before = None if afresh else _number(await index.fingerprints())
        try:
            if before is not None:
                return await self._track_since(before, index, recheck)
        except Gone:
            pass
        return await self._track_all({} if afresh else await index.present())

    async def _track_since(self, before: int, index: RowIndex, recheck: Collection[Key]) -> RowLook:
        entries, cursor = await self._api.pages(before, with_records=True)
        found = {entry.key: _entry(entry) for entry in entries}
        unread = {key for key, entry in found.items() if entry is None}
        unread |= {*recheck, *await index.unlisted()} - found.keys()
        read = await self._read_entries(unread)
        self._follow_to(cursor)
        looked = {
            key: read.get(key, known.ABSENT) if entry is None else entry for key, entry in found.items()
        }
        looked |= {key: read.get(key, known.ABSENT) for key in unread}
        return RowLook(
            looked, {}, whole=False, settled=True, listed=looked, blocks={_PLACE: Block(cursor, "")}
        )

    async def _track_all(self, before: Mapping[Key, known.Entry]) -> RowLook:
        """Look at everything; read only records whose digests differ from those *before*."""
        entries, cursor = await self._all_entries()
        digests = {entry.key: entry.digest for entry in entries if entry.digest is not None}
        hidden = {key.project for key in before} - {key.project for key in digests}
        for project in hidden:
            await self._plain.scan([project])  # raises StoreRefused if it is there, and may not be read
        looked = {
            key: before[key]
            for key, digest in digests.items()
            if key in before and before[key].digest == feed_api.digest_of(digest) is not None
        }
        looked |= await self._read_entries(digests.keys() - looked.keys())
        self._follow_to(cursor)
        fingerprints = Fingerprints([1], 1, [{_PLACE[1]: Block(cursor, "")}], _SCHEME)
        return RowLook(looked, {}, whole=True, settled=True, listed=looked, fingerprints=fingerprints)

    async def _all_entries(self) -> tuple[list[FeedEntry], int]:
        """Return the last change of every record, and the number to continue from. Raises StoreBusy."""
        for _ in range(ATTEMPTS):
            try:
                return await self._api.pages(0)
            except Gone:  # between two pages, the rights of this user changed
                continue
        raise StoreBusy(f"the projects that this user may see at {self.location} keep changing")

    def _follow_to(self, cursor: int) -> None:
        self._cursor = cursor
        self._wrote.clear()

    async def _read_entries(self, keys: Collection[Key]) -> dict[Key, known.Entry]:
        return {key: known.entry_of(found) for key, found in (await self._api.get(keys)).items()}

    async def follow(self, index: RowIndex) -> None:
        """Do nothing: a record has no row that this object would have to know."""

    async def learn(self, index: RowIndex) -> tuple[Fingerprints, Mapping[Key, Sequence[int]]] | None:
        if await self.token() is None or self._cursor is None:
            return None
        return Fingerprints([1], 1, [{_PLACE[1]: Block(self._cursor, "")}], _SCHEME), {}

    async def read(self, keys: Collection[Key]) -> dict[Key, Record]:
        found = await self._api.get(keys)
        return {key: one for key, one in found.items() if isinstance(one, Record)}

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        outcomes: dict[Key, Outcome] = {}
        for project in sorted({change.key.project for change in changes if change.record is not None}):
            try:
                await self._make(project)
            except RecordUnusable as exc:
                outcomes |= {
                    change.key: Outcome(Result.REFUSED, str(exc))
                    for change in changes
                    if change.key.project == project
                }
        left = [change for change in changes if change.key not in outcomes]
        for key, written in (await self._api.write(left)).items():
            outcomes[key] = _outcome(written)
            if outcomes[key] == DONE:
                self._wrote[key] = written.digest
        return [outcomes[change.key] for change in changes]

    async def _make(self, project: str) -> None:
        """Make *project* if this object has not seen it. Raises RecordUnusable if the user may not."""
        if project not in self._projects:
            await self._plain.make_project(project)
            self._projects.add(project)

    async def token(self) -> Token | None:
        if self._cursor is None:
            return None
        try:
            entries, cursor = await self._api.pages(self._cursor)
        except Gone:
            return None
        if any(self._wrote.get(entry.key, "") != entry.digest for entry in entries):
            return None
        self._cursor = cursor
        return b"%d" % cursor

    async def unchanged_since(self, token: Token) -> bool:
        try:
            return not (await self._api.changes(int(token))).changes
        except Gone:
            return False

    async def resume(self, token: Token) -> bool:
        is_same = await self.unchanged_since(token)
        if is_same:
            self._follow_to(int(token))
        return is_same

    async def mark(self) -> str:
        return "" if self._cursor is None else str(self._cursor)

    async def is_another(self, before: str, now: str) -> bool:
        """Say whether the server was put back, or may be: it does not know the number *before* any more."""
        try:
            await self._api.changes(int(before))
        except Gone:
            return True
        return False

    async def flush(self) -> None:
        """Do nothing: what the server confirms is durable there."""

    def rest(self) -> None:
        """Do nothing: there is nothing to release."""


def _number(found: Fingerprints | None) -> int | None:
    """Return the number of the feed that an index has; None: it has none, or not this kind of hashes."""
    if found is None or found.scheme != _SCHEME or not found.blocks:
        return None
    block = found.blocks[0].get(_PLACE[1])
    return None if block is None else block.mark


def _entry(entry: FeedEntry) -> known.Entry | None:
    """Return what *entry* says of its key; None: only the record itself can tell."""
    if entry.digest is None:
        return known.ABSENT
    record = feed_api.record_of(entry)
    return None if record is None else known.entry_of(record)


def _outcome(written: WriteAnswer) -> Outcome:
    if written.outcome == "done":
        return DONE
    if written.outcome == "stale":
        return STALE
    return Outcome(Result.REFUSED, written.error or "the server does not accept it")
