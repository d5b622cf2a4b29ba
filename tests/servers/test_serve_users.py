"""Two servers of one PostgreSQL database whose users files differ."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from anyio import to_thread

from smtd.server.accounts import users_file
from smtd.server.accounts.users_file import Account
from tests.build import record
from tests.server.process import ServerProcess
from tests.server.served import USERS
from tests.servers.clients import until_status
from tests.servers.server import Database
from tests.servers.test_serve_duty import holder_first, until_logged
from tests.servers.test_serve_processes import clients

DIFFERS = "is also served with another users file"


def reading_all(accounts: dict[str, Account]) -> dict[str, Account]:
    """Let ada read all projects."""
    return accounts | {"ada": msgspec.structs.replace(accounts["ada"], everywhere="read")}


async def edit(server: ServerProcess, change: Callable[[dict[str, Account]], dict[str, Account]]) -> None:
    """Change the users file of *server* alone."""
    await to_thread.run_sync(users_file.edit, server.directory / "users", change)


@pytest.mark.slow
async def test_server_whose_users_file_differs_says_so_once(
    servers: list[ServerProcess], tmp_path: Path, database: Database
) -> None:
    """So does smtd check; when the files are the same again, both are silent."""
    holder, other = await holder_first(servers)

    def check() -> str:
        config = other.directory / "check.toml"
        config.write_text(
            f'[stores.lab]\nlocation = "{database.url}"\n[server]\nlisten = "127.0.0.1:0"\nstore = "lab"\n'
            f'users_file = "{other.directory / "users"}"\n'
        )
        config.chmod(0o600)
        answer = other.smtd("-c", config, "check")
        return answer.out + answer.err

    assert "another users file" not in await to_thread.run_sync(check)
    await edit(other, reading_all)

    await until_logged(other, DIFFERS)
    assert "runs with another users file than" in await to_thread.run_sync(check)
    await edit(other, lambda _: USERS)
    assert "another users file" not in await to_thread.run_sync(check)
    await edit(holder, reading_all)
    await until_logged(other, DIFFERS, 2)


async def test_client_that_stays_at_one_server_is_not_disturbed_by_what_the_other_shows(
    servers: list[ServerProcess],
) -> None:
    """The user sees other projects there; the numbers of each server stay good at that server."""
    await edit(servers[1], reading_all)
    async with clients(servers) as (ada, ada_there), clients(servers, "bob") as (bob, _):
        await bob.make("Bobs")
        await bob.put(record("hidden"), "Bobs")
        await until_status(ada_there, "records/Bobs/", 200)  # it has read its users file again
        here = (await ada.changes()).json["next"]
        there = (await ada_there.changes()).json["next"]
        await ada.put(record("run"))
        for _ in range(3):
            found = [await ada.changes(here), await ada_there.changes(there)]
            assert [reply.status for reply in found] == [200, 200]
            assert [[one["label"] for one in reply.json["changes"]] for reply in found] == [["run"]] * 2

        assert (await ada_there.changes(here)).status == 410, "there it would lack what is hidden here"
