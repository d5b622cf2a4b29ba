"""What happened lately, for whoever follows: numbered without a gap."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from datetime import datetime, timezone
from typing import Any

import anyio

#: Events that are kept for those who come late.
KEPT = 1000


class Events:
    """The last events, and those to come."""

    def __init__(self) -> None:
        self._kept: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._last = 0
        self._news = anyio.Event()

    def add(self, what: str, **facts: Any) -> None:
        """Tell of one event."""
        self._last += 1
        self._kept.append({"id": self._last, "at": now(), "event": what, **facts})
        self._news.set()
        self._news = anyio.Event()

    async def since(self, last: int, *, follow: bool) -> AsyncIterator[dict[str, Any]]:
        """Yield the events after number *last*; with *follow* also those to come, for ever."""
        while True:
            news = self._news
            for event in [event for event in self._kept if event["id"] > last]:
                last = event["id"]
                yield event
            if not follow:
                return
            if news is self._news:
                await news.wait()


def now() -> str:
    """Return the time, in UTC, as ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
