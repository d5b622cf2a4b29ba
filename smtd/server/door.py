"""Accepts connections, and limits their number, so that strangers cannot use up the daemon's file handles."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import anyio

#: The most connections. Before it takes one more, the server closes the one that has been idle for longest,
#: or waits while none is idle.
MOST = 500
#: Connections that the system queues until the server accepts them.
BACKLOG = 128
#: Seconds that a TLS handshake may take, and seconds without accepting connections when handles run out.
HANDSHAKE, SHORTAGE = 20.0, 1.0
_SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Door:
    """Accepts connections, with *tls* (None: without); *handlers* makes a protocol handler for each."""

    def __init__(self, handlers: Callable[[], asyncio.Protocol], tls: ssl.SSLContext | None) -> None:
        self.tls = tls
        self._handlers = handlers
        self._visits: dict[asyncio.BaseProtocol, _Visit] = {}
        #: Idle connections, without a request in progress; the one idle for longest comes first.
        self._waiting: dict[_Visit, None] = {}
        self._left = anyio.Event()

    async def let_in(self, listeners: Sequence[socket.socket]) -> None:
        """Accept connections from *listeners* until cancelled; established ones stay open after that."""
        async with anyio.create_task_group() as group:

            async def accept(listener: socket.socket) -> None:
                while True:
                    line = await _next(listener)
                    try:
                        await self._have_room()
                    except BaseException:
                        line.close()
                        raise
                    visit = _Visit(self, self._handlers())
                    self._visits[visit.handler] = visit
                    self._waiting[visit] = None
                    group.start_soon(visit.begin, line)

            for listener in listeners:
                group.start_soon(accept, listener)

    async def _have_room(self) -> None:
        while len(self._visits) >= MOST:
            if self._left.is_set():
                self._left = anyio.Event()
            if (oldest := next(iter(self._waiting), None)) is not None:
                del self._waiting[oldest]
                oldest.end()
            await self._left.wait()

    @contextmanager
    def answering(self, handler: asyncio.BaseProtocol | None) -> Iterator[None]:
        """Mark the connection of *handler* as busy for the length of a `with` block: it stays open."""
        visit = None if handler is None else self._visits.get(handler)
        if visit is not None:
            self._waiting.pop(visit, None)
        try:
            yield
        finally:
            if visit is not None and visit.handler in self._visits:
                self._waiting[visit] = None

    def left(self, visit: _Visit) -> None:
        """Note that a connection is closed."""
        self._visits.pop(visit.handler, None)
        self._waiting.pop(visit, None)
        self._left.set()


async def _next(listener: socket.socket) -> socket.socket:
    """Accept a connection from *listener*; pause for SHORTAGE while handles or memory run out."""
    while True:
        try:
            line, _ = await asyncio.get_running_loop().sock_accept(listener)
        except OSError as exc:  # the client has gone already, or handles or memory run out
            if exc.errno in _SHORT:
                await anyio.sleep(SHORTAGE)
        else:
            return line


class _Visit(asyncio.Protocol):
    """One connection: passes all events to *handler*, and reports its end to *door*."""

    def __init__(self, door: Door, handler: asyncio.Protocol) -> None:
        self.handler = handler
        self._door = door
        self._transport: asyncio.BaseTransport | None = None
        self._beginning = anyio.CancelScope()

    async def begin(self, line: socket.socket) -> None:
        """Start the connection, with a TLS handshake if the door has TLS; close the socket if that fails."""
        loop, tls = asyncio.get_running_loop(), self._door.tls
        timeout = None if tls is None else HANDSHAKE
        try:
            with self._beginning, suppress(OSError):  # the client has gone, or speaks no TLS
                await loop.connect_accepted_socket(lambda: self, line, ssl=tls, ssl_handshake_timeout=timeout)
        finally:
            if self._transport is None:
                line.close()
                self._door.left(self)

    def end(self) -> None:
        """Close the connection at once."""
        self._beginning.cancel()
        if isinstance(self._transport, asyncio.Transport):
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.handler.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._door.left(self)
        self.handler.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self.handler.data_received(data)

    def eof_received(self) -> bool | None:
        return self.handler.eof_received()

    def pause_writing(self) -> None:
        self.handler.pause_writing()

    def resume_writing(self) -> None:
        self.handler.resume_writing()


async def listeners(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen on all addresses of *host*; the caller must close them. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    made: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            listener = socket.socket(family, kind, protocol)
            made.append(listener)
            listener.setblocking(False)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
    except OSError:
        for listener in made:
            listener.close()
        raise
    return made
