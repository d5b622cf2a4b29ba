"""The store behind smtd's own server: a feed of changes to follow, and conditional writes in bulk.

The look at it is that of a store of rows. In place of hashes of its rows the index keeps one number: that of
the feed up to which the entries are right. It is kept as the state of the only block of the only table.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from smtd.errors import RecordUnusable, StoreBusy, StoreRefused
from smtd.records.record import Key, Record
from smtd.stores import index as known
from smtd.stores.base import DONE, STALE, Capabilities, Change, Kept, Outcome, Result, Scan, Token
from smtd.stores.http import feed_api
from smtd.stores.http.feed_api import LINES, FeedApi, FeedEntry, Gone, WriteAnswer
from smtd.stores.http.store import HttpStore
from smtd.stores.index import NO_RECHECK, Block, Fingerprints, Recheck, RowIndex, RowLook

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
        digests, cursor = await self._all_digests()
        keys = {key for key in digests if projects is None or key.project in projects}
        self._follow_to(cursor)
        return known.scan(await self._read_entries(keys))

    async def track(self, index: RowIndex, recheck: Recheck = NO_RECHECK) -> RowLook:
        before = None if recheck.everything else _number(await index.fingerprints())
        try:
            if before is not None:
                return await self._track_since(before, index, recheck.keys)
        except Gone:
            pass
        return await self._track_all({} if recheck.everything else await index.present())

    async def _track_since(self, before: int, index: RowIndex, recheck: Collection[Key]) -> RowLook:
        looked: dict[Key, known.Entry | None] = {}
        cursor = before
        async for page in self._api.pages(before, with_records=True):
            looked |= {entry.key: _entry(entry) for entry in page.changes}
            cursor = page.next
        unread = {key for key, entry in looked.items() if entry is None}
        unread |= {*recheck, *await index.unlisted()} - looked.keys()
        read = await self._read_entries(unread)
        self._follow_to(cursor)
        found = {key: entry for key, entry in looked.items() if entry is not None}
        found |= {key: read.get(key, known.ABSENT) for key in unread}
        return RowLook(
            found, {}, whole=False, undisturbed=True, listed=found, blocks={_PLACE: Block(cursor, "")}
        )

    async def _track_all(self, before: Mapping[Key, known.Entry]) -> RowLook:
        """Look at everything; read only records whose digests differ from those *before*."""
        digests, cursor = await self._all_digests()
        looked = {
            key: before[key]
            for key, digest in digests.items()
            if key in before and before[key].digest == feed_api.digest_of(digest) is not None
        }
        looked |= await self._read_entries(digests.keys() - looked.keys())
        for project in {key.project for key in before} - {key.project for key in digests}:
            looked |= await self._of_unlisted(project, [key for key in before if key.project == project])
        self._follow_to(cursor)
        fingerprints = _fingerprints(cursor)
        return RowLook(looked, {}, whole=True, undisturbed=True, listed=looked, fingerprints=fingerprints)

    async def _of_unlisted(self, project: str, keys: Sequence[Key]) -> dict[Key, known.Entry]:
        """Return what *project* has, of which nothing is listed; *keys* were there before.

        If the user may not read it any more, its records do not count as absent.
        """
        try:
            return known.entries(await self._plain.scan([project]))
        except StoreRefused as exc:
            return dict.fromkeys(keys, known.unreadable(str(exc)))

    async def _all_digests(self) -> tuple[dict[Key, str], int]:
        """Return the digest of every record, as the server writes it, and the number to continue from."""
        for _ in range(ATTEMPTS):
            found: dict[Key, str | None] = {}
            cursor = 0
            try:
                async for page in self._api.pages(0):
                    found |= {entry.key: entry.digest for entry in page.changes}
                    cursor = page.next
            except Gone:  # between two pages, the rights of this user changed
                continue
            return {key: digest for key, digest in found.items() if digest is not None}, cursor
        raise StoreBusy(f"the projects that this user may see at {self.location} keep changing")

    def _follow_to(self, cursor: int) -> None:
        self._cursor = cursor
        self._wrote.clear()

    async def _read_entries(self, keys: Collection[Key]) -> dict[Key, known.Entry]:
        entries: dict[Key, known.Entry] = {}
        async for found in self._api.get(keys):  # records are large, and entries are not
            entries |= {key: known.entry_of(one) for key, one in found.items()}
            found.clear()
        return entries

    async def follow(self, index: RowIndex) -> None:
        """Do nothing: a record has no row that this object would have to know."""

    async def fingerprint_all(
        self, index: RowIndex
    ) -> tuple[Fingerprints, Mapping[Key, Sequence[int]]] | None:
        if await self.token() is None or self._cursor is None:
            return None
        return _fingerprints(self._cursor), {}

    async def read(self, keys: Collection[Key]) -> dict[Key, Record]:
        found: dict[Key, Record | RecordUnusable] = {}
        async for some in self._api.get(keys):
            found |= some
        if denied := next((one for one in found.values() if isinstance(one, feed_api.Denied)), None):
            raise StoreRefused(f"{self.location}: {denied.reason}")
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
            elif outcomes[key] != STALE:
                self._projects.discard(key.project)  # it may be gone
        return [outcomes[change.key] for change in changes]

    async def _make(self, project: str) -> None:
        """Make *project* if this object has not seen it. Raises RecordUnusable if the user may not."""
        if project not in self._projects:
            await self._plain.make_project(project)
            self._projects.add(project)

    async def token(self) -> Token | None:
        if self._cursor is None:
            return None
        cursor = self._cursor
        try:
            async for page in self._api.pages(cursor):
                if any(self._wrote.get(entry.key, "") != entry.digest for entry in page.changes):
                    return None
                cursor = page.next
        except Gone:
            return None
        self._cursor = cursor
        return b"%d" % cursor

    async def unchanged_since(self, token: Token) -> bool:
        try:
            page = await self._api.changes(int(token))
        except Gone:
            return False
        return not page.changes and not page.more

    async def resume(self, token: Token) -> bool:
        is_same = await self.unchanged_since(token)
        if is_same:
            self._follow_to(int(token))
        return is_same

    async def mark(self) -> str:
        """Return a number that only a later state of this server knows: with what this object has written."""
        if self._cursor is None:
            return ""
        if not self._wrote:
            return str(self._cursor)
        return str(self._api.number_after_write or (await self._api.changes(None)).next)

    async def is_another(self, before: str, now: str) -> bool:
        """Say whether the server was put back, or may be: its log does not have the number *before*."""
        try:
            await self._api.changes(int(before))
        except Gone as exc:
            return exc.is_other_log
        return False

    async def flush(self) -> None:
        """Do nothing: what the server confirms is durable there."""

    def rest(self) -> None:
        """Do nothing: there is nothing to release."""


def _fingerprints(cursor: int) -> Fingerprints:
    """Return what an index keeps in place of hashes: the number *cursor* of the feed."""
    return Fingerprints([1], 1, [{_PLACE[1]: Block(cursor, "")}], _SCHEME)


def _number(found: Fingerprints | None) -> int | None:
    """Return the number of the feed that an index has; None: it has none, or not this kind of hashes."""
    if found is None or found.scheme != _SCHEME or not found.blocks:
        return None
    block = found.blocks[0].get(_PLACE[1])
    return None if block is None else block.state


def _entry(entry: FeedEntry) -> known.Entry | None:
    """Return what *entry* says of its key; None: only the record itself can tell."""
    if entry.digest is None:
        return known.ABSENT
    record = feed_api.record_of(entry)
    return None if record is None else known.entry_of(record)


def _outcome(written: WriteAnswer) -> Outcome:
    if written.outcome == "done":
        # Only a digest that this smtd would compute itself says what is there.
        digest = feed_api.digest_of(written.digest)
        is_known = digest is not None or written.digest is None
        return replace(DONE, kept=Kept(digest)) if is_known else DONE
    if written.outcome == "stale":
        return STALE
    return Outcome(Result.REFUSED, written.error or "the server does not accept it")
