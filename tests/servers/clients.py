"""Clients of processes that serve a database, and what they wait for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from anyio import to_thread

from tests.daemon.process import wait_until
from tests.server.process import ServerProcess
from tests.server.served import Client, login
from tests.server.streams import Stream
from tests.servers.server import Database


@asynccontextmanager
async def clients(servers: list[ServerProcess], *names: str) -> AsyncIterator[list[Client]]:
    """Give for each of *names* a client of each server."""
    roots = await to_thread.run_sync(lambda: [server.root for server in servers])
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield [Client(root, session, login(name)) for name in names for root in roots]


@asynccontextmanager
async def sharing(servers: list[ServerProcess], name: str = "ada") -> AsyncIterator[list[Client]]:
    """Give a client of each server, with the project that they share."""
    async with clients(servers, name) as found:
        await found[0].make()
        yield found


async def until_logged(server: ServerProcess, words: str, count: int = 1) -> None:
    """Wait until *server* has logged *words* *count* times."""
    await to_thread.run_sync(wait_until, lambda: server.log.read_text("utf-8").count(words) >= count)


async def until_entered(database: Database) -> None:
    """Wait until a server has entered what others wrote."""
    await to_thread.run_sync(wait_until, lambda: not database.run("SELECT 1 FROM smtd_dirty LIMIT 1"))


async def up_to(stream: Stream, label: str) -> list[Any]:
    """Return all changes up to the first one of *label*."""
    found = await stream.changes(1)
    while found[-1]["label"] != label:
        found += await stream.changes(1)
    return found
