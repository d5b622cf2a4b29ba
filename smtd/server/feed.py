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

#: What waits for one listener, at the most: events, and their bytes. Who is slower begins anew from its
#: number.
MOST_EVENTS, MOST_BYTES = 256, 16 * 2**20
#: Bytes of a record that goes with its change: a larger one must be asked for.
LARGEST_RECORD = 2**20


class ChangeEvent:
    """One change, with the *record* that is there since, unless it is unreadable or gone."""

    def __init__(self, row: LogRow, record: Record | None) -> None:
        self.row = row
        self._record = record

    def words(self, *, with_record: bool) -> dict[str, Any]:
        """Return the change as an object of JSON."""
        return self._whole if with_record else self._bare

    def line(self, *, with_record: bool) -> bytes:
        """Return the change as an event of a stream."""
        return self._whole_line if with_record else self._bare_line

    @cached_property
    def _bare(self) -> dict[str, Any]:
        (project, label), seq, content = self.row
        return {"seq": seq, "project": project, "label": label, "digest": content.validator}

    @cached_property
    def _whole(self) -> dict[str, Any]:
        if self._record is None:
            return self._bare
        try:
            document = record_form.document(self._record, self.row.key.project, precise=True)
            if len(record_form.encoded(document)) <= LARGEST_RECORD:
                return {**self._bare, "record": document}
        except RecordUnusable:
            pass
        return self._bare

    @cached_property
    def _bare_line(self) -> bytes:
        return self._event(self._bare)

    @cached_property
    def _whole_line(self) -> bytes:
        return self._event(self._whole)

    def _event(self, words: Mapping[str, Any]) -> bytes:
        return b"id: %d\ndata: %s\n\n" % (self.row.seq, record_form.encoded(words))


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
        self._bytes += sum(len(event.line(with_record=self.with_records)) for event in events)
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
