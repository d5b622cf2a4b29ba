"""What is known of the tables in a file, of which SQLite tells whether others have written to it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from smtd.records.canonical import Digest
from smtd.records.record import Key
from smtd.stores.base import Scan, Token
from smtd.stores.django import reader
from smtd.stores.django.blocks import Blocks
from smtd.stores.django.connection import Connection
from smtd.stores.django.ids import RowIds
from smtd.stores.django.reader import Raw
from smtd.stores.django.seen import Seen, renewed, scan, understood

#: How often others may write during a look at all rows before it is not all known which of them it saw.
PATIENCE = 20


class WatchedFile(Protocol):
    """A file that tells how often others have written to it."""

    @property
    def version(self) -> int | None:
        """What changed if others have committed since `settle`."""

    async def settle(self) -> None:
        """Wait for a quiet moment, and start a new token."""

    async def is_settled(self) -> bool:
        """Say whether nobody has committed since `settle`."""

    async def renew(self) -> None:
        """Count the commits of others from now on."""

    async def token(self) -> Token | None:
        """Return what the file looks like if nobody else wrote since `settle`."""

    async def unchanged_since(self, token: Token) -> bool:
        """Say whether the file looks as it did when *token* was given."""


class FileSight:
    """Looks at all rows once; then at those which others may have changed, or this store has written."""

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
        #: The keys that were written to since.
        self._written: set[Key] = set()
        #: The same since the blocks were looked at.
        self._unlisted: set[Key] = set()

    async def settle(self) -> None:
        await self._file.settle()

    async def look(self, db: Connection, projects: Collection[str] | None) -> Scan:
        try:
            return await self._looked(db, projects)
        except BaseException:
            self.forget()  # what was found to be changed may not have been looked at
            raise

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
        elif changed or self._written:
            self._last = await self._look_again(db, last, changed, chosen)
        else:
            self._last = last.again
        self._version, self._projects = self._file.version, chosen
        self._written.clear()
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
        if not await self._file.is_settled():
            self._blocks.forget()

    async def _look(self, db: Connection, projects: Collection[str] | None) -> set[int]:
        """Look at every row, and understand those that are not as they were at the last scan.

        That takes long where there are many. Returns the ids of the rows to be looked at again, since others
        wrote meanwhile: what was read when they did, and what is otherwise now than before.
        """
        seen: dict[int, Seen] = {}
        again: set[int] = set()
        patience = PATIENCE
        async for page in reader.pages(db, projects):
            seen |= {raw.row_id: self._understood(raw) for raw in page}
            if patience and self._blocks.are_known and not await self._file.is_settled():
                patience -= 1
                await self._file.renew()
                changed = await self._blocks.changed(db)
                if changed is None:  # nobody can tell any more what they wrote: once more, and without asking
                    return await self._look(db, projects)
                again |= {raw.row_id for raw in page} | changed
        self._seen = seen
        return again

    async def _look_again(
        self, db: Connection, last: Scan, changed: set[int], projects: frozenset[str] | None
    ) -> Scan:
        """Look at the rows *changed*, and at what this store has written to since the scan *last*."""
        rows = sorted(changed.union(await self._ids.of(db, self._written)))
        keys: set[Key] = set(self._written)
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
        return renewed(last, keys, [one for one in self._seen.values() if one.key in keys])

    def _understood(self, raw: Raw) -> Seen:
        """Return what *raw* says, which is known if it is as it was."""
        mark = raw.mark
        one = self._seen.get(raw.row_id)
        if one is None or one.mark != mark:
            one = looked_at(raw, mark)
            self._ids.relabelled(raw.row_id, one.key)
        return one

    def digest(self, raw: Raw) -> Digest | None:
        one = self._seen.get(raw.row_id)
        return one.digest if one is not None and not one.problem and one.mark == raw.mark else None

    def touch(self, keys: Iterable[Key]) -> None:
        written = set(keys)
        self._written |= written
        self._unlisted |= written

    async def marks(self, db: Connection, ids: Collection[int]) -> Mapping[int, int]:
        return {}

    def wrote(self, ids: Collection[int], marks: Mapping[int, int]) -> None:
        pass  # the file tells

    def forget(self) -> None:
        self._last = None
        self._blocks.forget()

    async def token(self) -> Token | None:
        return await self._file.token()

    async def unchanged_since(self, token: Token) -> bool:
        return await self._file.unchanged_since(token)


def looked_at(raw: Raw, mark: int) -> Seen:
    """Return what *raw* says."""
    found = raw.found()
    return understood(mark, found.key, found.record)
