"""Rights while they change: what counts is the right at the moment of the transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import msgspec
import pytest
from anyio import to_thread
from anyio.abc import SocketStream

from smtd.server import foreign_writes, record_form
from smtd.server.accounts import users_file
from smtd.server.accounts.rights import Right
from smtd.server.accounts.users_file import Account
from smtd.server.database import ServedDatabase
from smtd.server.foreign_writes import ForeignWrites
from smtd.server.project_rights import ProjectRights
from smtd.server.sqlite_backend import SqliteBackend
from tests.build import PROJECT, record
from tests.server.granting import grant
from tests.server.served import Client, Served
from tests.server.test_foreign_writes import run
from tests.server.waiting import until_status

LISTED = f"records/{PROJECT}/"


class SlowPut:
    """A PUT of a record whose body has begun."""

    def __init__(self, stream: SocketStream, rest: bytes) -> None:
        self._stream, self._rest = stream, rest

    async def finish(self) -> int:
        """Send the rest, and return the status of the answer."""
        await self._stream.send(self._rest)
        return int((await self._stream.receive()).split(b" ")[1])


@asynccontextmanager
async def slow_put(client: Client, path: str, body: bytes) -> AsyncIterator[SlowPut]:
    """Begin to send *body* to *path*: the server asks for it once it has let the request in."""
    at = urlsplit(client.root)
    head = [
        f"PUT /{path} HTTP/1.1",
        f"Host: {at.netloc}",
        f"Authorization: {client.login['Authorization']}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Expect: 100-continue",
    ]
    async with await anyio.connect_tcp(str(at.hostname), int(at.port or 0)) as stream:
        await stream.send("\r\n".join([*head, "", ""]).encode())
        assert (await stream.receive()).startswith(b"HTTP/1.1 100")
        await stream.send(body[:10])
        yield SlowPut(stream, body[10:])


def late_put() -> tuple[str, bytes]:
    """Return where a record is put, and what is sent there."""
    document = record_form.document(record("late"), PROJECT, precise=True)
    return f"{LISTED}late/", record_form.encoded(document)


async def test_project_recreated_while_a_body_arrives(served: Served, ada: Client) -> None:
    """It is another project, of another user."""
    async with slow_put(ada, *late_put()) as put:
        assert (await ada.ask("DELETE", LISTED)).status == 204
        assert (await served.client("bob").make()).status == 201
        assert await put.finish() == 403

    async with slow_put(ada, LISTED, b'{"name": "mine again"}') as put:
        assert await put.finish() == 403


async def test_user_removed_while_a_body_arrives(served: Served, ada: Client, tmp_path: Path) -> None:
    """Nobody asks any more."""

    def without_ada(accounts: dict[str, Account]) -> dict[str, Account]:
        return {name: account for name, account in accounts.items() if name != "ada"}

    async with slow_put(ada, *late_put()) as put:
        await to_thread.run_sync(users_file.edit, tmp_path / "users", without_ada)
        await until_status(ada, 401)
        assert await put.finish() == 401


async def test_admin_demoted_while_a_body_arrives(served: Served, ada: Client, tmp_path: Path) -> None:
    """By the users file, while a body comes."""
    root = served.client("root")

    def no_admin(accounts: dict[str, Account]) -> dict[str, Account]:
        return accounts | {"root": msgspec.structs.replace(accounts["root"], admin=False)}

    async with slow_put(root, *late_put()) as put:
        await to_thread.run_sync(users_file.edit, tmp_path / "users", no_admin)
        await until_status(root, 403)
        assert await put.finish() == 403


async def test_right_is_checked_in_the_transaction(
    served: Served, ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write is refused as soon as the right is gone, before the server has noticed."""
    bob = await grant(served, Right.OWNER)
    await ada.put(record("one"))

    async def later(_self: ServedDatabase) -> bool:
        return False

    monkeypatch.setattr(ServedDatabase, "reload", later)
    await to_thread.run_sync(ProjectRights(served.store).set, PROJECT, "bob", Right.NONE)

    assert (await bob.put(record("two"))).status == 403
    assert (await bob.ask("DELETE", f"{LISTED}one/")).status == 403
    assert (await bob.ask("DELETE", f"{LISTED}tag/x/")).status == 403
    assert (await bob.make(name="other")).status == 403
    assert (await bob.ask("DELETE", LISTED)).status == 403


