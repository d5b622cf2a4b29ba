"""Connections to a server: opened when needed, kept open, and shared by all stores of this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager

import anyio
from anyio import CancelScope

from smtd.stores.django.connection import ServerLink

#: The most connections of this process to one database. A typical server allows a hundred for all clients.
MOST = 4


class Pool:
    """At most `MOST` connections, which *connect* opens; further callers wait until one is free."""

    def __init__(self, connect: Callable[[], Awaitable[ServerLink]]) -> None:
        self._connect = connect
        self._free: list[ServerLink] = []
        self._room = anyio.CapacityLimiter(MOST)
        self.users = 0

    @asynccontextmanager
    async def link(self) -> AsyncIterator[ServerLink]:
        """Yield a connection that no other caller uses. Raises what *connect* raises."""
        async with self._room:
            link = self._take_free() or await self._connect()
            try:
                yield link
            finally:
                # Also after an error: a connection on which a statement did not end is closed.
                if not link.is_closed:
                    self._free.append(link)

    @asynccontextmanager
    async def own_link(self) -> AsyncIterator[ServerLink]:
        """Yield a new connection that is not of the pool. Raises what *connect* raises."""
        link = await self._connect()
        try:
            yield link
        finally:
            with CancelScope(shield=True):
                await link.close()

    def _take_free(self) -> ServerLink | None:
        while self._free:
            link = self._free.pop()
            if not link.is_closed:
                return link
        return None

    async def close(self) -> None:
        """Close the connections that are not in use."""
        while self._free:
            await self._free.pop().close()


_pools: dict[Hashable, Pool] = {}


@asynccontextmanager
async def shared(key: Hashable, connect: Callable[[], Awaitable[ServerLink]]) -> AsyncIterator[Pool]:
    """Yield the one pool of this process for *key*; its connections are closed after its last user."""
    pool = _pools.setdefault(key, Pool(connect))
    pool.users += 1
    try:
        yield pool
    finally:
        pool.users -= 1
        if not pool.users:
            del _pools[key]
            with CancelScope(shield=True):
                await pool.close()
