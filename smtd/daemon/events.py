"""The events that clients follow over the control socket."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import anyio
import msgspec

from smtd.errors import JournalError
from smtd.journal.events import KEPT, EventLog, now

log = logging.getLogger("smtd")

#: Events to read at a time, and seconds until saving is retried after the journal failed.
_PAGE, _PAUSE = 100, 5.0


class Events:
    """The events of the daemon: numbered and sent only when they are durable, so no number is used twice."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._new: list[str] = []
        self._news = anyio.Event()
        self._saving = anyio.Lock()

    def add(self, what: str, **facts: Any) -> None:
        """Add an event; `run` makes it durable."""
        self._new.append(msgspec.json.encode({"at": now(), "event": what, **facts}).decode())
        self._news.set()
        self._news = anyio.Event()

    async def run(self) -> None:
        """Make events durable as they are added, until cancelled; keep those that cannot be saved yet."""
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
        """Make all events so far durable; on failure or cancellation keep the last KEPT for the next time.

        Raises JournalError.
        """
        async with self._saving:
            texts, self._new = self._new, []
            try:
                if texts:
                    await self._log.add(texts)
            except BaseException:  # the caller may be cancelled while it waits for the journal
                self._new = [*texts, *self._new][-KEPT:]
                raise

    async def number_before(self, last: int) -> int:
        """Return the number of the event before the *last* ones (0: there are not more)."""
        await self.save()
        return await self._log.number_before(last)

    async def since(self, last: int, *, follow: bool) -> AsyncIterator[dict[str, Any]]:
        """Yield the events after number *last*; with *follow* then wait for new ones, without end."""
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
