"""`GET /api/v1/changes`: the feed, as an answer that may wait for changes, or as a stream of events."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TypeVar

import anyio
from aiohttp import web
from anyio import to_thread

from smtd.errors import StoreError
from smtd.server import answers
from smtd.server.accounts.rights import Right
from smtd.server.answers import COMMON_HEADERS, RequestRefused, found
from smtd.server.authorization import require_right
from smtd.server.caller import Caller, Reauthenticate, View
from smtd.server.database import ServedDatabase
from smtd.server.feed import ChangeEvent, Feed, Subscription
from smtd.server.memory import SeenView
from smtd.server.transaction import WriteTransaction
from smtd.server.writer import Writer

T = TypeVar("T")
#: The most changes in one answer, without and with records; bytes after which it gets no further change.
PAGE, PAGE_OF_RECORDS, PAGE_BYTES = 10_000, 100, 16 * 2**20
#: The most seconds that an answer waits for changes, and the seconds between two heartbeats of a stream.
LONGEST_WAIT, HEARTBEAT = 55.0, 15.0

#: A number for a client is the number of the change times VIEWS, plus the number of the client's view.
VIEWS = 1024
#: Numbers as JSON writes them, but for a sign: Python's own readers also take 1_000, ٣ and nan.
_WHOLE, _NUMBER = re.compile("[0-9]{1,19}"), re.compile(r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
#: The most streams and waiting answers of one user, or without a login of one address.
MOST_STREAMS = 8


@dataclass(frozen=True, slots=True)
class FeedRequest:
    """A request for changes *since* a number (None: from now on), of one *project* (None: of all).

    *wait* is in seconds.
    """

    since: int | None
    project: str | None
    with_records: bool
    wait: float
    as_stream: bool


def parsed(request: web.Request) -> FeedRequest:
    """Parse the query and the headers of *request*. Raises RequestRefused (400)."""
    is_head = request.method == "HEAD"
    as_stream = "text/event-stream" in request.headers.get("Accept", "") and not is_head
    since, wait = _parameter(request, "since", "0"), _parameter(request, "wait", "0")
    last = request.headers.get("Last-Event-ID", since)
    for text in (since, last):
        if text != "now" and not (_WHOLE.fullmatch(text) and int(text) < 2**63):
            raise RequestRefused(HTTPStatus.BAD_REQUEST, "since must be a number of the feed, or now")
    if not _NUMBER.fullmatch(wait):
        raise RequestRefused(HTTPStatus.BAD_REQUEST, "wait must be a number of seconds, and not negative")
    include = _parameter(request, "include", "")
    if include not in ("", "records"):
        raise RequestRefused(HTTPStatus.BAD_REQUEST, "include can only be records")
    return FeedRequest(
        since=None if last == "now" else int(last),
        project=_parameter(request, "project", None),
        with_records=bool(include),
        wait=0.0 if is_head else min(float(wait), LONGEST_WAIT),
        as_stream=as_stream,
    )


def _parameter(request: web.Request, name: str, default: T) -> str | T:
    """Return the parameter *name* of the query. Raises RequestRefused (400) if it is there twice."""
    found = request.query.getall(name, [])
    if len(found) > 1:
        raise RequestRefused(HTTPStatus.BAD_REQUEST, f"the parameter {name} is there twice")
    return found[0] if found else default


def _gone(reason: str) -> RequestRefused:
    """Return the answer to a number from which the server cannot continue.

    *reason* is `log` (the number is of another log, or too old) or `rights` (the user saw other projects).
    """
    return RequestRefused(
        HTTPStatus.GONE,
        "the server cannot continue from this number: it is from another log, or too old, or the projects you"
        " may see have changed; begin again with since=0",
        reason=reason,
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a *caller* asked for (*wanted*), and what they may see of it: the projects of *view*.

    *reauthenticate* returns the caller with their current rights. *number*: that of their `SeenView`. They
    get no deletions up to the number *hidden*.
    """

    wanted: FeedRequest
    caller: Caller
    reauthenticate: Reauthenticate
    view: View
    number: int
    hidden: int

    def number_of(self, seq: int) -> int:
        """Return what the client gets as the number of the change *seq*."""
        return seq * VIEWS + self.number

    def visible(self, events: Iterable[ChangeEvent]) -> list[ChangeEvent]:
        """Return those of *events* that the caller asked for, and may see."""
        project, may = self.wanted.project, self.caller.may
        return [
            event
            for event in events
            if project in (None, event.row.key.project) and may(Right.READ, event.row.key.project)
        ]

    async def still_sees(self) -> bool:
        """Say whether the caller has the view, with their current rights. Raises RequestRefused (429)."""
        now = await self.reauthenticate()
        return now is not None and now.view(self.wanted.project) == self.view

    def as_events(self, events: Sequence[ChangeEvent]) -> bytes:
        """Return *events* as a stream has them."""
        with_record = self.wanted.with_records
        return b"".join(
            b"id: %d\ndata: %b\n\n" % (number, event.encoded(number, with_record=with_record))
            for event in events
            for number in (event.row.seq * VIEWS + self.number,)
        )

    def page(self, events: Sequence[ChangeEvent], seq: int, *, more: bool) -> bytes:
        """Return *events* as one answer. Once they exceed PAGE_BYTES, the rest is for the next request."""
        encoded: list[bytes] = []
        size = 0
        for event in events:
            number = event.row.seq * VIEWS + self.number
            encoded.append(event.encoded(number, with_record=self.wanted.with_records))
            size += len(encoded[-1])
            if size > PAGE_BYTES and event is not events[-1]:
                seq, more = event.row.seq, True
                break
        ending = b'],"next":%d,"more":%b}' % (self.number_of(seq), b"true" if more else b"false")
        return b'{"changes":[' + b",".join(encoded) + ending


