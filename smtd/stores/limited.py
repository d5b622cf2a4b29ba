"""Limit the calls to a store that many pairs share: a few at a time, and one write at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from weakref import WeakValueDictionary

import anyio

from smtd.stores.base import Change, Outcome, Store
from smtd.stores.wrapped import WrappedStore

T = TypeVar("T")


class EndpointLimits:
    """The limits that all stores at one place share: a number of calls, and one write, at a time."""

    def __init__(self, calls: int) -> None:
        self.calls = anyio.CapacityLimiter(calls)
        self.writing = anyio.Lock()


class LimitedStore(WrappedStore):
    """Limits the calls to *store*, together with those to other stores with the same *limits*."""

    def __init__(self, store: Store, limits: EndpointLimits) -> None:
        super().__init__(store)
        self._limits = limits

    async def write(self, changes: Sequence[Change]) -> list[Outcome]:
        async with self._limits.writing, self._limits.calls:
            return await self._store.write(changes)

    async def _reading(self, call: Callable[[], Awaitable[T]]) -> T:
        async with self._limits.calls:
            return await call()


_all_limits: WeakValueDictionary[str, EndpointLimits] = WeakValueDictionary()


def limits_of(name: str, calls: int) -> EndpointLimits:
    """Return the limits of this process for the place *name*; they exist while a store uses them."""
    return _all_limits.setdefault(name, EndpointLimits(calls))
