"""Keep two requests from creating the same row on a server, which records share, at the same time.

The server would create it twice, and then reject every record that shares it, for good.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio


class RowsInFlight:
    """The rows that the server has by now, and those that requests are creating, as digests."""

    def __init__(self) -> None:
        self._made: set[bytes] = set()
        self._making: set[bytes] = set()
        self._changed = anyio.Condition()

    @asynccontextmanager
    async def making(self, rows: frozenset[bytes]) -> AsyncIterator[None]:
        """Wait until no other request creates one of *rows*, and keep others from that during the block."""
        async with self._changed:
            while self._making & rows:
                await self._changed.wait()
            new = rows - self._made
            self._making |= new
        try:
            yield
            self._made |= new
        finally:
            self._making -= new
            with anyio.CancelScope(shield=True):
                async with self._changed:
                    self._changed.notify_all()
