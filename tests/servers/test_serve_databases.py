"""`smtd serve` on every kind of database server: rights, what others write, and what happens to it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from smtd.server.accounts.rights import Right
from smtd.server.change_log import digest
from smtd.server.changes_api import VIEWS
from smtd.server.project_rights import ProjectRights
from smtd.stores.discovery import find
from tests.build import PROJECT, full, record
from tests.command import Smtd
from tests.daemon.process import wait_until
from tests.server.process import ServerProcess
from tests.server.served import Client
from tests.server.streams import streaming
from tests.server.waiting import PATIENCE, in_thread, until_status
from tests.servers.clients import clients, until_entered, up_to
from tests.servers.fixtures import SERVERS
from tests.servers.mariadb import mariadb
from tests.servers.place import place_of
from tests.servers.postgresql import postgresql
from tests.servers.served import COUNT, new_store, served
from tests.servers.server import Database, DatabaseServer

pytestmark = pytest.mark.halved

OTHER_EXECUTABLE = "UPDATE django_store_executable SET version = '9'"
LISTED = f"records/{PROJECT}/"
#: What starts a server whose commits survive a crash.
RUN = {
    name: run
    for name, run in (
        ("postgresql", postgresql),
        ("mariadb", partial(mariadb, "innodb-flush-log-at-trx-commit=2")),
    )
    if name in SERVERS
}


@pytest.fixture
def database(database_server: DatabaseServer) -> Database:
    """An empty database on each kind of server in turn."""
    return new_store(database_server)


async def test_right_that_is_taken_holds_at_each_process_at_once(
    servers: list[ServerProcess], database: Database
) -> None:
    """By `smtd user grant`, by the deletion of a project, and by another program in the database."""
    smtd = servers[0].smtd
    granted = partial(
        smtd, "user", "grant", "--store", database.url, "--users", servers[0].directory / "users"
    )
    async with clients(servers, "ada") as (ada, *_), clients(servers, "bob") as bobs:
        await ada.make()
        for right, status in (("read", 200), ("none", 403), ("write", 200), ("none", 403)):
            answer = await to_thread.run_sync(granted, "bob", PROJECT, right)
            assert (answer.code, answer.err) == (0, "")
            assert {(await bob.get(LISTED)).status for bob in bobs} == {status}

        assert (await ada.ask("DELETE", LISTED)).status == 204
        assert (await bobs[-1].make()).status == 201
        assert [(await each.get(LISTED)).status for each in (ada, *bobs)] == [403] + [200] * len(bobs)

        await to_thread.run_sync(database.run, "UPDATE smtd_right SET username = 'ada'")
        for bob in bobs:
            await until_status(bob, 403)


async def test_stream_ends_when_a_right_is_taken_elsewhere(
    servers: list[ServerProcess], database: Database
) -> None:
    """At each process, though only one of them did anything."""
    rights = ProjectRights(find(database.url))
    async with (
        clients(servers, "ada") as (ada, *_),
        clients(servers, "bob") as bobs,
        AsyncExitStack() as stack,
    ):
        await ada.make()
        await to_thread.run_sync(rights.set, PROJECT, "bob", Right.READ)
        streams = [await stack.enter_async_context(streaming(bob)) for bob in bobs]
        for stream in streams:
            await stream.block()
        await to_thread.run_sync(rights.set, PROJECT, "bob", Right.NONE)
        for stream in streams:
            assert await stream.ended()
    assert await to_thread.run_sync(rights.all) == [(PROJECT, "ada", "owner")]


async def test_write_past_all_processes_is_in_the_feed_of_each_once(
    servers: list[ServerProcess], database: Database
) -> None:
    """As smt writes: in several commits, by rows of its own and by rows that records share."""
    place = place_of(database)
    outcome = "UPDATE django_store_record SET outcome = ? WHERE label = 'full'"
    async with clients(servers, "ada") as both:
        await both[0].make()
        async with streaming(both[0]) as here, streaming(both[-1], "since=0&include=records") as there:
            await place.put(full())
            await both[-1].put(record("own"))
            await until_entered(database)
            for number in range(3):
                await to_thread.run_sync(database.run, outcome, f"{number}")
            await until_entered(database)
            await to_thread.run_sync(database.run, OTHER_EXECUTABLE)
            await until_entered(database)
            await place.remove("full")
            await until_entered(database)
            await both[0].put(record("last"))
            page = (await both[0].changes()).json["changes"]
            for stream in (here, there):
                found = await up_to(stream, "last")
                numbers = [change["seq"] // VIEWS for change in found]
                assert numbers == sorted(set(numbers))
                last = {change["label"]: change["seq"] // VIEWS for change in found}
                assert last == {change["label"]: change["seq"] // VIEWS for change in page}
                digests = [change["digest"] for change in found if change["label"] == "full"]
                # A record that is sent along may be newer than its change.
                assert stream is there or len(digests) == len(set(digests)) >= 3, "each content once"
                assert next(change["digest"] for change in found if change["label"] == "own") == digest(
                    record("own")
                )
    assert [change["label"] for change in page] == ["own", "full", "last"]


async def test_record_that_another_program_writes_is_never_answered_from_the_log(
    servers: list[ServerProcess], database: Database
) -> None:
    """A client with the ETag of before gets the new record, entered or not."""
    async with clients(servers, "ada") as both:
        await both[0].make()
        await both[0].put(full())
        for number in range(10):
            etag = (await both[0].get(f"{LISTED}full/")).etag
            outcome = "UPDATE django_store_record SET outcome = ?"
            await to_thread.run_sync(database.run, outcome, f"edit {number}")
            for client in both:
                reply = await client.get(f"{LISTED}full/", If_None_Match=etag)
                assert (reply.status, reply.json["outcome"]) == (200, f"edit {number}")


async def test_store_that_others_made_is_served_without_triggers(
    tmp_path: Path, database_server: DatabaseServer
) -> None:
    """Its records are in the feed once all were read; so is what others write later, in several processes."""
    database = await to_thread.run_sync(database_server.new)
    place = place_of(database)
    await place.put(full())
    async with (
        in_thread(served(tmp_path / "servers", database, COUNT[database_server.scheme])) as servers,
        clients(servers, "root") as both,
    ):
        for client in both:
            await until_status(client, 200, "api/v1/changes")
            assert [one["label"] for one in (await client.changes()).json["changes"]] == ["full"]
        since = (await both[-1].changes()).json["next"]
        await place.put(record("theirs"))
        with anyio.fail_after(PATIENCE):
            found = (await both[-1].changes(since, wait=50)).json["changes"]
        assert [one["label"] for one in found] == ["theirs"]
        assert found[0]["digest"] == digest(record("theirs"))
        await to_thread.run_sync(
            database.run,
            "INSERT INTO django_store_project (id, name, description) VALUES ('Theirs', '', '')",
        )
        for client in both:
            await until_status(client, 200, "records/Theirs/")
    triggers = "SELECT count(*) FROM information_schema.triggers WHERE trigger_name LIKE 'smtd%'"
    triggers += f" AND trigger_schema IN ('public', '{database.name}')"
    assert await to_thread.run_sync(database.run, triggers) == [(0,)]


@pytest.mark.parametrize("run", RUN)
@pytest.mark.slow
async def test_database_that_restarts_is_served_again(tmp_path: Path, run: str) -> None:
    """Meanwhile requests get 503 with a sentence, and no write is acknowledged that is not there later."""
    async with in_thread(RUN[run]()) as server:
        database = await to_thread.run_sync(new_store, server)
        async with in_thread(served(tmp_path / "servers", database, COUNT[server.scheme])) as servers:
            async with clients(servers, "ada") as both:
                await _restart_under_load(server, both)
            eras = await to_thread.run_sync(database.run, "SELECT count(*) FROM smtd_era")
            # One for each start of a process; after each restart each process began one with its next write.
            assert eras == [(len(servers) * (1 + 2),)]


def _has(acknowledged: list[str], count: int) -> bool:
    return len(acknowledged) >= count


async def _restart_under_load(server: DatabaseServer, both: list[Client]) -> None:
    assert server.crash is not None
    assert server.start is not None
    await both[0].make()
    acknowledged: list[str] = []
    refusals: set[tuple[int, str]] = set()

    is_over = anyio.Event()

    async def write(client: Client, name: str) -> None:
        for number in count():
            if is_over.is_set():
                return
            reply = await client.put(record(f"{name}-{number}"))
            if reply.status == 201:
                acknowledged.append(f"{name}-{number}")
            else:
                refusals.add((reply.status, reply.json["error"]))
                await anyio.sleep(0.02)

    async with anyio.create_task_group() as group:
        for number, client in enumerate(both * (8 // len(both))):
            group.start_soon(write, client, f"writer{number}")
        for _ in range(2):
            await anyio.sleep(1.0)
            await to_thread.run_sync(server.crash)
            await anyio.sleep(0.5)
            await to_thread.run_sync(server.start)
            for client in both:
                await until_status(client, 200)
            before = len(acknowledged)
            await to_thread.run_sync(wait_until, partial(_has, acknowledged, before + 10))
        is_over.set()

    assert {status for status, _ in refusals} == {503}
    for client in both:
        shown = (await client.get(LISTED)).json["records"]
        labels = {address.rstrip("/").rpartition("/")[2] for address in shown}
        assert set(acknowledged) <= labels
        feed = (await client.changes()).json["changes"]
        assert {change["label"] for change in feed} == labels


def test_user_grants_rights_only_in_a_database_that_was_served(
    tmp_path: Path, database_server: DatabaseServer
) -> None:
    """Else a sentence says what to do, and no table is made."""
    database = database_server.new()
    smtd = Smtd(tmp_path)
    users = ("--users", tmp_path / "users")
    assert smtd("user", "add", "bob", "--password-stdin", *users).code == 2  # no standard input

    def tables() -> list[Any]:
        return database.run(
            "SELECT count(*) FROM information_schema.tables WHERE table_name = 'smtd_head'"
            f" AND table_schema IN ('public', '{database.name}')"
        )

    rights = ProjectRights(find(database.url))
    assert rights.all() == []
    with pytest.raises(Exception, match=r"has not served .* yet; run smtd serve first"):
        rights.set(PROJECT, "bob", Right.READ)
    assert tables() == [(0,)]


def test_check_says_what_is_served(tmp_path: Path, database_server: DatabaseServer) -> None:
    """An empty database, one that others made, and one of its own; and what that means."""
    empty, found = new_store(database_server), database_server.new()
    own = new_store(database_server)
    with served(tmp_path / "servers", own):
        pass
    smtd = Smtd(tmp_path)

    def checked(database: Database, more: str = "") -> str:
        (tmp_path / "config.toml").write_text(
            f'[stores.lab]\nlocation = "{database.url}"\n{more}'
            '[server]\nlisten = "127.0.0.1:0"\nstore = "lab"\n'
        )
        (tmp_path / "config.toml").chmod(0o600)
        return smtd("-c", tmp_path / "config.toml", "check").out

    assert "is empty; the server creates the tables" in checked(empty)
    assert "what other programs write is found by reading all records" in checked(found)
    assert f"{own.shown.partition(':')[2]} with no projects yet" in checked(own)
