"""Two servers of one PostgreSQL database whose users files differ."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from anyio import to_thread

from smtd.server.accounts import users_file
from smtd.server.accounts.users_file import Account
from tests.build import PROJECT, record
from tests.command import Smtd
from tests.server.process import ServerProcess
from tests.server.served import USERS
from tests.server.waiting import until_status
from tests.servers.clients import sharing, until_logged
from tests.servers.server import PASSWORD, USER, Database
from tests.servers.test_serve_duty import holder_first
from tests.terminal.screen import on_terminal

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
    async with sharing(servers) as (ada, ada_there), sharing(servers, "bob") as (bob, _):
        await bob.make("Bobs")
        await bob.put(record("hidden"), "Bobs")
        await until_status(ada_there, 200, "records/Bobs/")  # it has read its users file again
        here = (await ada.changes()).json["next"]
        there = (await ada_there.changes()).json["next"]
        await ada.put(record("run"))
        for _ in range(3):
            found = [await ada.changes(here), await ada_there.changes(there)]
            assert [reply.status for reply in found] == [200, 200]
            assert [[one["label"] for one in reply.json["changes"]] for reply in found] == [["run"]] * 2

        assert (await ada_there.changes(here)).status == 410, "there it would lack what is hidden here"


@pytest.mark.slow
def test_user_verbs_ask_once_for_the_password_of_the_database(
    smtd: Smtd, tmp_path: Path, postgresql_database: Database
) -> None:
    """As other commands do; a right is checked first and set then. With --no-input nobody is asked."""
    place = postgresql_database.url.replace(f":{PASSWORD}@", "@")
    words = ["-m", "smtd", "user", "grant", "ada", PROJECT, "read", "--store", place]
    assert smtd("user", "add", "ada", "--password-stdin", stdin=b"geheim\n").code == 0
    with on_terminal([*words, "--no-input"], tmp_path, smtd.variables(), width=250) as refused:
        assert refused.ended() == 4
    with on_terminal(words, tmp_path, smtd.variables(), width=250) as asked:
        asked.wait_for(lambda page: f"Password for {USER} at" in page.seen)
        asked.press(f"{PASSWORD}\n".encode())
        assert asked.ended() == 2

    assert "Password for" not in refused.seen
    assert asked.seen.count("Password for") == 1
    assert "smtd has not served" in asked.seen, "it could log in"
    assert PASSWORD.encode() not in asked.raw


def test_no_input_also_holds_for_the_password_of_a_new_user(smtd: Smtd) -> None:
    """The message says how to give it."""
    answer = smtd("user", "add", "ada", "--no-input")

    assert answer.code == 2
    assert answer.err == "smtd: nobody may be asked for the password; use --password-stdin\n"