class ChangesApi:
    """Answers requests for changes of *database*."""

    def __init__(self, database: ServedDatabase, writer: Writer, feed: Feed) -> None:
        self._database = database
        self._writer = writer
        self._feed = feed
        self._streams: Counter[str] = Counter()

    @property
    def streams(self) -> int:
        """The number of open streams and waiting answers."""
        return self._streams.total()

    async def answer(
        self, request: web.Request, caller: Caller, reauthenticate: Reauthenticate
    ) -> web.StreamResponse:
        """Return the answer to *request*; *reauthenticate* returns the caller with their current rights.

        Raises RequestRefused: 410 if the server cannot give all changes after the requested number.
        """
        wanted = parsed(request)
        seen = await self._check(wanted, caller)
        asked = _Asked(
            wanted, caller, reauthenticate, caller.view(wanted.project), seen.number % VIEWS, seen.before
        )
        seq = self._database.head if wanted.since is None else wanted.since // VIEWS
        if wanted.as_stream:
            return await self._stream(request, asked, seq)
        with self._quota(caller) if wanted.wait else nullcontext():
            return await self._page(asked, seq)

    async def _check(self, wanted: FeedRequest, caller: Caller) -> SeenView:
        """Check the request, and return the caller's view. Raises RequestRefused."""
        if wanted.project is not None:
            await require_right(self._database, caller, Right.READ, wanted.project)
        if not self._database.is_complete:
            raise RequestRefused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "the server has not read all records yet; try again",
                {"Retry-After": "1"},
            )
        current = await self._view(caller)
        if wanted.since is None:
            return current
        seq, view = divmod(wanted.since, VIEWS)
        if not self._database.eras.can_continue(seq, self._database.head):
            raise _gone("log")
        if wanted.since and view != current.number % VIEWS:
            raise _gone("rights")
        return current

    async def _view(self, caller: Caller) -> SeenView:
        """Return the caller's current view.

        Each number that the caller gets contains its number. With a number from another view, they may lack
        earlier changes in projects that they can see now, so the server answers 410. A view that comes back
        has the number that it had: the log has all changes in its projects. A view number is reused only
        after VIEWS other views: no client should miss that many.
        """
        username, fingerprint = caller.username, caller.view().fingerprint
        known = self._database.views.get(username, {}).get(fingerprint)
        if known is not None:
            return known

        async def update_view(transaction: WriteTransaction) -> SeenView:
            view = await transaction.update_view(username, fingerprint, VIEWS)
            transaction.after_commit.append(partial(self._database.store_view, username, fingerprint, view))
            return view

        view: SeenView = await self._writer.submit(update_view)
        return view

    async def _page(self, asked: _Asked, seq: int) -> web.Response:
        """Return the changes after *seq*, or wait for some. Raises RequestRefused (410, 429)."""
        until = anyio.current_time() + asked.wanted.wait
        with self._feed.listening(with_records=False) as subscription:
            while True:
                events, seq, more = await self._next_changes(seq, asked)
                left = until - anyio.current_time()
                if events or more or left <= 0 or subscription.is_over:
                    break
                while left > 0 and not subscription.is_over:
                    some = await subscription.next(min(left, HEARTBEAT))
                    if not await asked.still_sees():
                        raise _gone("rights")
                    if asked.visible(some):
                        break
                    left = until - anyio.current_time()
        if not await asked.still_sees():
            raise _gone("rights")
        body = await to_thread.run_sync(partial(asked.page, events, seq, more=more))
        return found(body, "application/json")

    async def _next_changes(self, seq: int, asked: _Asked) -> tuple[list[ChangeEvent], int, bool]:
        """Return the next changes that the caller may see, where to continue, and whether more may follow."""
        wanted = asked.wanted
        limit = PAGE_OF_RECORDS if wanted.with_records else PAGE
        found = await self._database.changes_since(
            seq, limit, wanted.project, bytes_of_records=PAGE_BYTES if wanted.with_records else 0
        )
        events = asked.visible(
            ChangeEvent(row, record)
            for row, record in found.changes
            if row.content.has_record or row.seq > asked.hidden
        )
        return events, found.changes[-1][0].seq if found.more else max(found.head, seq), found.more

    async def _stream(self, request: web.Request, asked: _Asked, seq: int) -> web.StreamResponse:
        """Send the changes after *seq* as they are committed, until the client or the server ends that."""
        with_records = asked.wanted.with_records
        with self._quota(asked.caller), self._feed.listening(with_records=with_records) as subscription:
            answer = web.StreamResponse(headers={**COMMON_HEADERS, **_STREAM})
            await answer.prepare(request)
            try:
                await self._send_changes(answer, asked, seq, subscription)
            except (TimeoutError, asyncio.TimeoutError):
                if request.transport is not None:
                    request.transport.abort()  # the client reads nothing, so it would not read an end either
            except (ConnectionError, RequestRefused, StoreError):
                pass  # the client is gone or may not ask any more, or the store cannot be used
            return answer

    async def _send_changes(
        self, answer: web.StreamResponse, asked: _Asked, seq: int, subscription: Subscription
    ) -> None:
        """Send earlier changes and then new ones, as long as the caller sees the same projects."""
        more = True
        while more:
            events, seq, more = await self._next_changes(seq, asked)
            lines = await to_thread.run_sync(asked.as_events, events)
            if not await asked.still_sees():
                return
            # The number from which the client can continue, even if it may see none of these changes.
            await _send(answer, b"%bid: %d\n\n" % (lines, asked.number_of(seq)))
        sent = anyio.current_time()
        while not subscription.is_over:
            events = await subscription.next(sent + HEARTBEAT - anyio.current_time())
            if not await asked.still_sees():
                return
            fresh = [event for event in events if event.row.seq > seq]
            seq = fresh[-1].row.seq if fresh else seq
            visible = asked.visible(fresh)
            if visible or anyio.current_time() >= sent + HEARTBEAT:
                await _send(answer, asked.as_events(visible) or b": still here\n\n")
                sent = anyio.current_time()

    @contextmanager
    def _quota(self, caller: Caller) -> Iterator[None]:
        if self._streams[caller.quota_key] >= MOST_STREAMS:
            raise RequestRefused(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"{MOST_STREAMS} streams or waiting answers {caller.quota_key} are already open; close one",
                {"Retry-After": "15"},
            )
        self._streams[caller.quota_key] += 1
        try:
            yield
        finally:
            self._streams[caller.quota_key] -= 1
            if not self._streams[caller.quota_key]:
                del self._streams[caller.quota_key]


_STREAM = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}


async def _send(answer: web.StreamResponse, data: bytes) -> None:
    with anyio.fail_after(answers.SEND_TIMEOUT):
        await answer.write(data)
