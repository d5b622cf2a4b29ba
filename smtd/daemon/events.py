"""What happened, for clients that follow it over the control socket."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from datetime import datetime, timezone
from typing import Any

import anyio
import msgspec

from smtd.errors import JournalError
from smtd.journal.events import KEPT, EventLog

log = logging.getLogger("smtd")

#: Events that are read at a time, and the seconds until a journal that fails is tried again.
_PAGE, _PAUSE = 100, 5.0


class Events:
    """Events get their numbers, and are sent, when they are durable: no number is ever used twice."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._new: list[str] = []
        self._news = anyio.Event()
        self._saving = anyio.Lock()

    def add(self, what: str, **facts: Any) -> None:
        """Tell of one event; `run` makes it durable."""
        self._new.append(msgspec.json.encode({"at": now(), "event": what, **facts}).decode())
        self._news.set()
        self._news = anyio.Event()

    async def run(self) -> None:
        """Make events durable as they come, until cancelled; those that cannot be now are kept."""
        failing = False
        while True:
            news = self._news
            try:
                await self.save()
            except JournalError as exc:
                if not failing:
                    log.error("events cannot be saved: %s", exc)
                failing = True
                await anyio.sleep(_PAUSE)
                continue
            failing = False
            await news.wait()

    async def save(self) -> None:
        """Make all events so far durable; on failure or cancellation they are kept for the next time.

        Raises JournalError.
        """
        async with self._saving:
            texts, self._new = self._new, []
            try:
                if texts:
                    await self._log.add(texts)
            except BaseException:  # who asked may have gone away while others had the journal
                self._new = [*texts, *self._new][-KEPT:]
                raise

    async def since(self, last: int, *, follow: bool) -> AsyncIterator[dict[str, Any]]:
        """Yield the events after number *last*; with *follow* also those to come, for ever."""
        while True:
            news = self._news
            await self.save()
            page = await self._log.after(last, _PAGE)
            for number, text in page:
                last = number
                yield {"id": number, **msgspec.json.decode(text)}
            if len(page) == _PAGE:
                continue
            if not follow:
                return
            if not page:
                await news.wait()


def now() -> str:
    """Return the time, in UTC, as ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
