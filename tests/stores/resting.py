"""A store that rests after each call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from smtd.stores.base import Change, Outcome, Store
from smtd.stores.wrapped import WrappedStore
from tests.stores.places import Place

T = TypeVar("T")


class RestingStore(WrappedStore):
    """Makes *store* rest whenever it can."""

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        return await self._rested(self._store.write(changes))

    async def _reading(self, call: Callable[[], Awaitable[T]]) -> T:
        return await self._rested(call())

    async def _rested(self, doing: Awaitable[T]) -> T:
        try:
            return await doing
        finally:
            self._store.rest()


class RestingPlace:
    """The place of a store that rests after each call; otherwise the same as *place*."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def __getattr__(self, name: str) -> Any:
        return getattr(self._place, name)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Store]:
        async with self._place.open() as store:
            yield RestingStore(store)
