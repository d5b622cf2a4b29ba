"""Limit the calls to a store that many pairs share: a few at a time, and one write at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from weakref import WeakValueDictionary

import anyio

from smtd.stores.base import Change, Outcome, Store
from smtd.stores.wrapped import WrappedStore

T = TypeVar("T")


class Room:
    """The limits that all stores at one place share: a number of calls, and one write, at a time."""

    def __init__(self, calls: int) -> None:
        self.calls = anyio.CapacityLimiter(calls)
        self.writing = anyio.Lock()


class LimitedStore(WrappedStore):
    """Limits the calls to *store*, together with those to other stores with the same *room*."""

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
    """Return the one room of this process for the place *name*; it exists while a store uses it."""
    return _rooms.setdefault(name, Room(calls))
