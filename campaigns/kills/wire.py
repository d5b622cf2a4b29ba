"""A wire to a server, in a process of its own: it may be cut, go dead, or lead to where the server is now.

`python -m campaigns.kills.wire` prints the port that it listens at, and reads one command a line: `to PORT`,
`pass`, `cut BYTES` (cut the next connection after so many bytes of the answer), `dead` (the next connection
stays open and answers nothing).
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

SIZE = 65536


@dataclass
class _Wire:
    port: int = 0
    next: list[str] = field(default_factory=lambda: ["pass"])

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        how, self.next = self.next, ["pass"]
        with suppress(OSError):
            if how[0] == "dead":
                while await reader.read(SIZE):
                    pass
                return
            there, back = await asyncio.open_connection("127.0.0.1", self.port)
            limit = int(how[1]) if how[0] == "cut" else None
            ways = [
                asyncio.create_task(_pass(reader, back)),
                asyncio.create_task(_pass(there, writer, limit)),
            ]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            back.transport.abort()
        writer.transport.abort()

    async def obey(self) -> None:
        while words := (await asyncio.to_thread(sys.stdin.readline)).split():
            if words[0] == "to":
                self.port = int(words[1])
            else:
                self.next = words
            print(flush=True)


async def _pass(source: asyncio.StreamReader, target: asyncio.StreamWriter, limit: int | None = None) -> None:
    while data := await source.read(SIZE):
        target.write(data if limit is None else data[:limit])
        await target.drain()
        if limit is not None:
            limit -= len(data)
            if limit <= 0:
                return


async def _serve() -> None:
    wire = _Wire()
    async with await asyncio.start_server(wire.connect, "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await wire.obey()


@dataclass
class Wire:
    """A wire at *port* of this machine."""

    port: int
    _process: subprocess.Popen[str]

    def command(self, *words: object) -> None:
        """Tell it what to do, and wait until it does."""
        assert self._process.stdin
        assert self._process.stdout
        print(*words, file=self._process.stdin, flush=True)
        self._process.stdout.readline()


@contextmanager
def wire() -> Iterator[Wire]:
    """Lay a wire that leads nowhere yet."""
    command = [sys.executable, "-m", __name__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield Wire(int(process.stdout.readline()), process)
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(_serve())
