"""Send notifications and heartbeats over HTTP. Addresses may contain secrets, and are never shown."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import aiohttp
import msgspec
from anyio import to_thread
from yarl import URL

from smtd.backoff import retry_after
from smtd.daemon.notice import Notice, Undelivered

#: Seconds for one request, and the longest wait that a server can ask for.
PATIENCE, LONGEST_WAIT = 20.0, 3600.0
#: Statuses after which a retry may succeed, besides those for errors of the server.
_LATER = frozenset((HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS))


class Webhook:
    """Sends requests to one address."""

    def __init__(self, url: str, session: aiohttp.ClientSession, proxy: str | None) -> None:
        self._url = URL(url)
        self._session = session
        self._proxy = None if proxy is None else URL(proxy)

    async def deliver(self, notice: Notice) -> None:
        """Post *notice* as JSON. Raises Undelivered unless the answer reports success."""
        await self._send("POST", msgspec.json.encode(notice))

    async def beat(self) -> None:
        """Send a GET request as a heartbeat. Raises Undelivered as `deliver` does."""
        await self._send("GET", None)

    async def _send(self, method: str, data: bytes | None) -> None:
        headers = {} if data is None else {"Content-Type": "application/json"}
        host = self._url.host
        try:
            async with self._session.request(
                method, self._url, data=data, headers=headers, allow_redirects=False, proxy=self._proxy
            ) as response:
                status, wait = response.status, retry_after(response.headers.get("Retry-After"))
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as exc:
            # The text of the error may contain the address.
            raise Undelivered(f"{host} cannot be reached ({_why(exc)})", again=True) from None
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            later = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _LATER
            after = None if wait is None else min(wait, LONGEST_WAIT)
            raise Undelivered(f"{host} answered with status {status}", again=later, after=after)


@asynccontextmanager
async def open_webhook(url: str, proxy: str | None = None) -> AsyncIterator[Webhook]:
    """Yield the webhook at *url*, through *proxy* if any; the certificate must be valid."""
    context = await to_thread.run_sync(ssl.create_default_context)
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=PATIENCE),
        connector=aiohttp.TCPConnector(ssl=context, limit=1),
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        yield Webhook(url, session, proxy)


def _why(exc: BaseException) -> str:
    if isinstance(exc, aiohttp.ClientHttpProxyError):
        return f"its proxy answered with status {exc.status}"
    if isinstance(exc, asyncio.TimeoutError):
        return "it does not answer"
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not valid"
    inner = getattr(exc, "os_error", None) or exc
    return (isinstance(inner, OSError) and inner.strerror) or type(exc).__name__
