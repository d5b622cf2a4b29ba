"""Clients of processes that serve a database, and what they wait for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import anyio
from anyio import to_thread

from tests.daemon.process import wait_until
from tests.server.process import ServerProcess
from tests.server.served import PASSWORD, Client
from tests.server.streams import Stream
from tests.servers.server import Database

#: Seconds after which a test gives up.
PATIENCE = 60.0


@asynccontextmanager
async def clients(servers: list[ServerProcess], *names: str) -> AsyncIterator[list[Client]]:
    """Give for each of *names* a client of each server."""
    roots = await to_thread.run_sync(lambda: [server.root for server in servers])
    async with aiohttp.ClientSession() as session:
        yield [
            Client(root, session, {"Authorization": aiohttp.encode_basic_auth(name, PASSWORD)})
            for name in names
            for root in roots
        ]


async def until_status(client: Client, path: str, status: int) -> None:
    """Wait until *client* is answered with *status*; the server may restart meanwhile."""
    with anyio.fail_after(PATIENCE):
        while True:
            try:
                if (await client.get(path)).status == status:
                    return
            except aiohttp.ClientConnectionError:
                pass
            await anyio.sleep(0.02)


async def until_logged(server: ServerProcess, words: str) -> None:
    """Wait until *server* has logged *words*."""
    with anyio.fail_after(PATIENCE):
        while True:
            if words in await anyio.Path(server.log).read_text():
                return
            await anyio.sleep(0.02)


async def up_to(stream: Stream, label: str) -> list[Any]:
    """Return all changes up to the first one of *label*."""
    found = await stream.changes(1)
    while found[-1]["label"] != label:
        found += await stream.changes(1)
    return found


def until_entered(database: Database) -> None:
    """Wait until a server has entered what others wrote. Blocks."""
    wait_until(lambda: not database.run("SELECT 1 FROM smtd_dirty LIMIT 1"))