async def test_rights_are_deleted_with_their_project(served: Served, ada: Client) -> None:
    """Also if others delete it in the database: who makes it anew is its only owner."""
    await to_thread.run_sync(run, served.store, "DELETE FROM django_store_project")
    await until_status(ada, 404)
    bob = served.client("bob")
    assert (await bob.make()).status == 201
    assert (await bob.put(record("secret"))).status == 201

    assert (await ada.get(f"{LISTED}secret/")).status == 403
    assert (await ada.ask("DELETE", LISTED)).status == 403
    assert right_table_of(served) == [(PROJECT, "bob", "owner")]


async def test_rights_in_a_project_recreated_by_another_program(served: Served, ada: Client) -> None:
    """They are gone, once the server has noticed."""
    await to_thread.run_sync(run, served.store, "DELETE FROM django_store_project")
    with anyio.fail_after(10):
        while right_table_of(served):
            await ada.get(LISTED)

    await to_thread.run_sync(
        run, served.store, "INSERT INTO django_store_project VALUES (?, '', '')", PROJECT
    )

    await until_status(served.client("root"), 200)
    assert (await ada.get(LISTED)).status == 403


def right_table_of(served: Served) -> list[Any]:
    return run(served.store, "SELECT project, username, level FROM smtd_right")


async def test_project_of_another_program_is_there_before_the_server_has_noticed(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example one that was put back from a backup: no request finds it missing."""

    async def later(_self: ServedDatabase) -> bool:
        return False

    monkeypatch.setattr(ServedDatabase, "reload", later)
    await to_thread.run_sync(run, served.store, "INSERT INTO django_store_project VALUES ('new', 'N', '')")

    root = served.client("root")
    assert (await root.get("records/new/")).json["name"] == "N"
    assert (await root.put(record("one"), "new")).status == 201
    assert (await root.changes(0, project="new")).status == 200
    assert (await root.get("records/other/")).status == 404


async def test_rights_are_reloaded_in_one_step(
    served: Served, ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While they are read, requests are answered by those from before."""
    database_rights: list[bool] = []
    reload = ServedDatabase.reload

    async def watched(self: ServedDatabase) -> bool:
        assert isinstance(self.backend, SqliteBackend)
        db = self.backend.db
        fetch = db.fetch

        async def spy(*asked: Any) -> Any:
            database_rights.append("ada" in self.rights and PROJECT in self.projects)
            return await fetch(*asked)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(db, "fetch", spy)
            return await reload(self)

    monkeypatch.setattr(ServedDatabase, "reload", watched)

    await to_thread.run_sync(run, served.store, "INSERT INTO django_store_project VALUES ('x', '', '')")
    with anyio.fail_after(10):
        while len(database_rights) <= 1:  # noqa: ASYNC110 - the server has no event for it
            await anyio.sleep(0.02)
    assert all(database_rights)


async def test_right_revoked_during_a_full_comparison(
    served: Served, ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is gone at once, though all records are being looked at."""
    await ada.put(record("one"))
    await grant(served, Right.READ)
    begun = anyio.Event()

    async def long(_self: ForeignWrites) -> None:
        begun.set()
        await anyio.sleep_forever()

    monkeypatch.setattr(ForeignWrites, "_compare_all", long)
    monkeypatch.setattr(foreign_writes, "COMPARISON_SHARE", 1.0)
    await to_thread.run_sync(run, served.store, "UPDATE django_store_executable SET version = '9'")
    with anyio.fail_after(10):
        await begun.wait()

    await grant(served, Right.NONE)
