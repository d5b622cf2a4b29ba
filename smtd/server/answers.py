"""Answers of the server: JSON, with one sentence for each error."""

from __future__ import annotations

import asyncio
import math
import weakref
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import ClassVar

import anyio
from aiohttp import web

from smtd.server.record_form import encoded
from smtd.server.validators import Precondition, etag, evaluated
from smtd.text import encodable

#: Headers of every answer. Records are private, and may change at any moment. (`Vary: Authorization` would
#: make Sumatra's client write the password into its cache.)
COMMON_HEADERS = {
    "Cache-Control": "private, no-cache",
    "X-Content-Type-Options": "nosniff",
    "Server": "smtd",
}
#: Seconds after which the server disconnects a client that reads nothing of an answer.
SEND_TIMEOUT = 30.0
#: Bytes that fit into the buffers of a connection.
LARGE = 32 * 2**10
#: Bytes of large answers that clients have not taken yet, all together; those of a usual one, at most.
MOST_PENDING, USUAL = 256 * 2**20, 2**20
_REALM = 'Basic realm="smtd", charset="UTF-8"'
_JSON = "application/json"


class RequestRefused(Exception):
    """The server refuses a request, with *status* and one sentence."""

    def __init__(
        self, status: HTTPStatus, sentence: str, headers: Mapping[str, str] | None = None, **more: str
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = dict(headers or {})
        #: Words for programs, beside the sentence.
        self.more = more

    @property
    def answer(self) -> web.Response:
        """The answer to the refused request."""
        body = encoded({"error": encodable(str(self)), **self.more})
        headers = {**COMMON_HEADERS, **self.headers}
        answer = web.Response(status=self.status, body=body, content_type=_JSON, headers=headers)
        if "Connection" in headers:
            answer.force_close()  # the server does not read the rest of the body
        return answer


def challenge() -> RequestRefused:
    """Return a 401 that asks for a name and a password: Sumatra's client sends them only after it."""
    return RequestRefused(
        HTTPStatus.UNAUTHORIZED, "log in with a user name and a password", {"WWW-Authenticate": _REALM}
    )


class LargeAnswer(web.Response):
    """An answer larger than the buffers of a connection; a client that reads nothing is disconnected.

    All of them together have a bound, of which a quarter is for usual ones, of up to USUAL bytes: clients
    that take long for large ones must not keep the listings from `smt run`. Raises RequestRefused (503) where
    it is reached.
    """

    #: Bytes of all large answers that are not sent yet, and of the usual ones among them.
    pending: ClassVar[int] = 0
    usual: ClassVar[int] = 0

    def __init__(self, body: bytes, content_type: str, headers: Mapping[str, str]) -> None:
        is_usual = len(body) <= USUAL
        before = LargeAnswer.usual if is_usual else LargeAnswer.pending - LargeAnswer.usual
        most = MOST_PENDING // 4 if is_usual else MOST_PENDING - MOST_PENDING // 4
        if before and before + len(body) > most:
            raise RequestRefused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "the server is sending too much at once; try again",
                {"Retry-After": "1"},
            )
        super().__init__(body=body, content_type=content_type, headers=headers)
        usual = len(body) if is_usual else 0
        _count(len(body), usual)
        #: Called at the end of the answer, or when an answer that was never sent is collected.
        self._release = weakref.finalize(self, _count, -len(body), -usual)

    async def write_eof(self, data: bytes = b"") -> None:
        try:
            await self._write_to_the_end(data)
        finally:
            self.body = None  # aiohttp keeps an answer until the next request of the connection
            self._release()

    async def _write_to_the_end(self, data: bytes) -> None:
        transport = None if self._req is None else self._req.transport
        lost: ConnectionError | None = None
        async with anyio.create_task_group() as group:
            if transport is not None:
                group.start_soon(_abort_if_stuck, transport)
            try:
                await super().write_eof(data)
            except ConnectionError as exc:
                lost = exc
            group.cancel_scope.cancel()
        if lost is not None:
            raise lost


def _count(pending: int, usual: int) -> None:
    LargeAnswer.pending += pending
    LargeAnswer.usual += usual


async def _abort_if_stuck(transport: asyncio.Transport) -> None:
    """Abort a connection when its write buffer has not shrunk for SEND_TIMEOUT seconds."""
    left = math.inf
    while (now := transport.get_write_buffer_size()) < left:
        left = now
        await anyio.sleep(SEND_TIMEOUT)
    transport.abort()


def found(body: bytes, media_type: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return an answer with *body*, which is JSON."""
    kind = LargeAnswer if len(body) > LARGE else web.Response
    return kind(body=body, content_type=media_type, headers={**COMMON_HEADERS, **(headers or {})})


def empty(status: HTTPStatus, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return an answer without a body."""
    return web.Response(status=status, headers={**COMMON_HEADERS, **(headers or {})})


def not_modified(headers: Mapping[str, str], validator: str, what: str) -> web.Response | None:
    """Return a 304 if a client that reads *what* has it by now; None: it needs the whole answer.

    *validator*: the text of its ETag now; *headers*: those of the request. Raises RequestRefused (412).
    """
    verdict = evaluated(headers, validator, reads=True)
    if verdict is Precondition.FAILED:
        raise _stale(what)
    is_known = verdict is Precondition.NOT_MODIFIED
    return empty(HTTPStatus.NOT_MODIFIED, {"ETag": etag(validator)}) if is_known else None


def check_conditions(headers: Mapping[str, str], validator: str | None, what: str) -> None:
    """Raise RequestRefused (412) if a client may not write *what*, by the conditions in *headers*.

    *validator*: the text of its ETag now (None: it does not exist).
    """
    if evaluated(headers, validator, reads=False) is Precondition.FAILED:
        raise _stale(what)


def _stale(what: str) -> RequestRefused:
    return RequestRefused(
        HTTPStatus.PRECONDITION_FAILED, f"{what}: it has changed since you read it; read it again"
    )


async def answer_by_method(
    request: web.Request, methods: Mapping[str, Callable[[], Awaitable[web.StreamResponse]]]
) -> web.StreamResponse:
    """Answer *request* by its method in *methods* (HEAD: GET). Raises RequestRefused (405) without one."""
    method = methods.get("GET" if request.method == "HEAD" else request.method)
    if method is None:
        allowed = {"Allow": ", ".join([*methods, *(["HEAD"] if "GET" in methods else [])])}
        raise RequestRefused(HTTPStatus.METHOD_NOT_ALLOWED, f"{request.method} is not allowed here", allowed)
    return await method()


def media_type(accept: str, kind: str) -> str:
    """Return the media type of a document of this *kind* for a client that sends this `Accept`.

    Raises RequestRefused (406) if the client accepts none that the server has.
    """
    own = f"application/vnd.sumatra.{kind}-v4+json"
    wanted = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    if not accept.strip() or not {own, "*/*", "application/*"}.isdisjoint(wanted):
        return own
    if _JSON in wanted:
        return _JSON
    raise RequestRefused(HTTPStatus.NOT_ACCEPTABLE, f"this is available only as {own} or {_JSON}")
