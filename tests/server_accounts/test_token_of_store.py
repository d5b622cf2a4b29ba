"""The token of a store: it goes to the server of its address, in one header, and is nowhere else."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web
from anyio import to_thread

from smtd.errors import StoreRefused
from smtd.server.accounts import credentials, users_file
from smtd.server.accounts.authenticator import Authenticator
from smtd.server.accounts.users import Users
from smtd.server.accounts.users_file import Account, StoredToken
from smtd.stores.access import Access
from smtd.stores.http.driver import HTTP
from smtd.stores.http.session import Bearer
from smtd.stores.location import Location
from smtd.stores.registry import open_store
from tests.command import Smtd
from tests.peers.line import Line, line_to, status

TOKEN = f"smtd_{43 * 't'}"


@asynccontextmanager
async def server(users: Path) -> AsyncIterator[Line]:
    """A server without records that lets in whom the users file has."""
    known = Users(users)
    await known.load()
    authenticator = Authenticator(known)

    async def answer(_line: Line, request: web.BaseRequest) -> web.StreamResponse:
        user = await authenticator.authenticate(request.headers.get("Authorization"), request.remote or "")
        if user is None:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="smtd"'})
        return web.json_response([])

    async with line_to("http://nowhere") as line:
        line.faults = dict.fromkeys(range(1, 100), answer)
        yield line


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """The users file: ada has the token."""
    file = tmp_path / "users"
    ada = Account("ada", None, (StoredToken(credentials.token_digest(TOKEN), 0),))
    users_file.edit(file, lambda _known: {"ada": ada})
    return file


def location(url: str, token: str = TOKEN) -> Location:
    return Location(HTTP, Path(), None, Access(token=token), f"{url}/records/")


@pytest.mark.parametrize("by", ["token_file", "token_command", "token_env"])
async def test_configured_token_lets_a_command_in(by: str, users: Path, smtd: Smtd) -> None:
    """`smtd list` and `smtd check` with each of the keys; the token is in no output."""
    (users.parent / "token").write_text(f"{TOKEN}\n", "utf-8")
    words = {
        "token_file": f'"{users.parent / "token"}"',
        "token_command": f'["cat", "{users.parent / "token"}"]',
        "token_env": '"LAB_TOKEN"',
    }
    config = users.parent / "config.toml"
    async with server(users) as line:
        config.write_text(f'[stores.lab]\nlocation = "{line.url}/records/"\n{by} = {words[by]}\n', "utf-8")
        smtd.more["LAB_TOKEN"] = TOKEN
        answer = await to_thread.run_sync(partial(smtd, "-c", config, "list", "lab", "--json"))

    assert (answer.code, answer.err) == (0, "")
    assert TOKEN not in answer.out
    assert {headers.get("Authorization") for headers in line.headers} == {f"Bearer {TOKEN}"}


async def test_token_that_is_refused_says_how_to_get_another(users: Path) -> None:
    """And not that a user name is wrong; the token is not in the sentence."""
    async with server(users) as line:
        with pytest.raises(StoreRefused, match="the token is wrong, revoked or expired") as told:
            async with open_store(location(line.url, "smtd_wrong")) as store:
                await store.projects()

    assert "smtd_wrong" not in f"{told.value!r}{told.value}"


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_token_goes_to_no_other_host(code: int, users: Path) -> None:
    """Wherever the server sends us: a redirection is a refusal, and the other host hears nothing."""
    async with server(users) as other, line_to("http://nowhere") as line:
        line.faults = dict.fromkeys(range(1, 100), status(code, Location=f"{other.url}/records/"))
        with pytest.raises(StoreRefused, match="redirects to") as told:
            async with open_store(location(line.url)) as store:
                await store.projects()

    assert other.requests == []
    assert TOKEN not in f"{told.value!r}{told.value}"


async def test_token_goes_to_no_api_on_another_host(users: Path) -> None:
    """Wherever the server links to: only an API of its own is asked."""
    async with server(users) as other, line_to("http://nowhere") as line:
        elsewhere = f'<{other.url}/api/v1/>; rel="smtd"'
        line.faults = dict.fromkeys(range(1, 100), status(200, Link=elsewhere))
        async with open_store(location(line.url)):
            pass

    assert other.requests == []
    assert line.requests


async def test_token_is_in_no_repr_and_no_log(users: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At the most talkative level, of all that has it, whether it works or not."""
    caplog.set_level(logging.DEBUG)
    async with server(users) as line, line_to("http://nowhere") as gone:
        gone.faults = dict.fromkeys(range(1, 100), status(401))
        shown = []
        for place in (location(line.url), location(gone.url)):
            shown += [repr(place), str(place), place.identity, repr(place.access), repr(Bearer(TOKEN))]
            try:
                async with open_store(place) as store:
                    shown += [f"{store!r}", f"{await store.projects()}"]
            except StoreRefused as exc:
                shown.append(f"{exc!r}{exc.__cause__!r}{exc.__context__!r}")

    assert TOKEN not in f"{shown}{caplog.text}"
