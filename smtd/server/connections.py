"""Accept clients for the length of a block, and let their requests end."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import anyio
from aiohttp import web

from smtd.server import http_handler
from smtd.server.acceptor import Acceptor
from smtd.server.http_handler import Handle, HttpHandler

#: Seconds for which requests may go on at the end.
SHUTDOWN_GRACE = 1.0


@asynccontextmanager
async def accepting(
    handle: Handle,
    listening: AbstractAsyncContextManager[Sequence[socket.socket]],
    tls: ssl.SSLContext | None,
) -> AsyncIterator[Sequence[socket.socket]]:
    """Pass every request to *handle* for the length of a `with` block; yield the sockets of *listening*.

    *tls*: None for connections without TLS. Raises what *listening* raises when it is entered.
    """
    acceptors: list[Acceptor] = []

    async def busy(request: web.Request) -> web.StreamResponse:
        with acceptors[0].busy(request.protocol):
            return await handle(request)

    server = http_handler.server(busy)
    runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_GRACE)
    await runner.setup()
    try:
        acceptors.append(Acceptor(partial(HttpHandler, server), tls))
        async with listening as found, anyio.create_task_group() as group:
            group.start_soon(acceptors[0].accept, found)
            try:
                yield found
            finally:
                group.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await runner.cleanup()
