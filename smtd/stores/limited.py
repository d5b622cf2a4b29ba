"""Spare a store that many pairs share: a few calls at a time, and one that writes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from weakref import WeakValueDictionary

import anyio

from smtd.stores.base import Change, Outcome, Store
from smtd.stores.wrapped import WrappedStore

T = TypeVar("T")


class Room:
    """What the stores of one place share: how many calls are let in, and one of them to write."""

    def __init__(self, calls: int) -> None:
        self.calls = anyio.CapacityLimiter(calls)
        self.writing = anyio.Lock()


class LimitedStore(WrappedStore):
    """Lets only as many calls through to *store*, and to others of the same *room*, as it has room for."""

    def __init__(self, store: Store, room: Room) -> None:
        super().__init__(store)
        self._room = room

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        async with self._room.writing, self._room.calls:
            return await self._store.write(changes)

    async def _look(self, call: Callable[[], Awaitable[T]]) -> T:
        async with self._room.calls:
            return await call()


_rooms: WeakValueDictionary[str, Room] = WeakValueDictionary()


def room(name: str, calls: int) -> Room:
    """Return the one room of this process for the place *name*, for as long as anybody has it."""
    return _rooms.setdefault(name, Room(calls))
