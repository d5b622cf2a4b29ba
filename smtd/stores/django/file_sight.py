"""What is known of the tables in a file, of which SQLite tells whether others have written to it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from smtd.records.canonical import Digest
from smtd.records.record import Key, Record
from smtd.stores.base import Scan, Token
from smtd.stores.django import reader
from smtd.stores.django.blocks import Blocks
from smtd.stores.django.connection import Connection
from smtd.stores.django.ids import RowIds
from smtd.stores.django.reader import Raw
from smtd.stores.seen import Pool, Seen, pool, renewed, scan, shared, understood

#: How often others may write during a look at all rows before it is not all known which of them it saw.
PATIENCE = 20
#: Records that this store has written, of which the blocks do not know, from which on it learns them at once.
MANY = 500
#: After more own writes than these all is looked at: to keep them in mind takes memory, and saves no time.
MOST = 200_000


class WatchedFile(Protocol):
    """A file that tells how often others have written to it."""

    @property
    def is_new(self) -> bool:
        """Whether it was made by this object, which knows all commits of others since."""

    @property
    def version(self) -> int | None:
        """What changed if others have committed since `settle`."""

    async def settle(self) -> None:
        """Wait for a quiet moment, and start a new token."""

    async def is_quiet(self) -> bool:
        """Say whether nobody has written for a moment, so that `settle` does not wait."""

    async def is_settled(self) -> bool:
        """Say whether nobody has committed since `settle`."""

    async def renew(self) -> None:
        """Count the commits of others from now on."""

    async def connection(self) -> Connection | None:
        """Return the connection to the file, or None while it has no tables."""

    async def token(self) -> Token | None:
        """Return what the file looks like if nobody else wrote since `settle`."""

    async def unchanged_since(self, token: Token) -> bool:
        """Say whether the file looks as it did when *token* was given."""

    async def resume(self, token: Token) -> bool:
        """Say so, and start a new token as `settle` does; but no token if the file looks otherwise."""


class FileSight:
    """Looks at all rows once; then at those which others may have changed, or this store has written."""

    tells_arrivals = resumes = True

    def __init__(self, file: WatchedFile, ids: RowIds) -> None:
        self._file = file
        self._ids = ids
        self._blocks = Blocks()
        #: What the rows said at the last scan, by their ids.
        self._seen: dict[int, Seen] = {}
        #: The last scan; of which version of the file it was, and of which projects.
        self._last: Scan | None = None
        self._version: int | None = None
        self._projects: frozenset[str] | None = None
        #: The keys that were written to since; and those that were read back after that.
        self._written: set[Key] = set()
        self._read_back: set[Key] = set()
        #: All keys that were written to since the blocks were looked at.
        self._unlisted: set[Key] = set()

    async def settle(self) -> None:
        await self._file.settle()

    def nothing(self, projects: Collection[str] | None) -> Scan:
        self.forget()
        self._last, self._version = scan(()), None
        self._projects = None if projects is None else frozenset(projects)
        return self._last

    async def look(self, db: Connection, projects: Collection[str] | None) -> Scan:
        try:
            return await self._looked(db, projects)
        except BaseException:
            self.forget()  # what was found to be changed may not have been looked at
            raise

    async def arrivals(self, db: Connection, projects: Collection[str] | None) -> Scan | None:
        chosen = None if projects is None else frozenset(projects)
        if not (self._blocks.are_known and self._ids.are_known and await self._file.is_quiet()):
            return None  # whoever waits until it is quiet can look at everything
        await self._file.settle()
        try:
            if len(added := await self._ids.added(db)) > MANY:
                return None  # they are looked at with all the others as soon
            # Not in the blocks: should they be taken back, that would not show.
            self.touch(added)
            last = self._last if chosen == self._projects else None
            if last is None:
                return None
            self._last = await self._look_again(db, last, set(), chosen)
            count = await reader.count(db, projects)
        except BaseException:
            self.forget()
            raise
        if count != len(self._seen):
            return None
        return replace(self._last, partial=self._version != self._file.version)

    async def _looked(self, db: Connection, projects: Collection[str] | None) -> Scan:
        # Asked before the look: a commit of others during it makes the next look another one.
        version, chosen = self._file.version, None if projects is None else frozenset(projects)
        last = self._last if chosen == self._projects else None
        compares = last is None or version != self._version
        if compares:
            changed = await self._blocks.changed(db)
            # What this store wrote since the blocks were looked at is not in them: that others took it back
            # would not show.
            self._written |= self._unlisted
        else:
            changed = set()
            if not self._blocks.are_known and not self._written:
                await self._learn_blocks(db)
        if last is None or changed is None:
            again = await self._look(db, projects)
            self._last = scan(self._seen.values())
            if again:
                self._last = replace(await self._look_again(db, self._last, again, chosen), changes=None)
        else:
            self._last = await self._look_again(db, last, changed, chosen)
        self._version, self._projects = self._file.version, chosen
        # What others changed during the look, and change back before the next one, would be in the blocks as
        # it was, and in the records as it is not.
        if await self._file.is_settled():
            self._blocks.trust()
            if compares:
                self._unlisted.clear()
        elif last is None or changed is None:
            self._blocks.forget()
        else:
            self._blocks.doubt()
        return self._last

    async def _learn_blocks(self, db: Connection) -> None:
        """Learn what the rows are like that were seen already, if they still are as they were then."""
        await self._blocks.changed(db)
        if await self._file.is_settled():
            self._unlisted.clear()
        else:
            self._blocks.forget()

    async def _look(self, db: Connection, projects: Collection[str] | None) -> set[int]:
        """Look at every row, and understand those that are not as they were at the last scan.

        That takes long where there are many. Returns the ids of the rows to be looked at again, since others
        wrote meanwhile: what was read when they did, and what is otherwise now than before.
        """
        seen: dict[int, Seen] = {}
        again: set[int] = set()
        patience, known = PATIENCE, pool()
        async for page in reader.pages(db, projects):
            seen |= {raw.row_id: self._understood(raw, known) for raw in page}
            if patience and self._blocks.are_known and not await self._file.is_settled():
                patience -= 1
                await self._file.renew()
                changed = await self._blocks.changed(db)
                if changed is None:  # nobody can tell any more what they wrote: once more, and without asking
                    return await self._look(db, projects)
                again |= {raw.row_id for raw in page} | changed
        self._seen = seen
        self._written.clear()
        self._read_back.clear()
        return again

    async def _look_again(
        self, db: Connection, last: Scan, changed: set[int], projects: frozenset[str] | None
    ) -> Scan:
        """Look at the rows *changed*, and at what this store has written to since the scan *last*."""
        if not (changed or self._written or self._read_back):
            return last.again
        rows = sorted(changed.union(await self._ids.of(db, self._written)))
        own = self._written | self._read_back
        keys = own if projects is None else {key for key in own if key.project in projects}
        for start in range(0, len(rows), reader.PAGE):
            page = rows[start : start + reader.PAGE]
            async with db.reading():
                raws = await reader.by_id(db, page)
            there = {raw.row_id: self._understood(raw) for raw in raws if raw.project is not None}
            for row_id in page:
                before, now = self._seen.pop(row_id, None), there.get(row_id)
                if now is not None and (projects is None or now.key.project in projects):
                    self._seen[row_id] = now
                    keys.add(now.key)
                if before is not None:
                    keys.add(before.key)
        self._written.clear()
        self._read_back.clear()
        seen = [self._seen[row_id] for row_id in self._ids.known(keys) if row_id in self._seen]
        return renewed(last, keys, [one for one in seen if one.key in keys])

    def _understood(self, raw: Raw, known: Pool | None = None) -> Seen:
        """Return what *raw* says, which is known if it is as it was; share what is *known* already."""
        mark = raw.mark
        one = self._seen.get(raw.row_id)
        if one is None or one.mark != mark:
            before, one = one, looked_at(raw, mark)
            one = one if before is None else shared(one, before)
            one = one if known is None else known.pooled(one)
            self._ids.learn(raw.row_id, one.key)
        return one

    def digest(self, raw: Raw) -> Digest | None:
        one = self._seen.get(raw.row_id)
        if one is None or isinstance(one.found, str) or one.mark != raw.mark:
            return None
        return one.found

    def touch(self, keys: Iterable[Key]) -> None:
        if self._last is None:
            return  # all will be looked at
        written = set(keys)
        self._written |= written
        self._unlisted |= written
        if len(self._unlisted) > MOST:
            self.forget()

    def read_back(self, raw: Raw, key: Key, record: Record) -> None:
        before = self._seen.get(raw.row_id)
        bore_another = before is not None and before.key != key
        if key in self._written and self._ids.known([key]) == [raw.row_id] and not bore_another:
            self._seen[raw.row_id] = understood(raw.mark, key, record)
            self._written.remove(key)
            self._read_back.add(key)

    async def marks(self, db: Connection, ids: Collection[int]) -> Mapping[int, int]:
        return {}

    def wrote(self, ids: Collection[int], marks: Mapping[int, int]) -> None:
        pass  # the file tells

    def forget(self) -> None:
        self._last = None
        self._blocks.forget()
        for keys in (self._written, self._read_back, self._unlisted):
            keys.clear()  # all will be looked at

    async def token(self) -> Token | None:
        if len(self._unlisted) >= MANY and await self._is_alone() and (db := await self._file.connection()):
            # To read so much again, as soon as others write, would take longer than to learn it now.
            await self._learn_blocks(db)
            self._version = self._file.version
        return await self._file.token()

    async def _is_alone(self) -> bool:
        """Say whether nobody else has written since the last look."""
        is_known = self._version == self._file.version or (self._version is None and self._file.is_new)
        return is_known and await self._file.is_settled()

    async def unchanged_since(self, token: Token) -> bool:
        return await self._file.unchanged_since(token)

    async def resume(self, token: Token) -> bool:
        return await self._file.resume(token)


def looked_at(raw: Raw, mark: int) -> Seen:
    """Return what *raw* says."""
    found = raw.found()
    return understood(mark, found.key, found.record)
