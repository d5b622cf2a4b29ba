"""Connections: strangers do not use up the file descriptors of the daemon, and block no client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import pytest
import trustme
from anyio.abc import SocketStream

from smtd.server import door
from smtd.server.server_settings import ServerSettings
from tests.build import record
from tests.server.served import Client, Served, serving
from tests.server.streams import streaming

MOST = 5


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "MOST", MOST)


@asynccontextmanager
async def strangers(root: str, count: int, words: bytes) -> AsyncIterator[list[SocketStream]]:
    """Give connections that have sent *words*, and say no more."""
    at = urlsplit(root)
    async with AsyncExitStack() as stack:
        lines = []
        for _ in range(count):
            line = await stack.enter_async_context(
                await anyio.connect_tcp(str(at.hostname), int(at.port or 0))
            )
            await line.send(words)
            lines.append(line)
        yield lines


async def is_closed(line: SocketStream) -> bool:
    """Say whether the server closes *line*, within ten seconds."""
    with anyio.move_on_after(10):
        try:
            await line.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return True
    return False


async def test_connection_that_waits_longest_makes_room(served: Served, ada: Client) -> None:
    """A client that never finishes a request delays no other."""
    async with strangers(served.root, 4 * MOST, b"GET /records/ HTTP/1.1\r\nX: ") as lines:
        for line in lines[: 3 * MOST]:
            assert await is_closed(line)
        with anyio.fail_after(10):
            assert (await ada.put(record())).status == 201


async def test_request_that_is_answered_keeps_its_connection(served: Served, ada: Client) -> None:
    """However many come after it."""
    async with streaming(ada) as stream:
        await stream.block()
        async with strangers(served.root, 2 * MOST, b"GET") as lines:
            assert await is_closed(lines[0])
            await ada.put(record())
            (change,) = await stream.changes(1)

    assert change["label"] == "run"


async def test_no_connection_is_accepted_while_all_are_answered(served: Served, ada: Client) -> None:
    """They wait, and come in when one has gone."""
    async with AsyncExitStack() as stack:
        for _ in range(MOST):
            stream = await stack.enter_async_context(streaming(ada))
            await stream.block()
        async with strangers(served.root, 1, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n") as (line,):
            with anyio.move_on_after(0.3) as quiet:
                await line.receive()
            assert quiet.cancelled_caught
            await stack.aclose()
            with anyio.fail_after(10):
                assert (await line.receive()).startswith(b"HTTP/1.1 200")


async def test_those_who_never_speak_tls_make_room_too(tmp_path: Path) -> None:
    """They are counted from the first moment."""
    certificate = trustme.CA().issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    pem = tmp_path / "both.pem"
    settings = replace(ServerSettings(tmp_path / "served" / "records"), cert_file=pem, key_file=pem)
    async with serving(tmp_path, settings) as server, strangers(server.root, 3 * MOST, b"") as lines:
        for line in lines[: 2 * MOST]:
            assert await is_closed(line)
