"""Rows that records share on the server: no two requests may make the same one at a time.

The server would make it twice, and then refuse every record that shares it, for good.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio


class RowsInFlight:
    """What the server has by now, and what it is about to make, as digests."""

    def __init__(self) -> None:
        self._made: set[bytes] = set()
        self._making: set[bytes] = set()
        self._changed = anyio.Condition()

    @asynccontextmanager
    async def making(self, rows: frozenset[bytes]) -> AsyncIterator[None]:
        """Wait until no other request makes one of *rows*, and keep others from it meanwhile."""
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
