"""Accept clients for the length of a block, and let their requests end.

The number of connections has a limit, so that strangers cannot use up the daemon's file handles.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import anyio
from aiohttp import web

from smtd.server import http_handler
from smtd.server.http_handler import Handle, HttpHandler

#: The most connections. Before it takes one more, the server closes the one that has been idle for longest,
#: or waits while none is idle.
MOST_CONNECTIONS = 500
#: Connections that the system queues until the server accepts them.
BACKLOG = 128
#: Seconds that a TLS handshake may take, and seconds without accepting connections when handles run out.
HANDSHAKE_TIMEOUT, SHORTAGE_PAUSE = 20.0, 1.0
#: Seconds to wait at the end for the handshakes and the first requests of clients that were just accepted.
LAST_ARRIVALS = 0.5
#: Seconds for which requests may go on at the end.
SHUTDOWN_GRACE = 1.0
_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Acceptor:
    """Accepts connections, with *tls* (None: without), for requests that *handle* answers."""

    def __init__(self, handle: Handle, tls: ssl.SSLContext | None) -> None:
        self.tls = tls
        self.server = http_handler.server(self._answer)
        self._handle = handle
        self._connections: dict[asyncio.BaseProtocol, _Connection] = {}
        #: Idle connections, without a request in progress; the one idle for longest comes first.
        self._idle: dict[_Connection, None] = {}
        self._closed = anyio.Event()
        #: Set when a connection has its first request, or is closed.
        self._arrived = anyio.Event()

    async def accept(self, listeners: Sequence[socket.socket]) -> None:
        """Accept connections from *listeners* until cancelled; established ones stay open after that."""
        async with anyio.create_task_group() as group:

            async def accept_from(listener: socket.socket) -> None:
                while True:
                    sock = await _accept(listener)
                    try:
                        await self._make_room()
                    except BaseException:
                        sock.close()
                        raise
                    connection = _Connection(self, HttpHandler(self.server))
                    self._connections[connection.handler] = connection
                    self._idle[connection] = None
                    group.start_soon(connection.start, sock)

            try:
                async with anyio.create_task_group() as accepting:
                    for listener in listeners:
                        accepting.start_soon(accept_from, listener)
            finally:
                await self._await_arrivals()

    async def _await_arrivals(self) -> None:
        """Wait for the first requests of those who were just accepted; then close what is not established.

        To close all at once would cut off clients whom the system has told that they are connected. What an
        established connection has asked for by then has the grace of the handlers.
        """
        since = anyio.current_time() - LAST_ARRIVALS
        arriving = [one for one in self._connections.values() if one.is_arriving(since)]
        with anyio.move_on_after(LAST_ARRIVALS, shield=True):
            while any(one.handler in self._connections and not one.has_asked for one in arriving):
                self._arrived = anyio.Event()
                await self._arrived.wait()
        for connection in list(self._connections.values()):
            if not connection.is_established:
                connection.abort()

    async def _make_room(self) -> None:
        while len(self._connections) >= MOST_CONNECTIONS:
            if self._closed.is_set():
                self._closed = anyio.Event()
            if (oldest := next(iter(self._idle), None)) is not None:
                del self._idle[oldest]
                oldest.abort()
            await self._closed.wait()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        """Answer *request*; its connection is busy meanwhile: it stays open."""
        connection = self._connections.get(request.protocol)
        if connection is not None:
            self._idle.pop(connection, None)
            connection.has_asked = True
            self._arrived.set()
        try:
            return await self._handle(request)
        finally:
            if connection is not None and connection.handler in self._connections:
                self._idle[connection] = None

    def closed(self, connection: _Connection) -> None:
        """Note that a connection is closed."""
        self._connections.pop(connection.handler, None)
        self._idle.pop(connection, None)
        self._closed.set()
        self._arrived.set()


async def _accept(listener: socket.socket) -> socket.socket:
    """Accept a connection from *listener*; pause for SHORTAGE_PAUSE while handles or memory run out."""
    while True:
        try:
            # In two steps: a cancelled `sock_accept` may have accepted a client, and loses it.
            await anyio.wait_readable(listener)
            sock, _ = listener.accept()
        except OSError as exc:  # the client has gone already, or handles or memory run out
            if exc.errno in _OUT_OF_RESOURCES:
                await anyio.sleep(SHORTAGE_PAUSE)
        else:
            sock.setblocking(False)
            return sock


class _Connection(asyncio.Protocol):
    """One connection: passes all events to *handler*, and reports its end to *acceptor*."""

    def __init__(self, acceptor: Acceptor, handler: asyncio.Protocol) -> None:
        self.handler = handler
        #: It has sent a request.
        self.has_asked = False
        self._accepted = anyio.current_time()
        self._acceptor = acceptor
        self._transport: asyncio.BaseTransport | None = None
        #: Shielded: at the end of the server it is aborted, but not at once.
        self._starting = anyio.CancelScope(shield=True)

    @property
    def is_established(self) -> bool:
        """Whether its handshake is done, if the server has TLS."""
        return self._transport is not None

    def is_arriving(self, since: float) -> bool:
        """Say whether a first request may come: it is not established yet, or was accepted after *since*."""
        return not self.has_asked and (not self.is_established or self._accepted > since)

    async def start(self, sock: socket.socket) -> None:
        """Start the connection, with a TLS handshake if the server has TLS; close *sock* if that fails."""
        loop, tls = asyncio.get_running_loop(), self._acceptor.tls
        timeout = None if tls is None else HANDSHAKE_TIMEOUT
        try:
            with self._starting, suppress(OSError):  # the client has gone, or speaks no TLS
                await loop.connect_accepted_socket(lambda: self, sock, ssl=tls, ssl_handshake_timeout=timeout)
        finally:
            if self._transport is None:
                sock.close()
                self._acceptor.closed(self)

    def abort(self) -> None:
        """Close the connection at once."""
        self._starting.cancel()
        if isinstance(self._transport, asyncio.Transport):
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.handler.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._acceptor.closed(self)
        self.handler.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self.handler.data_received(data)

    def eof_received(self) -> bool | None:
        return self.handler.eof_received()

    def pause_writing(self) -> None:
        self.handler.pause_writing()

    def resume_writing(self) -> None:
        self.handler.resume_writing()


@asynccontextmanager
async def accepting(
    handle: Handle,
    listening: AbstractAsyncContextManager[Sequence[socket.socket]],
    tls: ssl.SSLContext | None,
) -> AsyncIterator[Sequence[socket.socket]]:
    """Pass every request to *handle* for the length of a `with` block; yield the sockets of *listening*.

    *tls*: None for connections without TLS. Raises what *listening* raises when it is entered.
    """
    acceptor = Acceptor(handle, tls)
    runner = web.ServerRunner(acceptor.server, shutdown_timeout=SHUTDOWN_GRACE)
    await runner.setup()
    try:
        async with listening as found, anyio.create_task_group() as group:
            group.start_soon(acceptor.accept, found)
            try:
                yield found
            finally:
                group.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await runner.cleanup()


async def listeners(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen on all addresses of *host*; the caller must close them. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            listener = socket.socket(family, kind, protocol)
            sockets.append(listener)
            listener.setblocking(False)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
    except OSError:
        for listener in sockets:
            listener.close()
        raise
    return sockets
