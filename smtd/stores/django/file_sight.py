"""What is known of the tables in a file, of which SQLite tells whether others have written to it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from smtd.records.record import Key
from smtd.stores.base import Token
from smtd.stores.django import reader
from smtd.stores.django.connection import Connection
from smtd.stores.django.ids import RowIds
from smtd.stores.django.reader import Raw
from smtd.stores.django.seen import Seen, understood


class WatchedFile(Protocol):
    """A file that tells how often others have written to it."""

    @property
    def version(self) -> int | None:
        """What changed if others have committed since `settle`."""

    async def settle(self) -> None:
        """Wait for a quiet moment, and start a new token."""

    async def token(self) -> Token | None:
        """Return what the file looks like if nobody else wrote since `settle`."""

    async def unchanged_since(self, token: Token) -> bool:
        """Say whether the file looks as it did when *token* was given."""


class FileSight:
    """Looks at every row after others have written, else only at what this store wrote."""

    def __init__(self, file: WatchedFile, ids: RowIds) -> None:
        self._file = file
        self._ids = ids
        #: What the rows said at the last scan, by their ids.
        self._seen: dict[int, Seen] = {}
        #: When that was, and of which projects; and the keys that were written to since.
        self._scanned: tuple[int | None, frozenset[str] | None] | None = None
        self._written: set[Key] = set()

    async def settle(self) -> None:
        await self._file.settle()

    async def look(self, db: Connection, projects: Collection[str] | None) -> Iterable[Seen]:
        # Asked before the look: a commit of others during it makes the next look a whole one.
        state = (self._file.version, None if projects is None else frozenset(projects))
        if state == self._scanned:
            await self._look_again(db)
        else:
            self._seen = await self._look(db, projects)
        self._scanned = state
        self._written.clear()
        return self._seen.values()

    async def _look(self, db: Connection, projects: Collection[str] | None) -> dict[int, Seen]:
        """Look at every row, and understand those that are not as they were at the last scan."""
        seen: dict[int, Seen] = {}
        async for page in reader.pages(db, projects):
            for raw in page:
                mark = raw.mark
                one = self._seen.get(raw.row_id)
                if one is None or one.mark != mark:
                    one = looked_at(raw, mark)
                seen[raw.row_id] = one
        return seen

    async def _look_again(self, db: Connection) -> None:
        """Look at what only this store has written to since the last scan."""
        if not self._written:
            return
        ids = await self._ids.of(db, self._written)
        async with db.reading():
            there = {raw.row_id: looked_at(raw, raw.mark) for raw in await reader.by_id(db, ids)}
        for row_id in ids:
            self._seen.pop(row_id, None)
        self._seen |= there

    def touch(self, keys: Iterable[Key]) -> None:
        self._written |= set(keys)

    async def marks(self, db: Connection, ids: Collection[int]) -> Mapping[int, int]:
        return {}

    def wrote(self, ids: Collection[int], marks: Mapping[int, int]) -> None:
        pass  # the file tells

    def forget(self) -> None:
        self._scanned = None

    async def token(self) -> Token | None:
        return await self._file.token()

    async def unchanged_since(self, token: Token) -> bool:
        return await self._file.unchanged_since(token)


def looked_at(raw: Raw, mark: int) -> Seen:
    """Return what *raw* says."""
    found = raw.found()
    return understood(mark, found.key, found.record)
