"""A cable to a server that can be cut: then it passes nothing on, and reports no error."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from anyio.abc import SocketStream

#: What breaks off where a connection ends.
_ENDED = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, OSError)


@dataclass
class Cable:
    """A cable to *server* of this machine; connections to *port* come out there.

    While it is cut, a connection stays open and silent: what was sent into it arrives when the cable is whole
    again, as packets do that are sent again and again. New connections are silent, too, or end at once if it
    *refuses* them, as a machine does that knows that it has no network.
    """

    server: int
    refuses: bool
    port: int = 0
    _whole: anyio.Event = field(default_factory=anyio.Event)

    def cut(self) -> None:
        """Let nothing through from now on."""
        self._whole = anyio.Event()

    def heal(self) -> None:
        """Let everything through again, also what waits."""
        self._whole.set()

    async def carry(self, here: SocketStream) -> None:
        """Carry everything between *here* and the server until one of them ends the connection."""
        async with here:
            if self.refuses and not self._whole.is_set():
                return
            await self._whole.wait()
            try:
                there = await anyio.connect_tcp("127.0.0.1", self.server)
            except OSError:
                return
            async with there, anyio.create_task_group() as group:

                async def one_way(source: SocketStream, target: SocketStream) -> None:
                    try:
                        while True:
                            data = await source.receive()
                            await self._whole.wait()
                            await target.send(data)
                    except _ENDED:
                        await self._whole.wait()
                        group.cancel_scope.cancel()

                group.start_soon(one_way, here, there)
                group.start_soon(one_way, there, here)


@asynccontextmanager
async def cable_to(server: int, *, refuses: bool) -> AsyncIterator[Cable]:
    """Lay a cable to the port *server* of this machine; it is whole."""
    cable = Cable(server, refuses)
    cable.heal()
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        cable.port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, cable.carry)
            yield cable
            group.cancel_scope.cancel()
