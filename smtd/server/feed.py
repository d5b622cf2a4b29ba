"""Who learns of commits; the feed of changes: who listens, and what waits for each.

A change is encoded once for all listeners.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple

import anyio

from smtd.errors import RecordUnusable
from smtd.records.record import Key, Record
from smtd.server import record_form
from smtd.server.change_log import LogRow
from smtd.server.feed_page import LARGEST_RECORD

#: The most that may wait for one listener: events, and their bytes. Beyond that its stream ends, and it must
#: ask again from its last number.
MOST_EVENTS, MOST_BYTES = 256, 16 * 2**20


class Committed(NamedTuple):
    """The outcome of a transaction: the result or the error of each job, and the logged changes, in order.

    *records* has the records that were written, as they are after the transaction.
    """

    results: Sequence[Any]
    changes: Sequence[LogRow]
    records: Mapping[Key, Record]


class Listeners:
    """Learns of commits, in their order. Methods must not wait."""

    def committed(self, what: Committed) -> None:
        """Learn of the next transaction of this process, or of changes of others."""

    def fell_behind(self) -> None:
        """Learn that many changes were not reported."""

    def access_changed(self) -> None:
        """Learn that projects or rights have changed."""

    def want_records(self) -> bool:
        """Say whether `committed` should have the records that other processes wrote."""
        return False


class ChangeEvent:
    """One change, with the *record* that the key now holds (None: unreadable, deleted or not wanted).

    It is encoded when first needed, and then drops the record, which may be large.
    """

    def __init__(self, row: LogRow, record: Record | None = None) -> None:
        self.row = row
        self._record = record
        self._encoded_with_record: bytes | None = None

    def encoded(self, number: int, *, with_record: bool) -> bytes:
        """Return the change as a JSON object in which `seq` is *number*."""
        return b'{"seq":%d,%b' % (number, (self._with_record() if with_record else self._encoded_bare)[1:])

    def size(self, *, with_record: bool) -> int:
        """Return about how many bytes the JSON has."""
        return len(self._with_record() if with_record else self._encoded_bare)

    def drop_record(self) -> None:
        """Drop the record: every listener that wants it has encoded it already."""
        self._record = None

    @cached_property
    def _encoded_bare(self) -> bytes:
        return record_form.encoded(self._fields)

    @property
    def _fields(self) -> dict[str, Any]:
        (project, label), _, content = self.row
        return {"project": project, "label": label, "digest": content.validator}

    def _with_record(self) -> bytes:
        if self._encoded_with_record is None:
            whole = None if self._record is None else self._encode(self._record)
            self._encoded_with_record, self._record = whole or self._encoded_bare, None
        return self._encoded_with_record

    def _encode(self, record: Record) -> bytes | None:
        """Return the change with *record* as JSON; None if JSON cannot express it, or it is too large."""
        if len(record.stdout_stderr or "") + len(record.diff or "") > LARGEST_RECORD:
            return None
        try:
            document = record_form.document(record, self.row.key.project, precise=True)
            whole = record_form.encoded({**self._fields, "record": document})
        except RecordUnusable:
            return None
        return whole if len(whole) <= LARGEST_RECORD else None


class Subscription:
    """The events that one listener has not taken yet."""

    def __init__(self, *, with_records: bool) -> None:
        self.with_records = with_records
        #: The listener was too slow, or the server stops: it gets nothing more.
        self.is_over = False
        self._events: deque[ChangeEvent] = deque()
        self._bytes = 0
        self._woken = anyio.Event()

    def add(self, events: Sequence[ChangeEvent]) -> None:
        """Add *events* for the listener, or end the subscription if too many wait."""
        if self.is_over:
            return
        self._events.extend(events)
        self._bytes += sum(event.size(with_record=self.with_records) for event in events)
        if len(self._events) > MOST_EVENTS or self._bytes > MOST_BYTES:
            self.end()
        self._woken.set()

    def wake(self) -> None:
        """Make `next` return, so that the listener checks at once whether it may go on."""
        self._woken.set()

    def end(self) -> None:
        """End the subscription, and drop the events that wait."""
        self.is_over = True
        self._events.clear()
        self._woken.set()

    async def next(self, seconds: float) -> list[ChangeEvent]:
        """Return all waiting events; if there are none, wait up to *seconds* for some, `wake` or `end`."""
        if not self._events and not self.is_over:
            with anyio.move_on_after(seconds):
                await self._woken.wait()
        self._woken = anyio.Event()
        found, self._bytes = list(self._events), 0
        self._events.clear()
        return found


class Feed:
    """All listeners."""

    def __init__(self) -> None:
        self.listeners: set[Subscription] = set()
        self.is_over = False

    def publish(self, changes: Sequence[LogRow], records: Mapping[Key, Record]) -> list[ChangeEvent]:
        """Send committed *changes* to all listeners, in order; of several to one key only the last."""
        last = {row.key: row for row in changes}
        events = [ChangeEvent(row, records.get(row.key)) for row in changes if last[row.key] is row]
        for listener in list(self.listeners):
            listener.add(events)
        for event in events:
            event.drop_record()
        return events

    def wake(self) -> None:
        """Make all listeners check whether they may go on, because rights have changed."""
        for listener in self.listeners:
            listener.wake()

    @contextmanager
    def listening(self, *, with_records: bool) -> Iterator[Subscription]:
        """Yield a subscription that gets all changes from now on, for the length of a `with` block."""
        subscription = Subscription(with_records=with_records)
        subscription.is_over = self.is_over
        self.listeners.add(subscription)
        try:
            yield subscription
        finally:
            self.listeners.discard(subscription)

    def wants_records(self) -> bool:
        """Say whether a listener wants the records of changes."""
        return any(listener.with_records for listener in self.listeners)

    def end_present(self) -> None:
        """End all present subscriptions: changes were missed, so that the listeners must ask again."""
        for listener in self.listeners:
            listener.end()

    def end(self) -> None:
        """End all subscriptions, present and future."""
        self.is_over = True
        self.end_present()
