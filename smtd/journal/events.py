"""What happened: events, numbered without a gap across restarts.

Where numbers may have been given that are not known any more, the next one is the seconds since 1970: the
gap shows, and no number means two things.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import datetime, timezone

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
            await self._db.run(
                "DELETE FROM event WHERE id <= (SELECT id FROM event ORDER BY id DESC LIMIT 1 OFFSET ?)",
                (KEPT,),
            )

    async def add_with_new_number(self, what: str, **facts: str | None) -> None:
        """Add the event *what* with a number that no event had before, even in a lost journal."""
        at = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        text = json.dumps({"at": at, "event": what, **facts})
        await self._db.run(
            "INSERT INTO event (id, text) VALUES (max(?, (SELECT 1 + coalesce(max(id), 0) FROM event)), ?)",
            (int(time.time()), text),
        )

    async def after(self, number: int, most: int) -> list[tuple[int, str]]:
        """Return up to *most* events after *number*, with their numbers."""
        rows = await self._db.fetch(
            "SELECT id, text FROM event WHERE id > ? ORDER BY id LIMIT ?", (number, most)
        )
        return [(found, text) for found, text in rows]
