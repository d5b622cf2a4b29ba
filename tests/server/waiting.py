"""Wait, in a test that has an event loop, until something is so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from inspect import isawaitable
from typing import TypeVar

import aiohttp
import anyio
from anyio import to_thread

from tests.build import PROJECT
from tests.server.served import Client

T = TypeVar("T")
#: Seconds after which a test gives up.
PATIENCE = 60.0


async def until(is_so: Callable[[], object]) -> None:
    """Wait until *is_so*, which may have to be awaited; a server that restarts answers nothing meanwhile."""
    with anyio.fail_after(PATIENCE):
        while True:
            try:
                found = is_so()
                if await found if isawaitable(found) else found:
                    return
            except aiohttp.ClientConnectionError:
                pass
            await anyio.sleep(0.01)


async def until_status(client: Client, status: int, path: str = f"records/{PROJECT}/") -> None:
    """Wait until *client* is answered with *status*."""

    async def is_so() -> bool:
        return (await client.get(path)).status == status

    await until(is_so)


@asynccontextmanager
async def in_thread(context: AbstractContextManager[T]) -> AsyncIterator[T]:
    """Enter and leave *context* in a thread: its processes take a while to start and to end."""
    made = await to_thread.run_sync(context.__enter__)
    try:
        yield made
    finally:
        await to_thread.run_sync(context.__exit__, None, None, None)
