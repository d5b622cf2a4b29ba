"""A line to a real Sumatra Server on which requests fail as a test wants."""

from __future__ import annotations

import io
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import anyio
from aiohttp import web

#: What happens to one request; a fault may pass it on to the server.
Fault = Callable[["Line", web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass
class Line:
    """A proxy at *url*; *faults* apply to the requests of these numbers, from 1 on; others pass."""

    server: str
    client: aiohttp.ClientSession
    url: str = ""
    faults: dict[int, Fault] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def break_at(self, number: int, fault: Fault) -> None:
        """Apply *fault* to the *number*th request from now on, and to no other."""
        self.faults = {len(self.requests) + number: fault}

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path}")
        self.headers.append(dict(request.headers))
        return await self.faults.get(len(self.requests), passed)(self, request)

    async def ask(
        self, request: web.BaseRequest, alter: Callable[[bytes], bytes] = bytes
    ) -> tuple[int, bytes]:
        """Pass a request on, with another body; return status and body of the answer."""
        headers = {name: value for name, value in request.headers.items() if name in _PASSED}
        body = alter(await request.content.read())  # however large
        where = f"{self.server}{request.raw_path}"
        async with self.client.request(
            request.method, where, data=io.BytesIO(body), headers=headers, allow_redirects=False
        ) as response:
            return response.status, await response.read()


_PASSED = ("Authorization", "Accept", "Content-Type")


@asynccontextmanager
async def line_to(server: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[Line]:
    """Open a line to the server at the root *server*, optionally with TLS."""
    async with aiohttp.ClientSession() as client:
        line = Line(server, client)
        runner = web.ServerRunner(web.Server(line.answer), shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        line.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield line
        finally:
            await runner.cleanup()


async def passed(line: Line, request: web.BaseRequest) -> web.StreamResponse:
    status, body = await line.ask(request)
    return web.Response(status=status, body=body, content_type="application/json")


def status(code: int, **headers: str) -> Fault:
    """Answer with a status without the server."""

    async def fault(_line: Line, _request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(
            status=code, headers={name.replace("_", "-"): text for name, text in headers.items()}
        )

    return fault


def status_after(code: int) -> Fault:
    """Pass the request on, and answer with another status."""

    async def fault(line: Line, request: web.BaseRequest) -> web.StreamResponse:
        await line.ask(request)
        return web.Response(status=code)

    return fault


async def reset(_line: Line, request: web.BaseRequest) -> web.StreamResponse:
    """Close the connection before the server gets the request."""
    assert request.transport
    request.transport.abort()
    return web.Response()


async def lost(line: Line, request: web.BaseRequest) -> web.StreamResponse:
    """Pass the request on, and close the connection before the answer."""
    await line.ask(request)
    return await reset(line, request)


async def halved(line: Line, request: web.BaseRequest) -> web.StreamResponse:
    """Make the server create half of a record, as if it had crashed then, and close the connection."""
    await line.ask(request, _half)
    return await reset(line, request)


def _half(body: bytes) -> bytes:
    return json.dumps({**json.loads(body), "output_data": [], "dependencies": [], "platforms": []}).encode()


async def stall(line: Line, request: web.BaseRequest) -> web.StreamResponse:
    """Pass the request on, and answer nothing until the client gives up."""
    await line.ask(request)
    await anyio.sleep(30)
    return web.Response()


async def late(line: Line, request: web.BaseRequest) -> web.StreamResponse:
    """Answer after a delay."""
    await anyio.sleep(0.1)
    return await passed(line, request)


def cut(length: int) -> Fault:
    """Close the connection after some bytes of the answer, whose header says that it is longer."""

    async def fault(line: Line, request: web.BaseRequest) -> web.StreamResponse:
        code, body = await line.ask(request)
        response = web.StreamResponse(status=code, headers={"Content-Length": str(len(body) + 1000)})
        await response.prepare(request)
        await response.write(body[:length])
        return await reset(line, request)

    return fault


def altered(alter: Callable[[bytes], bytes]) -> Fault:
    """Answer with another body of the right length."""

    async def fault(line: Line, request: web.BaseRequest) -> web.StreamResponse:
        code, body = await line.ask(request)
        return web.Response(status=code, body=alter(body), content_type="application/json")

    return fault
