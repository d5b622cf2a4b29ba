"""The account of an address, a project or the configuration gets its own password, or none."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
from anyio import to_thread

from smtd.cli.stores import located
from smtd.config import Config, StoreConfig
from smtd.stores.django.address import Address
from smtd.stores.django.postgresql import connected
from tests.command import Smtd

LAB = "http://lab.example/records/"
KINDS = [
    "http://{}lab.example/records/",
    "postgresql://{}lab.example/records",
    "mysql://{}lab.example/records",
]


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bob has a password for the server in ~/.netrc."""
    file = tmp_path / ".netrc"
    file.touch(0o600)
    file.write_text("machine lab.example login bob password bobs\n", "utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))


def account(word: str, **store: str) -> tuple[str | None, str | None]:
    """Return the account at *word*, a place for which the configuration has *store*."""
    configured = msgspec.convert({"location": word, **store}, StoreConfig)
    config = Config(stores={"lab": configured} if store else {})
    access = located(word, config, None).access
    return access.username, access.password


@pytest.mark.parametrize("kind", KINDS)
def test_password_of_netrc_is_for_its_own_login(kind: str, netrc: None) -> None:
    """For the account in an address, or for any if it has none; its own password comes first."""
    assert account(kind.format("")) == ("bob", "bobs")
    assert account(kind.format("bob@")) == ("bob", "bobs")
    assert account(kind.format("bob:other@")) == ("bob", "other")
    assert account(kind.format("ada@")) == ("ada", None)
    assert account(kind.format("ada:own@")) == ("ada", "own")


def test_netrc_is_used_last(netrc: None) -> None:
    """For the account in the configuration, if that has no password."""
    assert account(LAB, username="ada") == ("ada", None)
    assert account(LAB, username="bob") == ("bob", "bobs")
    assert account(LAB, username="bob", password="configured") == ("bob", "configured")
    assert account("http://bob@lab.example/", password="configured") == ("bob", "configured")


@pytest.mark.parametrize("kind", KINDS)
def test_password_of_the_configuration_is_for_the_account_that_it_names(kind: str) -> None:
    """Or for that of the address, if it names none."""
    assert account(kind.format("ada@"), password="configured") == ("ada", "configured")
    assert account(kind.format("ada@"), username="ada", password="configured") == ("ada", "configured")
    assert account(kind.format("ada@"), username="bob", password="bobs") == ("ada", None)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({}, ("ada", "adas")),
        ({"username": "ada"}, ("ada", "adas")),
        ({"username": "bob"}, ("bob", None)),
        ({"username": "bob", "password": "bobs"}, ("bob", "bobs")),
    ],
)
def test_password_of_a_project_is_for_the_account_that_it_names(
    said: dict[str, str], found: tuple[str, str], tmp_path: Path
) -> None:
    """A user who names another account gives its password, too."""
    (tmp_path / ".smt").mkdir()
    store = {"type": "a.HttpRecordStore", "server_url": LAB, "username": "ada", "password": "adas"}
    (tmp_path / ".smt" / "project").write_text(json.dumps({"name": "P", "record_store": store}), "utf-8")

    assert account(str(tmp_path), **said) == found


class Database:
    """Rejects every client, but asks for a password as PostgreSQL does, and records what it gets."""

    def __init__(self) -> None:
        self.passwords: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (size,) = struct.unpack("!I", await reader.readexactly(4))
        await reader.readexactly(size - 4)
        writer.write(struct.pack("!cII", b"R", 8, 3))  # in clear text
        with contextlib.suppress(asyncio.IncompleteReadError):
            _, size = struct.unpack("!cI", await reader.readexactly(5))
            self.passwords.append((await reader.readexactly(size - 4)).rstrip(b"\0").decode())
            said = b"SFATAL\0C28P01\0Mwrong\0\0"
            writer.write(struct.pack("!cI", b"E", len(said) + 4) + said)
        writer.close()


@pytest.mark.parametrize(("user", "heard"), [("ada", "adas"), ("bob", "bobs"), ("eve", "")])
async def test_password_of_pgpass_is_for_its_own_user(
    user: str, heard: str, tmp_path: Path, smtd: Smtd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user who is not in the file has none."""
    file = tmp_path / "pgpass"
    file.touch(0o600)
    file.write_text("*:*:*:bob:bobs\n*:*:*:ada:adas\n", "utf-8")
    monkeypatch.delenv("PGPASSWORD", raising=False)
    smtd.more["PGPASSFILE"] = str(file)
    database = Database()
    async with await asyncio.start_server(database.serve, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        address = f"postgresql://{user}@127.0.0.1:{port}/records?sslmode=disable"

        answer = await to_thread.run_sync(smtd, "list", address)

    assert answer.code == 4
    assert database.passwords[0] == heard


async def test_driver_itself_reads_no_password_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would block the event loop."""
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    given = []

    async def connect(**said: Any) -> None:
        given.append(said["password"])
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncpg, "connect", connect)
    for password in (None, "secret"):
        with pytest.raises(ConnectionRefusedError):
            await connected(Address("name", "127.0.0.1", 1, "records", "ada", password, tls="disable"))

    assert given == ["", "secret"]
