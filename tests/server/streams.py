"""A stream of events, read as a browser does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
import anyio

from tests.daemon.process import PATIENCE
from tests.server.served import Client


class Event(NamedTuple):
    """One event: its id, its data, and comments before it."""

    id: int | None
    data: Any
    comment: str = ""


class Stream:
    """Events of one answer."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer
        #: Where to go on from.
        self.last_id = ""
        self._rest = b""

    async def block(self) -> Event | None:
        """Return what comes next, within PATIENCE seconds; None at the end."""
        with anyio.fail_after(PATIENCE):
            while b"\n\n" not in self._rest:
                part = await self.answer.content.readany()
                if not part:
                    return None
                self._rest += part
        found, _, self._rest = self._rest.partition(b"\n\n")
        lines = dict(line.split(": ", 1) for line in found.decode().splitlines())
        number = lines.get("id")
        data = json.loads(lines["data"]) if "data" in lines else None
        self.last_id = number or self.last_id
        return Event(None if number is None else int(number), data, lines.get("", ""))

    async def changes(self, count: int) -> list[Any]:
        """Return the data of the next *count* changes."""
        found: list[Any] = []
        while len(found) < count:
            event = await self.block()
            assert event is not None, "it has ended"
            if event.data is not None:
                assert event.id == event.data["seq"]
                found.append(event.data)
        return found

    async def ended(self) -> bool:
        """Read on to the end."""
        while await self.block() is not None:
            pass
        return True


@asynccontextmanager
async def streaming(client: Client, query: str = "since=0", **headers: str) -> AsyncIterator[Stream]:
    """Open a stream of changes for the length of a `with` block."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    async with client.session.get(
        f"{client.root}api/v1/changes?{query}",
        headers={**client.login, "Accept": "text/event-stream", **more},
        timeout=aiohttp.ClientTimeout(total=None),
    ) as answer:
        yield Stream(answer)
