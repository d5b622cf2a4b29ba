"""A password appears only in requests: not in output, logs, errors, files or representations."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import pytest

from smtd.stores.discovery import find
from smtd.stores.http.session import Login
from smtd.stores.registry import open_store
from smtd.stores.shelf import inert, writing
from tests.build import record
from tests.command import Smtd
from tests.peers.line import line_to, status
from tests.peers.server import PASSWORD, SumatraServer
from tests.stores.places import dumb_place

WRONG = "wr0ng p@ss/wörd"


def traces(password: str) -> list[bytes]:
    """Return the forms in which a password may be found."""
    basic = base64.b64encode(f"ada:{password}".encode())
    return [password.encode(), quote(password, safe="").encode(), repr(password)[1:-1].encode(), basic]


def assert_untold(said: bytes, password: str) -> None:
    assert [trace for trace in traces(password) if trace in said] == []


@pytest.fixture
def refused_shelf(rich_shelf: Path) -> Path:
    """A shelf of which a server refuses some records."""

    def leave_some(held: dict[str, Any]) -> None:
        for label in held.keys() - {
            "parameters-dict",
            "parameters-json",
            "launch-slurm",
            "odd label/1:2|3.x é",
        }:
            del held[label]

    anyio.run(dumb_place(rich_shelf).edit, leave_some)
    return rich_shelf


@pytest.fixture
def small_shelf(tmp_path: Path) -> Path:
    """A shelf with one record."""
    shelf = tmp_path / "small"
    with dumb_place(shelf).pickles(shelf) as file:
        file[b"MyProject"] = inert.dump({"run": writing.build(record())})
    return shelf


@pytest.mark.parametrize(
    ("by", "password", "shelf", "code"),
    [
        # The server refuses some records, with messages that must not contain it either.
        ("address", PASSWORD, "refused_shelf", 1),
        ("address", WRONG, "small_shelf", 4),
        ("configuration", PASSWORD, "small_shelf", 0),
        ("configuration", WRONG, "small_shelf", 4),
    ],
)
def test_no_command_shows_or_stores_a_password(
    by: str,
    password: str,
    shelf: str,
    code: int,
    request: pytest.FixtureRequest,
    server: SumatraServer,
    smtd: Smtd,
) -> None:
    """Whether it is right or wrong, in the address or in the configuration."""
    left: Path = request.getfixturevalue(shelf)
    address = server.url.replace("://", f"://ada:{quote(password, safe='')}@")
    if by == "configuration":
        secret = smtd.directory / "secret"
        secret.write_text(f"{password}\n", "utf-8")
        config = smtd.home / "smtd" / "config.toml"
        config.parent.mkdir(parents=True)
        config.write_text(
            f'[stores.lab]\nlocation = "{server.url}"\nusername = "ada"\npassword_file = "{secret}"\n',
            "utf-8",
        )
        address = "lab"

    answers = [
        smtd("sync", left, address, "--project", "MyProject"),
        smtd("sync", left, address, "--project", "MyProject", "--json"),
        smtd("list", address),
        smtd("sync", "no-such-store", address),
        smtd("sync", address, address),
    ]

    assert answers[0].code == code
    for answer in answers:
        assert_untold(f"{answer.out}{answer.err}".encode(), password)
    kept = [file for file in smtd.home.rglob("*") if file.is_file() and file.name != "config.toml"]
    assert kept
    for file in kept:
        assert_untold(file.read_bytes(), password)


@pytest.mark.usefixtures("plain_client")
async def test_no_representation_and_no_error_shows_a_password() -> None:
    """Of any object that has it, and for any failure."""
    async with line_to("http://nowhere") as line:
        line.faults = {1: status(302, Location="http://elsewhere/"), 2: status(401)}
        address = line.url.replace("://", f"://ada:{PASSWORD}@")
        location = find(f"{address}/records/")
        shown = [repr(location), str(location), location.identity, repr(location.access)]
        shown.append(repr(Login("ada", PASSWORD)))
        async with open_store(location) as store:
            shown.append(repr(store))
            for _ in range(2):
                with pytest.raises(Exception, match="name") as told:
                    await store.projects()
                shown += [str(told.value), repr(told.value), repr(told.value.__cause__)]

    for text in shown:
        assert_untold(text.encode(), PASSWORD)
