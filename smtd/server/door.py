"""Connections: how many there may be at once, so that strangers do not use up the handles of the daemon."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import anyio

#: Connections at once. When one more comes, the one that has asked nothing for longest is closed.
MOST = 500
#: Connections that the system keeps until they are let in.
BACKLOG = 128
#: Seconds that a client may take to agree on TLS, and for which nobody is let in when handles run out.
HANDSHAKE, SHORTAGE = 20.0, 1.0
_SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Door:
    """Lets connections in, each to one of *handlers*, by *tls* if there is any."""

    def __init__(self, handlers: Callable[[], asyncio.Protocol], tls: ssl.SSLContext | None) -> None:
        self.tls = tls
        self._handlers = handlers
        self._visits: dict[asyncio.BaseProtocol, _Visit] = {}
        #: Those whose clients have no request that is being answered, in the order in which that began.
        self._waiting: dict[_Visit, None] = {}
        self._left = anyio.Event()

    async def let_in(self, listeners: Sequence[socket.socket]) -> None:
        """Let in who comes to one of *listeners* until cancelled; who was let in may stay after that."""
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
        """Keep the connection of *handler* for the length of a `with` block: it has a request."""
        visit = None if handler is None else self._visits.get(handler)
        if visit is not None:
            self._waiting.pop(visit, None)
        try:
            yield
        finally:
            if visit is not None and visit.handler in self._visits:
                self._waiting[visit] = None

    def left(self, visit: _Visit) -> None:
        """Note that a connection is gone."""
        self._visits.pop(visit.handler, None)
        self._waiting.pop(visit, None)
        self._left.set()


async def _next(listener: socket.socket) -> socket.socket:
    """Return the next connection that comes to *listener*."""
    while True:
        try:
            line, _ = await asyncio.get_running_loop().sock_accept(listener)
        except OSError as exc:  # it has gone by now, or there are no handles
            if exc.errno in _SHORT:
                await anyio.sleep(SHORTAGE)
        else:
            return line


class _Visit(asyncio.Protocol):
    """One connection: it tells its *handler* all, and the *door* its end."""

    def __init__(self, door: Door, handler: asyncio.Protocol) -> None:
        self.handler = handler
        self._door = door
        self._transport: asyncio.BaseTransport | None = None
        self._beginning = anyio.CancelScope()

    async def begin(self, line: socket.socket) -> None:
        """Agree on TLS, if it is to be used."""
        loop, tls = asyncio.get_running_loop(), self._door.tls
        timeout = None if tls is None else HANDSHAKE
        try:
            with self._beginning, suppress(OSError):  # it is gone, or speaks no TLS
                await loop.connect_accepted_socket(lambda: self, line, ssl=tls, ssl_handshake_timeout=timeout)
        finally:
            if self._transport is None:
                line.close()
                self._door.left(self)

    def end(self) -> None:
        """Close it at once."""
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
    """Return sockets that listen at all addresses of *host*; close them. Raises OSError."""
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
