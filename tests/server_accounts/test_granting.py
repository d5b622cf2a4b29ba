"""`smtd user grant`: rights in single projects, in the database of a server that may run meanwhile."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio import to_thread

from smtd.cli.own_server import own_store
from smtd.errors import StoreRefused, StoreUnreachable, UsageError
from smtd.server import new_file
from smtd.server.accounts import users_file
from smtd.server.accounts.rights import Right
from smtd.server.accounts.users_file import Account
from smtd.server.project_rights import ProjectRights
from tests.build import PROJECT
from tests.command import Answer, Smtd
from tests.peers.environments import Environment
from tests.peers.project import SumatraProject
from tests.server.served import Served, serving
from tests.server.waiting import until_status


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The store of a server that does not run, with one project."""
    file = tmp_path / "store.sqlite"
    new_file.create(file)
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("INSERT INTO django_store_project (id, name, description) VALUES (?, '', '')", (PROJECT,))
    return file


@pytest.fixture
def users(tmp_path: Path) -> Path:
    file = tmp_path / "users"
    users_file.edit(file, lambda _: {name: Account(name) for name in ("ada", "bob")})
    return file


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A running server, in which ada has made a project."""
    async with serving(tmp_path) as server:
        await server.ada.make()
        yield server


async def run(smtd: Smtd, *words: str | Path) -> Answer:
    """Run `smtd user` beside the server of this process."""
    return await to_thread.run_sync(partial(smtd, "user", *words))


def test_right_is_given_changed_and_taken(store: Path) -> None:
    """There is one row for a user in a project, or none."""
    for right in (Right.READ, Right.OWNER, Right.WRITE):
        ProjectRights(store).set(PROJECT, "ada", right)
    ProjectRights(store).set(PROJECT, "bob", Right.READ)
    assert ProjectRights(store).all() == [(PROJECT, "ada", "write"), (PROJECT, "bob", "read")]

    ProjectRights(store).set(PROJECT, "ada", Right.NONE)

    assert ProjectRights(store).all() == [(PROJECT, "bob", "read")]


def test_unknown_project_is_reported_with_the_likely_one(store: Path) -> None:
    """A right in it would hold for a future project; but an existing right can be revoked."""
    with pytest.raises(UsageError, match=f"there is no project 'MyProjekt' .*; did you mean '{PROJECT}'"):
        ProjectRights(store).set("MyProjekt", "ada", Right.READ)

    ProjectRights(store).set("MyProjekt", "ada", Right.NONE)
    assert ProjectRights(store).all() == []


def test_removed_user_leaves_no_right(store: Path) -> None:
    """Or the next one of the name would have it."""
    ProjectRights(store).set(PROJECT, "ada", Right.OWNER)
    ProjectRights(store).set(PROJECT, "bob", Right.READ)

    ProjectRights(store).remove_user("ada")

    assert ProjectRights(store).all() == [(PROJECT, "bob", "read")]


def test_store_that_was_never_served_is_left_as_it_is(tmp_path: Path) -> None:
    """Nothing is added to a store of Sumatra by a verb for users."""
    file = tmp_path / "found.sqlite"
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("CREATE TABLE django_store_project (id TEXT)")
    before = file.read_bytes()

    assert ProjectRights(file).all() == []
    ProjectRights(file).remove_user("ada")
    with pytest.raises(UsageError, match=r"smtd has not served .* yet; run smtd serve first"):
        ProjectRights(file).set(PROJECT, "ada", Right.READ)

    assert file.read_bytes() == before


def test_file_that_is_not_a_database_is_reported(tmp_path: Path) -> None:
    """Neither made nor touched."""
    with pytest.raises(StoreUnreachable, match="No such file"):
        ProjectRights(tmp_path / "nothing").all()
    assert not (tmp_path / "nothing").exists()
    (tmp_path / "text").write_text("no database" * 100, "utf-8")
    with pytest.raises(StoreRefused, match="is damaged"):
        ProjectRights(tmp_path / "text").all()


def test_trigger_of_others_does_not_run(store: Path) -> None:
    """Whoever can write the file could else let smtd give them a right."""
    with closing(sqlite3.connect(store)) as db, db:
        db.execute(
            "CREATE TRIGGER evil AFTER INSERT ON smtd_right BEGIN UPDATE smtd_right SET level = 'owner'; END"
        )

    with pytest.raises(StoreRefused, match="has the trigger or view 'evil'"):
        ProjectRights(store).set(PROJECT, "ada", Right.READ)

    assert ProjectRights(store).all() == []


async def test_right_counts_at_once_in_a_running_server(served: Served, smtd: Smtd, tmp_path: Path) -> None:
    """To read, to own, and not any more."""
    bob, page = served.client("bob"), f"records/{PROJECT}/"
    words = ("--store", served.store, "--users", tmp_path / "users")
    assert (await bob.get(page)).status == 403

    answer = await run(smtd, "grant", "bob", PROJECT, "read", *words)
    assert (answer.code, answer.out, answer.err) == (0, f"bob: read in {PROJECT}\n", "")
    await until_status(bob, 200)
    assert (await bob.ask("DELETE", page)).status == 403

    listed = await run(smtd, "list", "--json", *words)
    assert {user["name"]: user["projects"] for user in listed.json["users"]} == {
        "ada": {PROJECT: "owner"},
        "bob": {PROJECT: "read"},
        "reader": {},
        "root": {},
    }
    assert f"bob     own projects, read in {PROJECT}; password\n" in (await run(smtd, "list", *words)).out

    assert (await run(smtd, "grant", "bob", PROJECT, "none", *words)).code == 0
    await until_status(bob, 403)


async def test_right_everywhere_counts_within_a_second(served: Served, smtd: Smtd, tmp_path: Path) -> None:
    """It is in the users file, and needs no store."""
    bob, page = served.client("bob"), f"records/{PROJECT}/"
    users = tmp_path / "users"
    assert (await bob.get(page)).status == 403

    answer = await run(smtd, "grant", "bob", "*", "read", "--users", users)

    assert (answer.code, answer.out) == (0, "bob: read in all projects\n")
    await until_status(bob, 200)


async def test_removed_user_is_shut_out_and_leaves_no_right(
    served: Served, smtd: Smtd, tmp_path: Path
) -> None:
    """Of a running server; the project stays."""
    users = tmp_path / "users"
    ada, page = served.ada, f"records/{PROJECT}/"

    answer = await run(smtd, "remove", "ada", "--users", users, "--store", served.store)

    assert (answer.code, answer.out) == (0, "removed user ada\n")
    await until_status(ada, 401)
    assert await to_thread.run_sync(ProjectRights(served.store).all) == []
    assert (await served.client("root").get(page)).status == 200


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["eve", PROJECT, "read", "--store", "{store}"], "there is no user 'eve'"),
        (["ada", PROJECT, "read"], "the server has no store yet; run smtd serve, or name the store"),
        (["ada", "*", "owner"], "only an admin owns all projects"),
        (["ada", "\x1b[2J", "read", "--store", "{store}"], r"there is no project '\x1b[2J'"),
        (["ada", PROJECT, "admin"], "'admin' is not one of"),
        (["ada", PROJECT, "read", "--store", "http://127.0.0.1:1/"], "it is no SQLite file"),
        (["ada", PROJECT, "read", "--store", "{store}.gone"], "there is no record store"),
    ],
)
def test_words_that_mean_nothing_are_reported(
    words: list[str], told: str, store: Path, users: Path, smtd: Smtd
) -> None:
    """In one sentence, and nothing is given."""
    answer = smtd("user", "grant", *[word.format(store=store) for word in words], "--users", users)

    assert answer.code in (2, 4)
    assert told in answer.err
    assert "Traceback" not in answer.err
    assert ProjectRights(store).all() == []
    assert users_file.read(users) == {name: Account(name) for name in ("ada", "bob")}


@pytest.mark.parametrize("by", ["configuration", "state directory"])
def test_store_is_found_as_the_server_finds_it(by: str, store: Path, users: Path, smtd: Smtd) -> None:
    """That of [server], else the one that smtd serve makes for itself; users are beside the configuration."""
    config = users.with_name("config.toml")
    config.write_text(f'[stores.lab]\nlocation = "{store}"\n[server]\nstore = "lab"\n', "utf-8")
    if by == "state directory":
        config.write_text("", "utf-8")
        own = own_store(smtd.home / "smtd")
        own.parent.mkdir(parents=True)
        store = store.rename(own)

    assert smtd("user", "grant", "ada", PROJECT, "write", "-c", config).code == 0
    listed = smtd("user", "list", "--json", "-c", config).json["users"]
    assert [user["projects"] for user in listed] == [{PROJECT: "write"}, {}]
    assert smtd("user", "remove", "ada", "-c", config).code == 0

    assert ProjectRights(store).all() == []


def test_user_is_added_with_rights_in_projects(store: Path, users: Path, smtd: Smtd) -> None:
    """In single ones and in all; of several the highest counts."""
    rights = [f"--project={word}" for word in (f"{PROJECT}:owner", f"{PROJECT}:read", "*:write", "*:read")]
    words = [*rights, "--store", str(store), "--users", str(users)]

    answer = smtd("user", "add", "eve", "--password-stdin", *words, stdin=b"geheim\n")

    assert (answer.code, answer.out, answer.err) == (0, "added user eve\n", "")
    assert users_file.read(users)["eve"].everywhere == "write"
    assert ProjectRights(store).all() == [(PROJECT, "eve", "owner")]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([f"--project={PROJECT}"], "is not a project and read, write or owner"),
        ([f"--project={PROJECT}:admin"], "is not a project and read, write or owner"),
        ([f"--project={PROJECT}:none"], "is not a project and read, write or owner"),
        (["--project=:read"], "is not a project and read, write or owner"),
        (["--project=*:owner"], "only an admin owns all projects"),
        (["--project=MyProjekt:read"], f"did you mean '{PROJECT}'?"),
    ],
)
def test_user_is_not_added_with_a_right_that_means_nothing(
    words: list[str], told: str, store: Path, users: Path, smtd: Smtd
) -> None:
    """The error comes before the password prompt."""
    answer = smtd("user", "add", "eve", *words, "--store", store, "--users", users)

    assert (answer.code, told in answer.err) == (2, True), answer.err
    assert "eve" not in users_file.read(users)
    assert ProjectRights(store).all() == []


def test_two_who_grant_at_once_both_do(store: Path) -> None:
    """A server or another command that writes is waited for."""

    async def both() -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                give: Any = partial(ProjectRights(store).set, PROJECT, f"user{number}", Right.READ)
                tasks.start_soon(to_thread.run_sync, give)

    anyio.run(both)

    assert len(ProjectRights(store).all()) == 20


class OnNetwork(SumatraProject):
    """A project whose `smt` asks no proxy: httplib2 fails where one is set, even for this machine."""

    def variables(self) -> dict[str, str]:
        return super().variables() | {"http_proxy": "", "https_proxy": ""}


async def test_smt_is_let_in_by_a_token_in_the_place_of_a_password(
    served: Served, smtd: Smtd, django_environment: Environment, tmp_path: Path
) -> None:
    """Sumatra takes it from the address as it is, and makes a project that is then its user's own."""
    users = tmp_path / "users"
    token = (await run(smtd, "token", "bob", "--users", users)).out.strip()
    project = OnNetwork(tmp_path / "project", django_environment)
    address = served.root.replace("://", f"://bob:{token}@") + "records/"

    def work() -> list[str]:
        project.create_code()
        project.init(
            "Tokens", f"--store={address}", "--addlabel=cmdline", "--executable=python", "--main=main.py"
        )
        project.run(label="first")
        project.comment("first", "by token")
        return project.labels()

    with anyio.fail_after(10):  # the server reads its users again within a second
        while (await served.client("bob", token).get("records/")).status != 200:
            await anyio.lowlevel.checkpoint()
    assert await to_thread.run_sync(work) == ["first"]
    assert (await served.client("bob").get("records/Tokens/first/")).json["outcome"].strip() == "by token"
    assert (await served.client("ada").get("records/Tokens/")).status == 403
