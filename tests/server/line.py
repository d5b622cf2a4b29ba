"""A line to a server that can go dead without a word, as a firewall or a sleeping laptop makes it."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, SocketAttribute


class Line:
    """Carries bytes between clients and a server; clients find it at *port*."""

    def __init__(self, port: int) -> None:
        self.port = port
        #: How many connections there were.
        self.connections = 0
        self._last_dead = 0

    def go_dead(self) -> None:
        """Swallow from now on what the present connections carry; neither end sees anything of it."""
        self._last_dead = self.connections

    async def carry(self, source: ByteReceiveStream, target: ByteSendStream, number: int) -> None:
        """Carry bytes of the connection with *number* in one direction."""
        async for data in source:
            if number > self._last_dead:
                await target.send(data)


@asynccontextmanager
async def line_to(port: int) -> AsyncIterator[Line]:
    """Give a line to the server at *port* of this machine."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0, family=socket.AF_INET)
    line = Line(int(listener.extra(SocketAttribute.local_port)))

    async def connect(client: Any) -> None:
        line.connections += 1
        number = line.connections
        with suppress(OSError):  # the server is away
            async with client, await anyio.connect_tcp("127.0.0.1", port) as server:
                await _first(
                    partial(line.carry, client, server, number), partial(line.carry, server, client, number)
                )

    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, connect)
        yield line
        group.cancel_scope.cancel()


async def _first(*carriers: Callable[[], Awaitable[None]]) -> None:
    """Run *carriers* until the first of them ends."""
    async with anyio.create_task_group() as group:

        async def run(carrier: Callable[[], Awaitable[None]]) -> None:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                await carrier()
            group.cancel_scope.cancel()

        for carrier in carriers:
            group.start_soon(run, carrier)
