"""Connections: strangers do not use up the file descriptors of the daemon, and block no client."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import pytest
import trustme
from anyio.abc import SocketStream
from anyio.streams.tls import TLSStream

from smtd.server import acceptor
from smtd.server.server_settings import ServerSettings
from tests.build import record
from tests.server.served import Client, Served, serving
from tests.server.streams import streaming

MOST_CONNECTIONS = 5


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor, "MOST_CONNECTIONS", MOST_CONNECTIONS)


@asynccontextmanager
async def connections(root: str, count: int, data: bytes) -> AsyncIterator[list[SocketStream]]:
    """Yield connections that have sent *data*, and send nothing more."""
    at = urlsplit(root)
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(count):
            connection = await stack.enter_async_context(
                await anyio.connect_tcp(str(at.hostname), int(at.port or 0))
            )
            await connection.send(data)
            opened.append(connection)
        yield opened


async def is_closed(connection: SocketStream) -> bool:
    """Say whether the server closes *connection*, within ten seconds."""
    with anyio.move_on_after(10):
        try:
            await connection.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return True
    return False


async def test_longest_idle_connection_is_closed_for_a_new_one(served: Served, ada: Client) -> None:
    """A client that never finishes a request delays no other."""
    async with connections(served.root, 4 * MOST_CONNECTIONS, b"GET /records/ HTTP/1.1\r\nX: ") as opened:
        for connection in opened[: 3 * MOST_CONNECTIONS]:
            assert await is_closed(connection)
        with anyio.fail_after(10):
            assert (await ada.put(record())).status == 201


async def test_busy_connection_stays_open(served: Served, ada: Client) -> None:
    """However many come after it."""
    async with streaming(ada) as stream:
        await stream.block()
        async with connections(served.root, 2 * MOST_CONNECTIONS, b"GET") as opened:
            assert await is_closed(opened[0])
            await ada.put(record())
            (change,) = await stream.changes(1)

    assert change["label"] == "run"


async def test_no_connection_is_accepted_while_all_are_busy(served: Served, ada: Client) -> None:
    """They wait, and come in when one has gone."""
    async with AsyncExitStack() as stack:
        for _ in range(MOST_CONNECTIONS):
            stream = await stack.enter_async_context(streaming(ada))
            await stream.block()
        data = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        async with connections(served.root, 1, data) as (connection,):
            with anyio.move_on_after(0.3) as quiet:
                await connection.receive()
            assert quiet.cancelled_caught
            await stack.aclose()
            with anyio.fail_after(10):
                assert (await connection.receive()).startswith(b"HTTP/1.1 200")


def with_tls(directory: Path, authority: trustme.CA | None = None) -> ServerSettings:
    """Return settings with a new certificate."""
    certificate = (authority or trustme.CA()).issue_cert("127.0.0.1")
    pem = directory / "both.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(pem)
    return replace(ServerSettings(directory / "served" / "records"), cert_file=pem, key_file=pem)


async def test_connection_without_a_tls_handshake_is_closed_too(tmp_path: Path) -> None:
    """They are counted from the first moment."""
    async with (
        serving(tmp_path, with_tls(tmp_path)) as server,
        connections(server.root, 3 * MOST_CONNECTIONS, b"") as opened,
    ):
        for connection in opened[: 2 * MOST_CONNECTIONS]:
            assert await is_closed(connection)


async def test_client_that_was_just_accepted_is_answered_when_the_server_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system has told it that it is connected: its handshake and its request are on their way."""
    monkeypatch.setattr(acceptor, "LAST_ARRIVALS", 5.0)
    authority, context = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(context)
    async with (
        serving(tmp_path, with_tls(tmp_path, authority)) as server,
        connections(server.root, 1, b"") as (connection,),
    ):
        await anyio.wait_all_tasks_blocked()
        server.stop()
        await anyio.wait_all_tasks_blocked()

        with anyio.fail_after(10):
            line = await TLSStream.wrap(connection, hostname="127.0.0.1", ssl_context=context)
            await line.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await line.receive()).startswith(b"HTTP/1.1 200")


async def test_client_that_has_not_asked_yet_is_answered_when_the_server_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its connection and its request, a busy machine may let others run."""
    monkeypatch.setattr(acceptor, "LAST_ARRIVALS", 5.0)
    async with serving(tmp_path) as server, connections(server.root, 1, b"") as (connection,):
        await anyio.wait_all_tasks_blocked()
        server.stop()
        with anyio.move_on_after(0.1) as quiet:
            await connection.receive()

        assert quiet.cancelled_caught
        await connection.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with anyio.fail_after(10):
            assert (await connection.receive()).startswith(b"HTTP/1.1 200")


async def test_client_without_a_handshake_does_not_keep_a_server_that_ends(tmp_path: Path) -> None:
    """It is disconnected soon, long before the time of a handshake is over."""
    with anyio.fail_after(10):
        async with (
            serving(tmp_path, with_tls(tmp_path)) as server,
            connections(server.root, 1, b"") as (connection,),
        ):
            await anyio.wait_all_tasks_blocked()
            server.stop()

            assert await is_closed(connection)
