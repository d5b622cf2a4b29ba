"""What happened, for whoever follows: numbered without a gap, over every restart."""

from __future__ import annotations

from collections.abc import Sequence

from smtd.sqlite import Connection

#: Events that are kept for those who come late.
KEPT = 10_000


class EventLog:
    """The events in the journal. Every method is one transaction, whole or not at all."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    async def add(self, texts: Sequence[str]) -> None:
        """Make *texts* durable under the next numbers, and forget those that are too old."""
        async with self._db.transaction():
            await self._db.run_many("INSERT INTO event (text) VALUES (?)", [(text,) for text in texts])
            await self._db.run("DELETE FROM event WHERE id <= (SELECT max(id) FROM event) - ?", (KEPT,))

    async def after(self, number: int, most: int) -> list[tuple[int, str]]:
        """Return up to *most* events after *number*, with their numbers."""
        rows = await self._db.fetch(
            "SELECT id, text FROM event WHERE id > ? ORDER BY id LIMIT ?", (number, most)
        )
        return [(found, text) for found, text in rows]
