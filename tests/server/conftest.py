"""Fixtures of a server of smtd's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import cache
from pathlib import Path

import aiohttp
import pytest

from smtd.server.accounts import credentials
from tests.build import full
from tests.server.browsing import Browser
from tests.server.process import ServerProcess, server_process
from tests.server.served import Client, Served, serving
from tests.stores.places import DjangoPlace

#: A check takes a twentieth of a second by design, and every server of a test would begin with one.
matches_once = cache(credentials.matches)


@pytest.fixture(scope="module", autouse=True)
def each_password_is_checked_once() -> Iterator[None]:
    """What was checked in one test is known in the next one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(credentials, "matches", matches_once)
        yield


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server as a process of its own, with a store of its own."""
    with server_process(tmp_path / "server") as made:
        yield made


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that all tests of a module share."""
    with server_process(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
async def found(tmp_path: Path) -> DjangoPlace:
    """A store that `smt` made, with the record `full`."""
    place = DjangoPlace(tmp_path / "found" / "records")
    place.path.parent.mkdir()
    await place.put(full())
    return place


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A server with a new store."""
    async with serving(tmp_path) as server:
        yield server


@pytest.fixture
async def ada(served: Served) -> Client:
    """The owner of the project of most tests."""
    client = served.ada
    assert (await client.make()).status == 201
    return client


@pytest.fixture
async def browser(served: Served) -> AsyncIterator[Browser]:
    """What keeps the cookies of one person."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield Browser(served.root, session)
