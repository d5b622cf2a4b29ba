"""Connections to a server: opened when they are needed, kept, and shared by all stores of this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from typing import Any, Generic, Protocol, TypeVar

import anyio
from anyio import CancelScope

#: Connections of this process to one database. A lab's server has a hundred for everybody.
MOST = 4


class Link(Protocol):
    """A connection as the pool sees it."""

    @property
    def is_closed(self) -> bool:
        """It is of no use any more."""

    async def close(self) -> None:
        """End it, within a moment."""


L = TypeVar("L", bound=Link)


class Pool(Generic[L]):
    """At most `MOST` connections that *connect* opens; the others wait for one."""

    def __init__(self, connect: Callable[[], Awaitable[L]]) -> None:
        self._connect = connect
        self._free: list[L] = []
        self._room = anyio.CapacityLimiter(MOST)
        self.users = 0

    @asynccontextmanager
    async def link(self) -> AsyncIterator[L]:
        """Give a connection that nobody else uses. Raises what *connect* raises."""
        async with self._room:
            link = self._kept() or await self._connect()
            try:
                yield link
            finally:
                # Whatever happened: a statement is whole or its connection is closed.
                if not link.is_closed:
                    self._free.append(link)

    @asynccontextmanager
    async def own_link(self) -> AsyncIterator[L]:
        """Give a connection that is not of the pool. Raises what *connect* raises."""
        link = await self._connect()
        try:
            yield link
        finally:
            with CancelScope(shield=True):
                await link.close()

    def _kept(self) -> L | None:
        while self._free:
            link = self._free.pop()
            if not link.is_closed:
                return link
        return None

    async def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._free:
            await self._free.pop().close()


_pools: dict[Hashable, Pool[Any]] = {}


@asynccontextmanager
async def shared(key: Hashable, connect: Callable[[], Awaitable[L]]) -> AsyncIterator[Pool[L]]:
    """Give the one pool of this process for *key*; its connections end with its last user."""
    pool: Pool[L] = _pools.setdefault(key, Pool(connect))
    pool.users += 1
    try:
        yield pool
    finally:
        pool.users -= 1
        if not pool.users:
            del _pools[key]
            with CancelScope(shield=True):
                await pool.close()
