"""A server of smtd's own in the process of a test, with a client for each user."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import anyio
from anyio import to_thread
from anyio.abc import TaskStatus
from yarl import URL

from smtd.records.record import Record
from smtd.server import record_form
from smtd.server.accounts import credentials, users_file
from smtd.server.accounts.authenticator import Authenticator
from smtd.server.accounts.users import Users
from smtd.server.accounts.users_file import Account
from smtd.server.server_settings import ServerSettings
from smtd.server.serving import serve
from tests.build import PROJECT
from tests.server import documented

PASSWORD = "s3cret"
#: Everybody has the same password, which takes a while to hash.
HASH = credentials.hashed(PASSWORD)
USERS = {
    "ada": Account("ada", HASH),
    "bob": Account("bob", HASH),
    "root": Account("root", HASH, admin=True),
    "reader": Account("reader", HASH, everywhere="read"),
}


def login(name: str, password: str = PASSWORD) -> dict[str, str]:
    """Return the header by which the user *name* logs in."""
    return {"Authorization": aiohttp.encode_basic_auth(name, password)}


@dataclass(frozen=True)
class Reply:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Its body."""
        return json.loads(self.body)

    @property
    def etag(self) -> str:
        """The ETag."""
        return self.headers["ETag"]


@dataclass
class Client:
    """A client of the server at *root*; anonymous without *login*. The document must have every answer."""

    root: str
    session: aiohttp.ClientSession
    login: Mapping[str, str] = field(default_factory=dict)

    async def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        """Ask for *path* below the root, sent as it is; underscores in names of *headers* are dashes."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            more.setdefault("Content-Type", "application/json")
        data = None if body is None else io.BytesIO(body)
        url = URL(f"{self.root}{path}", encoded=True)
        async with self.session.request(
            method, url, data=data, headers={**self.login, **more}, allow_redirects=False
        ) as answer:
            reply = Reply(answer.status, answer.headers.copy(), await answer.read())
        asked = f"/{path}".partition("?")[0]
        documented.check(method, asked, reply.status, reply.headers, reply.body)
        return reply

    async def get(self, path: str, **headers: str) -> Reply:
        return await self.ask("GET", path, None, **headers)

    async def put(self, record: Record, project: str = PROJECT, **headers: str) -> Reply:
        """Put *record*, whose label needs no quoting."""
        body = record_form.encoded(record_form.document(record, project, precise=True))
        return await self.ask("PUT", f"records/{project}/{record.label}/", body, **headers)

    async def make(self, project: str = PROJECT, **info: str) -> Reply:
        """Make *project*."""
        return await self.ask("PUT", f"records/{project}/", json.dumps(info).encode())

    async def changes(self, since: int | str = 0, **query: Any) -> Reply:
        """Ask for changes after *since*."""
        more = "".join(f"&{name}={value}" for name, value in query.items())
        return await self.get(f"api/v1/changes?since={since}{more}")


@dataclass
class Served:
    """A running server."""

    root: str
    store: Path
    session: aiohttp.ClientSession
    scope: anyio.CancelScope

    def client(self, name: str = "", password: str = PASSWORD) -> Client:
        """Return a client of the user *name*."""
        return Client(self.root, self.session, login(name, password) if name else {})

    @property
    def ada(self) -> Client:
        """The first user."""
        return self.client("ada")

    def stop(self) -> None:
        """End it in an orderly way."""
        self.scope.cancel()


def _make_users(path: Path) -> None:
    if not path.exists():
        users_file.edit(path, lambda _: USERS)


@asynccontextmanager
async def client_of(root: str, name: str = "ada") -> AsyncIterator[Client]:
    """Give a client of the server at *root*, the user *name*."""
    async with aiohttp.ClientSession() as session:
        yield Client(root, session, login(name))


@asynccontextmanager
async def serving(directory: Path, settings: ServerSettings | None = None) -> AsyncIterator[Served]:
    """Run a server for the length of a `with` block; its store and its users are in *directory*."""
    made = settings or ServerSettings(directory / "served" / "records")
    made = made if made.url else replace(made, port=0)
    store = made.store if isinstance(made.store, Path) else Path()
    users = directory / "users"
    await to_thread.run_sync(_make_users, users)
    known = Users(users)
    await known.load()
    async with aiohttp.ClientSession() as session, anyio.create_task_group() as group:
        scope = anyio.CancelScope()

        async def run(*, task_status: TaskStatus[str]) -> None:
            with scope:
                await serve(made, Authenticator(known), task_status=task_status)

        yield Served(await group.start(run), store, session, scope)
        scope.cancel()
