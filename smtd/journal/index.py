"""The index of a store: what was last seen there, numbered by a sequence of its changes.

An index belongs to a store, not to a pair. Each entry has the number of its last change. So a reader that
remembers a number finds what has changed since.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from smtd.journal import entries
from smtd.journal.rows import IndexedRows
from smtd.records import canonical
from smtd.records.record import Key
from smtd.sqlite import Connection, at_once
from smtd.stores.base import Token
from smtd.stores.index import ABSENT, Busy, Entry, Fingerprints, RowLook

#: How many of the records that changed last are the newest of a store.
NEWEST = 100


class Cursor(NamedTuple):
    """Up to which change the entries of a store are known; numbers of two epochs are not comparable."""

    epoch: int
    seq: int


class IndexState(NamedTuple):
    """The cursor of an index, and the token of its store at that cursor (*head*; None: not known).

    *unsettled_since*: when the first unsettled record last changed (None: all have settled), in seconds since
    1970.
    """

    cursor: Cursor
    head: Token | None
    unsettled_since: float | None


class RecordCount(NamedTuple):
    """How many records of a project a store holds."""

    readable: int
    unreadable: int

    @property
    def records(self) -> int:
        """The number of all records."""
        return self.readable + self.unreadable


class StoreIndex(IndexedRows):
    """The index of the store with the *identity*. Each method is one transaction, but for some that write.

    `note`, `put_head`, `set_rows`, `set_blocks`, `set_fingerprints` and `unlist` write within the open one.
    """

    def __init__(self, db: Connection, identity: str) -> None:
        super().__init__(db, identity)
        #: The numbers of the sequence before and after each `note` of this object, in order.
        self._noted: list[tuple[int, int]] = []

    @at_once
    async def begin(self) -> None:
        """Create the index if there is none; clear it if it holds another version of the digests."""
        reader = str(canonical.VERSION)
        query = "SELECT id, reader FROM store WHERE location = ?"
        if (known := await self._db.fetch(query, (self.identity,))) and known[0][1] == reader:
            self._number = known[0][0]
            return
        async with self._db.transaction():
            await self._db.run(
                "INSERT OR IGNORE INTO store (location, reader, epoch, seq) VALUES (?, ?, ?, 0)",
                (self.identity, reader, entries.new_epoch()),
            )
            ((self._number, found),) = await self._db.fetch(query, (self.identity,))
            if found != reader:
                await entries.clear(self._db, self._number)
                await self._db.run("UPDATE store SET reader = ? WHERE id = ?", (reader, self._number))

    async def cursor(self) -> Cursor:
        """Return the current cursor."""
        rows = await self._db.fetch("SELECT epoch, seq FROM store WHERE location = ?", (self.identity,))
        return Cursor(*rows[0]) if rows else Cursor(0, 0)

    async def head(self, projects: Collection[str] | None) -> Token | None:
        """Return the token of the store for which the entries of *projects* (None: all) were right.

        None: there is none, so a look is needed.
        """
        return (await self.state(projects)).head

    async def put_head(self, projects: Collection[str] | None, head: Token, at: Cursor) -> None:
        """Store *head* as the token for which the entries of *projects* up to *at* are right.

        Within the open transaction. Does nothing if another pair or process has changed an entry since, as it
        may have looked earlier.
        """
        if await self.cursor() == at and await self.head(projects) != head:
            await self._set_head(projects, head)

    async def state(self, projects: Collection[str] | None) -> IndexState:
        """Return the state of the index, all of one moment, with the head of *projects* (None: all)."""
        rows = await self._db.fetch(
            "SELECT s.epoch, s.seq, h.head, (SELECT min(changed) FROM entry INDEXED BY entry_changed"
            " WHERE store = s.id AND changed IS NOT NULL) FROM store s"
            " LEFT JOIN head h ON h.store = s.id AND h.projects = ? WHERE s.location = ?",
            (_scope(projects), self.identity),
        )
        ((epoch, seq, head, unsettled_since),) = rows or [(0, 0, None, None)]
        return IndexState(Cursor(epoch, seq), None if head is None else bytes(head), unsettled_since)

    @at_once
    async def entries(self, keys: Collection[Key]) -> dict[Key, Entry]:
        """Return the entries of *keys*; keys without an entry are left out."""
        return await entries.entries(self._db, await self._id(), keys)

    async def present(self, projects: Collection[str] | None = None) -> dict[Key, Entry]:
        """Return the entries of *projects* (None: of all projects), except those of absent records."""
        return await entries.present(self._db, await self._id(), projects)

    @at_once
    async def row_count(self) -> int:
        """Return how many rows the store has, one for each record that smtd wrote since the last look."""
        extra = await self._db.value("SELECT count(*) FROM extra_row WHERE store = ?", (await self._id(),))
        return sum(each.records for each in (await self.record_counts(None)).values()) + int(extra)

    async def changed_since(self, cursor: Cursor, projects: Collection[str] | None) -> set[Key]:
        """Return the keys of *projects* (None: of all) whose entries changed after *cursor*."""
        return {
            entries.key_of(project, label)
            for project, label in await self._db.fetch(
                "SELECT project, label FROM entry WHERE store = ? AND seq > ?",
                (await self._id(), cursor.seq),
            )
            if projects is None or entries.text(project) in projects
        }

    async def newest(self, projects: Collection[str] | None) -> dict[Key, float | None]:
        """Return the `NEWEST` records of *projects* (None: of all) that changed last, the last one first.

        Of records that changed together, larger labels come first: they are of later runs. The values are the
        times of the last read, in seconds since 1970 (None: not known).
        """
        rows = await self._db.fetch(
            "SELECT project, label, read FROM entry WHERE store = ? AND state > 0"
            " ORDER BY seq DESC, label DESC, project LIMIT ?",
            (await self._id(), NEWEST if projects is None else -1),
        )
        found = ((entries.key_of(project, label), read) for project, label, read in rows)
        return dict(
            islice((each for each in found if projects is None or each[0].project in projects), NEWEST)
        )

    async def reread_at(self) -> float | None:
        """Return when records were last read again (None: never), in seconds since 1970."""
        found: float | None = await self._db.value(
            "SELECT looked FROM store WHERE id = ?", (await self._id(),)
        )
        return found

    @at_once
    async def note_reads(self, keys: Collection[Key], moment: float, reread_at: float | None) -> None:
        """Store that the records of *keys* were read at *moment*; *reread_at*: when some were last reread."""
        async with self._db.transaction():
            await self._db.run_many(
                "UPDATE entry SET read = ? WHERE store = ? AND project = ? AND label = ?",
                [(moment, await self._id(), *entries.columns(key)) for key in keys],
            )
            await self._db.run("UPDATE store SET looked = ? WHERE id = ?", (reread_at, await self._id()))

    async def record_counts(self, projects: Collection[str] | None) -> dict[str, RecordCount]:
        """Return the number of records in each of *projects* (None: in each) that has any."""
        return {
            entries.text(project): RecordCount(readable, unreadable)
            for project, readable, unreadable in await self._db.fetch(
                "SELECT project, readable, unreadable FROM held WHERE store = ?", (await self._id(),)
            )
            if readable + unreadable and (projects is None or entries.text(project) in projects)
        }

    @at_once
    async def update(
        self,
        found: Mapping[Key, Entry],
        projects: Collection[str] | None,
        head: Token | None,
        *,
        whole: bool,
        since: Cursor | None = None,
    ) -> Cursor | None:
        """Store what a look at *projects* (None: all) has *found*, and return the new cursor.

        *whole*: there are no other records. *head* is the token of the store if nothing was written since.
        The look began at the cursor *since* (None: there are no other looks). If another pair or process has
        stored entries after that, these stay, as they may be the newer ones. None is returned then, as they
        may be the older ones, too: the store must be looked at again, whole.
        """
        async with self._db.transaction():
            newer = await self._newer(since)
            found = await self._relied_on(found, projects, newer or (), whole=whole)
            head = head if newer is None else None
            before, after = await entries.put(self._db, await self._id(), found)
            if before != after:
                await self._void_heads(Cursor(0, before))
            await self._set_head(projects, head)
            return await self.cursor() if newer is None else None

    async def _void_heads(self, cursor: Cursor) -> None:
        """Delete the heads of projects whose entries changed after *cursor*: they fit these no longer."""
        changed = {project for project, _ in await self.changed_since(cursor, None)}
        query = "SELECT projects FROM head WHERE store = ?"
        for (scope,) in await self._db.fetch(query, (await self._id(),)):
            if not scope or not changed.isdisjoint(json.loads(scope)):
                await self._db.run(
                    "DELETE FROM head WHERE store = ? AND projects = ?", (await self._id(), scope)
                )

    async def _relied_on(
        self,
        found: Mapping[Key, Entry],
        projects: Collection[str] | None,
        newer: Collection[Key],
        *,
        whole: bool,
    ) -> dict[Key, Entry]:
        """Return what was *found*, with absences of all other keys if *whole*, without the keys *newer*."""
        known = await entries.present(self._db, await self._id(), projects) if whole else {}
        gone = dict.fromkeys(known.keys() - found.keys(), ABSENT)
        return {key: each for key, each in {**gone, **found}.items() if key not in newer}

    async def _newer(self, since: Cursor | None) -> Collection[Key] | None:
        """Return the keys whose entries others changed after *since* (None: the cursor has not moved)."""
        if since is None or await self.cursor() == since:
            return None
        return await self.changed_since(since, None)

    @at_once
    async def update_rows(
        self, look: RowLook, head: Token | None, *, since: Cursor | None = None
    ) -> Cursor | None:
        """Store what *look* has found; *head* is the token of the store if nothing was written since.

        For the rest see `update`. If others have stored entries after *since*, the blocks that differed in
        this look differ again in the next one.
        """
        store = await self._id()
        async with self._db.transaction():
            newer = await self._newer(since)
            found = await self._relied_on(look.found, None, newer or (), whole=look.whole)
            if newer is not None:
                look, head = look.still_valid(newer), None
                await self.unlist(newer)
            await entries.put(self._db, store, found, None if look.busy is None else look.busy.ended)
            if newer is None:  # otherwise a record may have changed after this look, as another look saw
                await entries.settle(self._db, store, look.busy)
            await self.set_rows({**dict.fromkeys(found, ()), **look.rows})
            if look.whole:
                await self.set_fingerprints(look.fingerprints)
            else:
                await self.set_blocks(look.blocks)
            if look.listed:
                listed = [(store, *entries.columns(key)) for key in await self.unlisted() & {*look.listed}]
                query = "UPDATE entry SET unlisted = 0 WHERE store = ? AND project = ? AND label = ?"
                await self._db.run_many(query, listed)
            await self._set_head(None, head)
            return await self.cursor() if newer is None else None

    async def unsettled(self) -> set[Key]:
        """Return the keys whose records may be half saved: they changed while a program was writing."""
        return await entries.unsettled(self._db, await self._id())

    @at_once
    async def settle(self, moment: float) -> Cursor:
        """Settle the records that have not changed for long enough before *moment* (seconds since 1970).

        Returns the cursor after that.
        """
        if await self.unsettled():
            async with self._db.transaction():
                await entries.settle(self._db, await self._id(), Busy(moment, moment))
        return await self.cursor()

    @at_once
    async def store_fingerprints(
        self, fingerprints: Fingerprints, rows: Mapping[Key, Sequence[int]], at: Cursor
    ) -> None:
        """Store the fingerprints of all rows and the new *rows*, which fit the entries up to *at*.

        Does nothing if another pair or process has changed an entry since.
        """
        async with self._db.transaction():
            if await self.cursor() != at:
                return
            await self.set_rows(rows)
            await self.set_fingerprints(fingerprints)
            await self._db.run(
                "UPDATE entry SET unlisted = 0 WHERE store = ? AND unlisted", (await self._id(),)
            )

    async def note(self, found: Mapping[Key, Entry]) -> None:
        """Store what smtd wrote and read back, within the open transaction.

        This makes every head void: if the store has the token of an old head again, it was restored.
        """
        await self._db.run("DELETE FROM head WHERE store = ?", (await self._id(),))
        self._noted.append(await entries.put(self._db, await self._id(), found))
        await self.unlist(found)

    def advanced(self, cursor: Cursor) -> Cursor:
        """Return *cursor* moved past the notes of this object, up to the first change by others."""
        for before, after in self._noted:
            if before == cursor.seq:
                cursor = cursor._replace(seq=after)
        return cursor

    async def _set_head(self, projects: Collection[str] | None, head: Token | None) -> None:
        row = (await self._id(), _scope(projects))
        if head is None:
            await self._db.run("DELETE FROM head WHERE store = ? AND projects = ?", row)
        else:
            await self._db.run("INSERT OR REPLACE INTO head VALUES (?, ?, ?)", (*row, head))


def _scope(projects: Collection[str] | None) -> str:
    return "" if projects is None else json.dumps(sorted(projects))
