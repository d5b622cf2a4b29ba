"""A server behind a proxy: what smtd sends to the proxy, and what it never sends there."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from smtd.daemon.notice import Notice, Undelivered
from smtd.daemon.webhook import open_webhook
from smtd.errors import StoreError, StoreRefused, StoreUnreachable
from smtd.stores.access import Access
from smtd.stores.http import session
from smtd.stores.http.driver import HTTP
from smtd.stores.location import Location
from smtd.stores.registry import open_store

pytestmark = pytest.mark.usefixtures("plain_client")

SERVER_PASSWORD, PROXY_PASSWORD = "s3cret", "pr0xy-p@ss"
ALL_IS_WELL = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"
NOTICE = Notice("halted", "lab", "2026-01-31T12:00:00Z", "pair lab needs attention")


@dataclass
class Proxy:
    """Answers every request with *answer*, and records the requests."""

    answer: bytes = ALL_IS_WELL
    port: int = 0
    asked: list[str] = field(default_factory=list)
    user: str = f"eve:{PROXY_PASSWORD.replace('@', '%40')}@"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(self.answer)
        writer.close()

    @property
    def url(self) -> str:
        return f"http://{self.user}127.0.0.1:{self.port}"


@asynccontextmanager
async def proxy(answer: bytes = ALL_IS_WELL) -> AsyncIterator[Proxy]:
    made = Proxy(answer)
    async with await asyncio.start_server(made.serve, "127.0.0.1") as server:
        made.port = server.sockets[0].getsockname()[1]
        yield made


def basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def lab(scheme: str, by: Proxy) -> Location:
    access = Access(username="ada", password=SERVER_PASSWORD, proxy=by.url)
    return Location(HTTP, Path(), None, access, f"{scheme}://records.lab.invalid/records/")


async def test_requests_go_through_the_proxy() -> None:
    """With the full address; proxy and server each get their own password."""
    async with proxy() as by, open_store(lab("http", by)) as store:
        assert await store.projects() == []

    (asked,) = by.asked
    assert asked.startswith("GET http://records.lab.invalid/records/ HTTP/1.1\r\n")
    assert f"\r\nAuthorization: {basic('ada', SERVER_PASSWORD)}\r\n" in asked
    assert f"\r\nProxy-Authorization: {basic('eve', PROXY_PASSWORD)}\r\n" in asked


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(session, "LONGEST_PAUSE", 0.0)


async def told(by: Proxy, scheme: str) -> StoreError:
    """Return the error of a store that is reached through *by*."""
    async with open_store(lab(scheme, by)) as store:
        with pytest.raises(StoreError) as found:
            await store.projects()
    return found.value


async def test_proxy_of_a_tls_server_gets_only_its_name(impatient: None) -> None:
    """Only the server gets the password."""
    async with proxy(b"HTTP/1.1 502 Bad Gateway\r\n\r\n") as by:
        error = await told(by, "https")

    assert isinstance(error, StoreUnreachable)
    assert "records.lab.invalid/records/ cannot be reached (its proxy answered 502 Bad Gateway)" in str(error)
    assert by.asked[0].startswith("CONNECT records.lab.invalid:443 HTTP/1.1\r\n")
    assert f"\r\nProxy-Authorization: {basic('eve', PROXY_PASSWORD)}\r\n" in by.asked[0]
    assert basic("ada", SERVER_PASSWORD) not in "".join(by.asked)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_proxy_without_a_password_does_not_get_that_of_the_server(scheme: str, impatient: None) -> None:
    """As it would with headers of the session."""
    async with proxy(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n") as by:
        by.user = ""
        await told(by, scheme)

    assert "Proxy-Authorization" not in "".join(by.asked)
    assert (basic("ada", SERVER_PASSWORD) in "".join(by.asked)) is (scheme == "http")


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_proxy_that_requires_a_password_is_reported(scheme: str, impatient: None) -> None:
    """The message says where to configure it, and shows no password."""
    async with proxy(b"HTTP/1.1 407 Authentication Required\r\nContent-Length: 0\r\n\r\n") as by:
        error = await told(by, scheme)

    assert isinstance(error, StoreRefused)
    assert "login to the proxy for " in str(error)
    assert "set them in http_proxy or https_proxy" in str(error)
    assert PROXY_PASSWORD not in repr(error) + repr(error.__cause__)


async def test_unreachable_proxy_shows_no_password(impatient: None) -> None:
    """Neither in the error nor in the location."""
    by = Proxy(port=9)
    error = await told(by, "https")

    shown = f"{error} {error!r} {error.__cause__} {error.__cause__!r} {lab('http', by)!r}"
    assert PROXY_PASSWORD not in shown
    assert by.url not in shown


async def test_webhook_goes_through_its_proxy() -> None:
    """And so does the heartbeat to a monitor."""
    async with proxy() as by, open_webhook("http://hook.lab.invalid/T0KEN", by.url) as hook:
        await hook.deliver(NOTICE)
        await hook.beat()

    assert [asked.split(" HTTP/")[0] for asked in by.asked] == [
        "POST http://hook.lab.invalid/T0KEN",
        "GET http://hook.lab.invalid/T0KEN",
    ]


async def test_webhook_blocked_by_its_proxy_is_retried() -> None:
    """The error shows neither the address nor the proxy's password."""
    async with (
        proxy(b"HTTP/1.1 503 Busy\r\n\r\n") as by,
        open_webhook("https://hook.lab.invalid/T0KEN", by.url) as hook,
    ):
        with pytest.raises(Undelivered) as failed:
            await hook.deliver(NOTICE)

    assert failed.value.again
    assert str(failed.value) == "hook.lab.invalid cannot be reached (its proxy answered with status 503)"
