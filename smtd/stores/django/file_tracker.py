"""Find the records in a file that may have changed since the index was brought up to date."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping

from smtd.records.canonical import Digest
from smtd.records.record import Key
from smtd.stores.base import Scan
from smtd.stores.django import blocks, reader
from smtd.stores.django.connection import DatabaseConnection
from smtd.stores.django.ids import RowIds
from smtd.stores.django.reader import EncodedRow
from smtd.stores.django.sqlite import SqliteFile
from smtd.stores.index import (
    ABSENT,
    AllHashed,
    Block,
    Entry,
    Fingerprints,
    Recheck,
    RowIndex,
    RowLook,
    by_key,
    entry_of,
    scan,
)

#: From this number of records on, a look may return the new ones first: comparing fewer takes 0.1 s at most.
MANY = 10_000
#: How often a look at all rows hashes them again because others have committed. If they still commit after
#: that, smtd cannot know which of their changes the look has read.
PATIENCE = 20


class _Reading:
    """The rows that a look has read; *now* are blocks to compare with (None: no other program writes)."""

    def __init__(self, now: Fingerprints | None) -> None:
        self.now = now
        #: The numbers of all rows that were requested, and the key and entry of each that exists.
        self.asked: set[int] = set()
        self.found: dict[int, tuple[Key, Entry]] = {}
        #: Which of them may differ from what the blocks hashed, and these blocks.
        self.changed: set[int] = set()
        self.invalid: dict[tuple[int, int], Block | None] = {}

    def add_changed(self, found: blocks.Changed) -> None:
        """Add what was *found* doubtful when some rows were read."""
        self.changed |= found.records
        self.invalid.update(found.blocks)

    async def unchanged(self, index: RowIndex) -> set[Key]:
        """Return the keys of the records that are as the blocks hashed them."""
        doubtful = await index.keys_of(self.changed)
        doubtful |= {key for row, (key, _) in self.found.items() if row in self.changed}
        return {key for key, _ in self.found.values()} - doubtful


class FileTracker:
    """Reads all rows once; then only rows that others may have changed, or that this store has written."""

    def __init__(self, file: SqliteFile, ids: RowIds) -> None:
        self._file = file
        self._ids = ids
        #: The hash and digest of each row that a look has decoded, by its number, until the store rests.
        self._digests: dict[int, tuple[int, Digest]] = {}
        #: The version of the file at the last look.
        self._version: int | None = None

    async def scan(self, db: DatabaseConnection, projects: Collection[str] | None) -> Scan:
        """Return the scan of all rows of *projects* (None: of all)."""
        rows, _, _ = await self._read_all(db, projects)
        return scan(_entries(rows))

    async def track(self, db: DatabaseConnection, index: RowIndex, recheck: Recheck) -> RowLook:
        """Return what may have changed since *index* was brought up to date; see `TrackedStore`."""
        # Taken before the look, so that a commit of others during the look counts as later than the look.
        self._version = self._file.version
        before = None if recheck.everything else await index.fingerprints()
        if before is not None and before.scheme != blocks.SCHEME:
            before = None  # from an smtd that hashed other tables, or in another way
        now = None if before is None else await blocks.hash_all(db, self._file.path, before)
        if before is None or now is None:
            return await self._track_all(db)
        changed = await blocks.changed(db, before, now)
        keys = {*recheck.keys, *await index.unlisted()}
        reading = _Reading(None if await self._file.is_undisturbed() else now)
        await self._read_with_same_keys(db, index, changed.records, keys, reading)
        entries = _entries(reading.found)
        touched = {**dict.fromkeys([*keys, *await index.keys_of(changed.records)], ABSENT), **entries}
        undisturbed = await self._file.is_undisturbed()
        found = changed.blocks
        if not undisturbed:
            # If others change something during the look, and change it back before the next one, the blocks
            # show no change, but a record was read in between. That may be one that was read without need.
            places = blocks.rarely_changed(found)
            if reading.now is None:
                places = {*found, *blocks.blocks_of(before, reading.asked)}
            found = {**found, **blocks.invalidated(before, places, now), **reading.invalid}
        rows = _rows(reading.found, touched)
        look = RowLook(touched, rows, whole=False, undisturbed=undisturbed, listed=touched, blocks=found)
        if undisturbed:
            return look
        return look._replace(listed=() if reading.now is None else await reading.unchanged(index))

    async def track_new(self, db: DatabaseConnection, index: RowIndex) -> RowLook | None:
        """Return a partial look at a large file; None if it cannot show that no record is gone.

        If the file has as many more rows as there are new ones, none is gone: so a deletion is not seen later
        than a record that was made after it, and a guard against many deletions counts both.
        """
        highest, count = await index.highest_row(), await index.row_count()
        if highest is None or count < MANY:
            return None
        own = await index.unlisted()
        new = {row_id: key for row_id, key in await self._ids.fetch_after(db, highest) if key not in own}
        asked = "SELECT count(*) FROM django_store_record WHERE project_id IS NOT NULL"
        if not new or await db.value(asked) != count + len(new):
            return None
        keys = set(new.values())
        if len(keys) < len(new) or await index.rows_of(keys):
            return None
        found = await self._read(db, sorted(new), _Reading(None))
        if {row_id: key for row_id, (key, entry) in found.items() if entry.is_readable} != new:
            return None
        if not await self._file.is_undisturbed():
            return None
        entries = _entries(found)
        return RowLook(entries, _rows(found, entries), whole=False, undisturbed=True, partial=True)

    async def _track_all(self, db: DatabaseConnection) -> RowLook:
        rows, fingerprints, undisturbed = await self._read_all(db, None)
        entries = _entries(rows)
        return RowLook(
            entries,
            _rows(rows, entries),
            whole=True,
            undisturbed=undisturbed,
            listed=entries if undisturbed else (),
            fingerprints=fingerprints,
        )

    async def fingerprint_all(self, db: DatabaseConnection, index: RowIndex) -> AllHashed | None:
        """Return the hashes of all rows, and the new rows; None unless only this store wrote since its look.

        The entries of the index have its own writes already.
        """
        is_known = self._version == self._file.version or (self._version is None and self._file.is_new)
        if not (is_known and await self._file.is_undisturbed()):
            return None
        now = await blocks.hash_all(db, self._file.path)
        new: dict[Key, list[int]] = defaultdict(list)
        for row_id, key in await self._ids.fetch_after(db, await index.highest_row()):
            new[key].append(row_id)
        if now is None or not await self._file.is_undisturbed():
            return None
        self._version = self._file.version
        return now, new

    async def _read_with_same_keys(
        self,
        db: DatabaseConnection,
        index: RowIndex,
        rows: Collection[int],
        keys: Collection[Key],
        reading: _Reading,
    ) -> None:
        """Read *rows*, and all rows that have one of *keys*, or a key that one of the rows has or had."""
        wanted, known = set(rows), set(keys)
        bore = {*keys, *await index.keys_of(wanted)}
        while True:
            known |= bore
            for numbers in (await index.rows_of(bore)).values():
                wanted.update(numbers)
            if not (new := wanted - reading.asked):
                return
            read = await self._read(db, sorted(new), reading)
            bore = {key for key, _ in read.values()} - known

    async def _read(
        self, db: DatabaseConnection, rows: list[int], reading: _Reading
    ) -> dict[int, tuple[Key, Entry]]:
        """Read *rows*, and return the key and entry of each that exists."""
        found: dict[int, tuple[Key, Entry]] = {}
        for start in range(0, len(rows), reader.PAGE):
            page = rows[start : start + reader.PAGE]
            async with db.reading():
                raws = await reader.by_id(db, page)
                if reading.now is not None:
                    reading.add_changed(await blocks.changed_since(db, page, reading.now))
            found |= {raw.row_id: self._decoded(raw) for raw in raws if raw.project is not None}
        reading.asked.update(rows)
        reading.found.update(found)
        return found

    async def _read_all(
        self, db: DatabaseConnection, projects: Collection[str] | None, *, compare: bool = True
    ) -> tuple[dict[int, tuple[Key, Entry]], Fingerprints | None, bool]:
        """Read every row; return keys and entries, the hashes (None: unknown), and whether no other wrote.

        It takes long in a large store. Rows that were read while others committed are read again, and so are
        records in blocks that these commits changed.
        """
        before = await blocks.hash_all(db, self._file.path) if compare else None
        rows: dict[int, tuple[Key, Entry]] = {}
        again: set[int] = set()
        patience = PATIENCE if before is not None else 0
        async for page in reader.pages(db, projects):
            rows |= {raw.row_id: self._decoded(raw) for raw in page}
            if patience and before is not None and not await self._file.is_undisturbed():
                patience -= 1
                await self._file.renew()
                self._version = self._file.version
                if (now := await blocks.hash_all(db, self._file.path, before)) is None:
                    # There is no way to know what they wrote: read everything again, without comparing.
                    return await self._read_all(db, projects, compare=False)
                again |= {raw.row_id for raw in page} | (await blocks.changed(db, before, now)).records
                before = now
        if again:
            for row_id in again:
                rows.pop(row_id, None)
            read = await self._read(db, sorted(again), _Reading(None))
            rows |= {
                row_id: one for row_id, one in read.items() if projects is None or one[0].project in projects
            }
        undisturbed = await self._file.is_undisturbed()
        return rows, before if undisturbed else None, undisturbed

    def _decoded(self, raw: EncodedRow) -> tuple[Key, Entry]:
        found = raw.found()
        entry = entry_of(found.record)
        if entry.digest is not None:
            self._digests[raw.row_id] = raw.row_hash, entry.digest
        return found.key, entry

    def digest(self, raw: EncodedRow) -> Digest | None:
        """Return the digest of the record in *raw*, if a look has decoded the row as it is now."""
        row_hash, digest = self._digests.get(raw.row_id, (None, None))
        return digest if row_hash is not None and row_hash == raw.row_hash else None

    def rest(self) -> None:
        """Release the digests of the rows."""
        self._digests = {}

    def forget(self) -> None:
        """Forget everything: there is another file, or none."""
        self._digests, self._version = {}, None

    def note_version(self) -> None:
        """Note that all that others have committed so far has been looked at."""
        self._version = self._file.version


def _entries(rows: Mapping[int, tuple[Key, Entry]]) -> dict[Key, Entry]:
    """Return the entry of each key, given the entries of all *rows* that have it."""
    return by_key(one for _, one in sorted(rows.items()))


def _rows(rows: Mapping[int, tuple[Key, Entry]], keys: Collection[Key]) -> dict[Key, list[int]]:
    """Return the numbers of the rows that have each of *keys*."""
    found: dict[Key, list[int]] = {key: [] for key in keys}
    for row_id, (key, _) in sorted(rows.items()):
        found[key].append(row_id)
    return found
