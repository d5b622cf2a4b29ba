"""A real HTTP server on this machine that records requests, and answers as a test wants."""

from __future__ import annotations

import asyncio
import json
import queue
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

#: An answer that does not come before the server ends.
STALL = 0


@dataclass
class Heard:
    """One request."""

    method: str
    path: str
    body: Any


@dataclass
class Receiver:
    """Answers requests with the *answers* in turn, then with 200; a status, and headers if any."""

    url: str = ""
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    heard: queue.Queue[Heard] = field(default_factory=queue.Queue)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def next(self) -> Heard:
        """Wait for the next request."""
        return self.heard.get(timeout=60)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        text = await request.text()
        status, headers = self.answers.pop(0) if self.answers else (200, {})
        self.heard.put(Heard(request.method, request.path_qs, json.loads(text) if text else None))
        if status == STALL:
            await self.ended.wait()
        return web.Response(status=status, headers=headers)


@contextmanager
def receiver(*answers: tuple[int, dict[str, str]], tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Yield a receiver that runs in a thread of its own."""
    made, started, loop = Receiver(answers=list(answers)), threading.Event(), asyncio.new_event_loop()

    async def serve() -> None:
        server = web.ServerRunner(web.Server(made.answer), shutdown_timeout=0)
        await server.setup()
        await web.TCPSite(server, "127.0.0.1", 0, ssl_context=tls).start()
        scheme = "http" if tls is None else "https"
        made.url = f"{scheme}://127.0.0.1:{server.addresses[0][1]}"
        started.set()
        await made.ended.wait()
        await server.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=[serve()])
    thread.start()
    try:
        assert started.wait(60)
        yield made
    finally:
        loop.call_soon_threadsafe(made.ended.set)
        thread.join()
        loop.close()
