"""`GET /api/v1/changes`: the feed, as an answer that may wait for news, or as a stream of events."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

import anyio
from aiohttp import web
from anyio import to_thread

from smtd.errors import StoreError
from smtd.server import answers, record_form
from smtd.server.access import Caller, View
from smtd.server.accounts.rights import Right
from smtd.server.answers import COMMON, RequestRefused, found
from smtd.server.database import ServedDatabase
from smtd.server.feed import ChangeEvent, Feed
from smtd.server.transaction import WriteTransaction
from smtd.server.writer import Writer

#: Changes of one answer, at the most, and with their records; bytes after which no more are added.
PAGE, PAGE_OF_RECORDS, PAGE_BYTES = 1000, 100, 16 * 2**20
#: Seconds that an answer may wait for news, and between two signs of life in a stream.
LONGEST_WAIT, HEARTBEAT = 55.0, 15.0
#: Records that get new numbers in one transaction.
RENUMBERED = 200
#: Streams that one user may have.
MOST_STREAMS = 8


@dataclass(frozen=True, slots=True)
class FeedRequest:
    """What a client asks for: changes *since* a number, of one *project* (None: of all)."""

    since: int
    project: str | None
    with_records: bool
    wait: float
    as_stream: bool


def asked(request: web.Request) -> FeedRequest:
    """Return what *request* asks for. Raises RequestRefused."""
    query = request.query
    numbers = query.get("since", "0"), query.get("wait", "0")
    is_head = request.method == "HEAD"
    as_stream = "text/event-stream" in request.headers.get("Accept", "") and not is_head
    try:
        since, wait = int(request.headers.get("Last-Event-ID") or numbers[0]), float(numbers[1])
    except ValueError:
        raise RequestRefused(HTTPStatus.BAD_REQUEST, "since and wait are numbers") from None
    if not 0 <= since < 2**63 or math.isnan(wait) or wait < 0:
        raise RequestRefused(HTTPStatus.BAD_REQUEST, "since and wait are not negative")
    include = query.get("include", "")
    if include not in ("", "records"):
        raise RequestRefused(HTTPStatus.BAD_REQUEST, "include can be records, and nothing else")
    return FeedRequest(
        since, query.get("project"), bool(include), 0.0 if is_head else min(wait, LONGEST_WAIT), as_stream
    )


def _gone() -> RequestRefused:
    return RequestRefused(
        HTTPStatus.GONE, "this number is not of this log, or too old; begin again with since=0"
    )


async def _renumbered(project: str, upto: int, transaction: WriteTransaction) -> int:
    return await transaction.renumber(project, upto, RENUMBERED)


async def _seen(database: ServedDatabase, account: str, view: View, transaction: WriteTransaction) -> None:
    await transaction.see(account, view)
    transaction.committed.append(partial(database.has_view, account, view))


class ChangesApi:
    """Answers requests for changes of *database*; *is_complete* says whether its log has every record."""

    def __init__(
        self, database: ServedDatabase, writer: Writer, feed: Feed, is_complete: Callable[[], bool]
    ) -> None:
        self._database = database
        self._writer = writer
        self._feed = feed
        self._is_complete = is_complete
        self._streams: Counter[str] = Counter()
        self._showing = anyio.Lock()

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return self._streams.total()

    async def answer(
        self, request: web.Request, caller: Caller, again: Callable[[], Awaitable[Caller | None]]
    ) -> web.StreamResponse:
        """Return the answer to *request*; *again* tells what the caller may do by now (None: nothing).

        Raises RequestRefused: 410 for a number that no number of this log can follow.
        """
        if request.method not in ("GET", "HEAD"):
            raise RequestRefused(
                HTTPStatus.METHOD_NOT_ALLOWED, "changes can only be read", {"Allow": "GET, HEAD"}
            )
        wanted = asked(request)
        await self._check(wanted, caller)
        if wanted.as_stream:
            return await self._stream(request, wanted, caller, again)
        return await self._page(wanted, caller, again)

    async def _check(self, wanted: FeedRequest, caller: Caller) -> None:
        if wanted.project is not None:
            if wanted.project not in self._database.projects:
                raise RequestRefused(HTTPStatus.NOT_FOUND, f"there is no project {wanted.project}")
            if not caller.may(Right.READ, wanted.project):
                raise RequestRefused(
                    HTTPStatus.FORBIDDEN, f"{caller.name} has no right to read project {wanted.project}"
                )
        if not self._is_complete():
            raise RequestRefused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "the server has not looked at all records yet; try again",
                {"Retry-After": "1"},
            )
        if not self._database.eras.knows(wanted.since, self._database.head):
            raise _gone()
        await self._show_all(wanted, caller)

    async def _show_all(self, wanted: FeedRequest, caller: Caller) -> None:
        """See that the caller, from whatever number they go on, is told of all that they may see.

        Records of a project that they did not see before have lower numbers, which were left out for them: so
        they get new ones. To others that says nothing new.
        """
        database, view = self._database, caller.view
        async with self._showing:
            before = database.views.get(caller.account)
            if before == view:
                return
            if before is None and wanted.since:
                raise _gone()
            for project in view.new(before or view, database.projects):
                renumber = partial(_renumbered, project, database.head)
                while await self._writer.submit(renumber):
                    pass  # others are served in between
            await self._writer.submit(partial(_seen, database, caller.account, view))

    async def _page(
        self, wanted: FeedRequest, caller: Caller, again: Callable[[], Awaitable[Caller | None]]
    ) -> web.Response:
        """Return the next changes; if there are none, wait for some."""
        until = anyio.current_time() + wanted.wait
        cursor = wanted.since
        with self._feed.listening(with_records=False) as news:
            while True:
                events, cursor, more = await self._next(cursor, wanted, caller)
                left = until - anyio.current_time()
                if events or more or left <= 0 or news.is_over:
                    break
                while left > 0 and not _visible(await news.next(left), wanted, caller) and not news.is_over:
                    left = until - anyio.current_time()
                now = await again()
                if now is None or now.view != caller.view:
                    break  # the next request is told
                caller = now
        body = await to_thread.run_sync(partial(_page, events, cursor, wanted, more=more))
        return found(body, "application/json")

    async def _next(
        self, cursor: int, wanted: FeedRequest, caller: Caller
    ) -> tuple[list[ChangeEvent], int, bool]:
        """Return what the caller may see of the next changes, where to go on, and if there are more."""
        most = PAGE_OF_RECORDS if wanted.with_records else PAGE
        rows, head = await self._database.since(
            cursor, most, wanted.project, with_records=wanted.with_records
        )
        events = [ChangeEvent(row, record) for row, record in rows if caller.may(Right.READ, row.key.project)]
        more = len(rows) == most
        return events, rows[-1][0].seq if more else max(head, cursor), more

    async def _stream(
        self,
        request: web.Request,
        wanted: FeedRequest,
        caller: Caller,
        again: Callable[[], Awaitable[Caller | None]],
    ) -> web.StreamResponse:
        """Send changes as they come, until somebody ends it."""
        with self._seat(caller), self._feed.listening(with_records=wanted.with_records) as news:
            answer = web.StreamResponse(headers={**COMMON, **_STREAM})
            await answer.prepare(request)
            cursor, more = wanted.since, True
            try:
                while more:
                    events, cursor, more = await self._next(cursor, wanted, caller)
                    lines = await to_thread.run_sync(partial(_lines, events, wanted))
                    # Where to go on from, also for who saw nothing of it.
                    await _send(answer, b"%bid: %d\n\n" % (lines, cursor))
                sent = anyio.current_time()
                while not news.is_over:
                    events = await news.next(sent + HEARTBEAT - anyio.current_time())
                    now = await again()
                    if now is None or now.view != caller.view:
                        break
                    fresh = [event for event in events if event.row.seq > cursor]
                    cursor = fresh[-1].row.seq if fresh else cursor
                    told = _visible(fresh, wanted, now)
                    if told or anyio.current_time() >= sent + HEARTBEAT:
                        await _send(answer, _lines(told, wanted) or b": still here\n\n")
                        sent = anyio.current_time()
            except (TimeoutError, asyncio.TimeoutError):
                if request.transport is not None:
                    request.transport.abort()  # it takes nothing: nor would it take an end
            except (ConnectionError, RequestRefused, StoreError):
                pass  # it is gone, or may not ask any more; or the store is gone
            return answer

    @contextmanager
    def _seat(self, caller: Caller) -> Iterator[None]:
        if self._streams[caller.seat] >= MOST_STREAMS:
            raise RequestRefused(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"{MOST_STREAMS} streams {caller.seat} are open already; close one",
                {"Retry-After": "15"},
            )
        self._streams[caller.seat] += 1
        try:
            yield
        finally:
            self._streams[caller.seat] -= 1
            if not self._streams[caller.seat]:
                del self._streams[caller.seat]


_STREAM = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}


def _visible(events: Sequence[ChangeEvent], wanted: FeedRequest, caller: Caller) -> list[ChangeEvent]:
    return [
        event
        for event in events
        if wanted.project in (None, event.row.key.project) and caller.may(Right.READ, event.row.key.project)
    ]


def _lines(events: Sequence[ChangeEvent], wanted: FeedRequest) -> bytes:
    return b"".join(event.line(with_record=wanted.with_records) for event in events)


def _page(events: Sequence[ChangeEvent], cursor: int, wanted: FeedRequest, *, more: bool) -> bytes:
    """Return the answer with *events*: fewer, and the number after them, where all are too many bytes."""
    words: list[bytes] = []
    size = 0
    for event in events:
        words.append(record_form.encoded(event.words(with_record=wanted.with_records)))
        size += len(words[-1])
        if size > PAGE_BYTES and event is not events[-1]:
            cursor, more = event.row.seq, True
            break
    ending = b'],"next":%d,"more":%b}' % (cursor, b"true" if more else b"false")
    return b'{"changes":[' + b",".join(words) + ending


async def _send(answer: web.StreamResponse, data: bytes) -> None:
    with anyio.fail_after(answers.STUCK):
        await answer.write(data)
