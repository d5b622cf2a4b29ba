"""Who listens for changes, and what they are told: each change is put into words once, for all of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import anyio

from smtd.errors import RecordUnusable
from smtd.records.record import Key, Record
from smtd.server import record_form
from smtd.server.change_log import LogRow
from smtd.server.sizes import LARGEST_RECORD

#: What waits for one listener, at the most: events, and their bytes. Who is slower begins anew from its
#: number.
MOST_EVENTS, MOST_BYTES = 256, 16 * 2**20


class ChangeEvent:
    """One change, with the *record* that is there since, unless it is unreadable or gone.

    It is put into words when it is first asked for, and holds no record afterwards, however large.
    """

    def __init__(self, row: LogRow, record: Record | None = None) -> None:
        self.row = row
        self._record = record
        self._whole: bytes | None = None

    def words(self, number: int, *, with_record: bool) -> bytes:
        """Return the change as an object of JSON, in which it has that *number*."""
        return b'{"seq":%d,%b' % (number, (self._with_record() if with_record else self._bare)[1:])

    def size(self, *, with_record: bool) -> int:
        """Return about how many bytes it has in words."""
        return len(self._with_record() if with_record else self._bare)

    def let_go(self) -> None:
        """Hold no record any more: nobody asks for it who has not by now."""
        self._record = None

    @cached_property
    def _bare(self) -> bytes:
        return record_form.encoded(self._words)

    @property
    def _words(self) -> dict[str, Any]:
        (project, label), _, content = self.row
        return {"project": project, "label": label, "digest": content.validator}

    def _with_record(self) -> bytes:
        if self._whole is None:
            whole = None if self._record is None else self._encoded(self._record)
            self._whole, self._record = whole or self._bare, None
        return self._whole

    def _encoded(self, record: Record) -> bytes | None:
        """Return the change with *record*; None if it cannot be shown, or is too large."""
        if len(record.stdout_stderr or "") + len(record.diff or "") > LARGEST_RECORD:
            return None
        try:
            document = record_form.document(record, self.row.key.project, precise=True)
            whole = record_form.encoded({**self._words, "record": document})
        except RecordUnusable:
            return None
        return whole if len(whole) <= LARGEST_RECORD else None


class Subscription:
    """What one listener has not been told yet."""

    def __init__(self, *, with_records: bool) -> None:
        self.with_records = with_records
        #: It was too slow, or the server ends: nothing more comes.
        self.is_over = False
        self._events: deque[ChangeEvent] = deque()
        self._bytes = 0
        self._news = anyio.Event()

    def add(self, events: Sequence[ChangeEvent]) -> None:
        """Let *events* wait for the listener."""
        if self.is_over:
            return
        self._events.extend(events)
        self._bytes += sum(event.size(with_record=self.with_records) for event in events)
        if len(self._events) > MOST_EVENTS or self._bytes > MOST_BYTES:
            self.end()
        self._news.set()

    def wake(self) -> None:
        """Let the listener look at once whether it may go on."""
        self._news.set()

    def end(self) -> None:
        """Let nothing more come, not even what waits."""
        self.is_over = True
        self._events.clear()
        self._news.set()

    async def next(self, seconds: float) -> list[ChangeEvent]:
        """Return all that waits, as soon as there is any, and after *seconds* or a `wake` in any case."""
        if not self._events and not self.is_over:
            with anyio.move_on_after(seconds):
                await self._news.wait()
        self._news = anyio.Event()
        found, self._bytes = list(self._events), 0
        self._events.clear()
        return found


class Feed:
    """All who listen."""

    def __init__(self) -> None:
        self.listeners: set[Subscription] = set()
        self.is_over = False

    def publish(self, changes: Sequence[LogRow], records: Mapping[Key, Record]) -> list[ChangeEvent]:
        """Tell of committed *changes* in their order; of several to one key only the last."""
        last = {row.key: row for row in changes}
        events = [ChangeEvent(row, records.get(row.key)) for row in changes if last[row.key] is row]
        for listener in list(self.listeners):
            listener.add(events)
        for event in events:
            event.let_go()
        return events

    def wake(self) -> None:
        """Let all who listen look whether they may go on: rights have changed."""
        for listener in self.listeners:
            listener.wake()

    @contextmanager
    def listening(self, *, with_records: bool) -> Iterator[Subscription]:
        """Give what hears of all changes from now on."""
        subscription = Subscription(with_records=with_records)
        subscription.is_over = self.is_over
        self.listeners.add(subscription)
        try:
            yield subscription
        finally:
            self.listeners.discard(subscription)

    def end(self) -> None:
        """End all that listen, now and later."""
        self.is_over = True
        for listener in self.listeners:
            listener.end()
