"""The server's end of HTTP: passes on every request, whatever its method and path; answers malformed ones.

aiohttp has an `Application` for that, but it answers some requests itself, with pages of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, TypeAlias

from aiohttp import web
from aiohttp.http_exceptions import InvalidURLError, LineTooLong

from smtd.server.answers import RequestRefused

#: Seconds for which an idle connection is kept.
KEEPALIVE = 75.0
_EXPECTED = "100-continue"
#: Malformed requests get an answer, and are not worth a message.
_quiet = logging.getLogger("smtd.server.http")
_quiet.setLevel(logging.CRITICAL)

Handle: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpHandler(web.RequestHandler):
    """Handles one connection of *server*; logs nothing."""

    def __init__(self, server: web.Server) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            logger=_quiet,
            access_log=None,  # type: ignore[arg-type]
            auto_decompress=False,
            keepalive_timeout=KEEPALIVE,
        )

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the answer to a request that cannot be read (*status* 400), or whose answer failed.

        The connection ends after it. Raises ConnectionError if the client already has a part of an answer.
        """
        if request.writer.output_size > 0:
            raise ConnectionError("a part of the answer was sent already")
        sentence = "internal error; see the server's log"
        if status == HTTPStatus.BAD_REQUEST:
            sentence = _malformed(exc)
        return RequestRefused(HTTPStatus(status), sentence, {"Connection": "close"}).answer


def _malformed(exc: BaseException | None) -> str:
    """Return in a sentence what is wrong with a request, of which the parser says *exc*."""
    if isinstance(exc, LineTooLong):
        return "the address or a header of the request is longer than 8 KiB"
    if isinstance(exc, InvalidURLError):
        return "an address begins with / and is percent-encoded UTF-8, such as %C3%A9 for é"
    return "the request is not valid HTTP/1.1"


def server(handle: Handle) -> web.Server:
    """Return a server that passes every request to *handle*; cancel the handling when the client goes."""
    loop = asyncio.get_running_loop()

    async def checked(request: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(request, web.Request)
        try:
            await _continue(request)
        except RequestRefused as refusal:
            return refusal.answer
        return await handle(request)

    def made(*parts: Any) -> web.Request:
        return web.Request(*(*parts, loop))

    return web.Server(checked, request_factory=made, handler_cancellation=True)


async def _continue(request: web.Request) -> None:
    """Let a client that waits for it send its body. Raises RequestRefused for any other `Expect`."""
    expected = request.headers.get("Expect", "").lower()
    if not expected or request.version < (1, 1):
        return
    if expected != _EXPECTED:
        raise RequestRefused(
            HTTPStatus.EXPECTATION_FAILED,
            f"the server knows no expectation but {_EXPECTED}",
            {"Connection": "close"},
        )
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the answer has not begun
