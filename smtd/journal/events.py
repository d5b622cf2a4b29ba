"""The log of events, numbered without gaps across restarts.

After a loss of the journal the last number is unknown. The next number is then the seconds since 1970: the
gap shows, and no number is used twice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import datetime, timezone

from smtd.sqlite import Connection

#: Events that are kept for clients that ask later.
KEPT = 10_000


class EventLog:
    """The events in the journal. Every method is one transaction, whole or not at all."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    async def add(self, texts: Sequence[str]) -> None:
        """Make *texts* durable under the next numbers, and delete events that are too old."""
        async with self._db.transaction():
            await self._db.run_many("INSERT INTO event (text) VALUES (?)", [(text,) for text in texts])
            await self._db.run(
                "DELETE FROM event WHERE id <= (SELECT id FROM event ORDER BY id DESC LIMIT 1 OFFSET ?)",
                (KEPT,),
            )

    async def add_with_new_number(self, what: str, **facts: str | None) -> None:
        """Add the event *what* with a number that no event had before, not even in a lost journal."""
        text = json.dumps({"at": now(), "event": what, **facts})
        await self._db.run(
            "INSERT INTO event (id, text) VALUES (max(?, (SELECT 1 + coalesce(max(id), 0) FROM event)), ?)",
            (int(time.time()), text),
        )

    async def number_before(self, last: int) -> int:
        """Return the number of the event before the *last* ones (0: there are not more)."""
        rows = await self._db.fetch("SELECT id FROM event ORDER BY id DESC LIMIT 1 OFFSET ?", (last,))
        return int(rows[0][0]) if rows else 0

    async def after(self, number: int, most: int) -> list[tuple[int, str]]:
        """Return up to *most* events after *number*, with their numbers."""
        rows = await self._db.fetch(
            "SELECT id, text FROM event WHERE id > ? ORDER BY id LIMIT ?", (number, most)
        )
        return [(found, text) for found, text in rows]


def now() -> str:
    """Return the time, in UTC, as ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
