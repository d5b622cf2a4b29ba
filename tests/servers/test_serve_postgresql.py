"""`smtd serve` on PostgreSQL: rights, what other programs write, and what happens to the database."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from anyio import to_thread

from smtd.server.accounts.rights import Right
from smtd.server.change_log import digest
from smtd.server.changes_api import VIEWS
from smtd.server.project_rights import of_store
from smtd.stores.discovery import find
from tests.build import PROJECT, full, record
from tests.command import Smtd
from tests.daemon.process import wait_until
from tests.server.process import ServerProcess
from tests.server.served import PASSWORD, Client
from tests.server.streams import Stream, streaming
from tests.servers import programs
from tests.servers.place import PostgresqlPlace
from tests.servers.postgresql import postgresql
from tests.servers.served import new_store, served
from tests.servers.server import PASSWORD as DATABASE_PASSWORD
from tests.servers.server import USER, Database, DatabaseServer, elsewhere

OTHER_EXECUTABLE = "UPDATE django_store_executable SET version = '9'"
LISTED = f"records/{PROJECT}/"
#: Seconds after which a test gives up.
PATIENCE = 60.0


@asynccontextmanager
async def clients(servers: list[ServerProcess], *names: str) -> AsyncIterator[list[Client]]:
    """Give for each of *names* a client of each server."""
    roots = await to_thread.run_sync(lambda: [server.root for server in servers])
    async with aiohttp.ClientSession() as session:
        yield [
            Client(root, session, {"Authorization": aiohttp.encode_basic_auth(name, PASSWORD)})
            for name in names
            for root in roots
        ]


async def until_status(client: Client, path: str, status: int) -> None:
    """Wait until *client* is answered with *status*; the server may restart meanwhile."""
    with anyio.fail_after(PATIENCE):
        while True:
            try:
                if (await client.get(path)).status == status:
                    return
            except aiohttp.ClientConnectionError:
                pass
            await anyio.sleep(0.02)


async def until_logged(server: ServerProcess, words: str) -> None:
    """Wait until *server* has logged *words*."""
    with anyio.fail_after(PATIENCE):
        while True:
            if words in await anyio.Path(server.log).read_text():
                return
            await anyio.sleep(0.02)


async def test_right_that_is_taken_holds_at_each_process_at_once(
    servers: list[ServerProcess], database: Database
) -> None:
    """By `smtd user grant`, by the deletion of a project, and by another program in the database."""
    smtd = servers[0].smtd
    granted = partial(
        smtd, "user", "grant", "--store", database.url, "--users", servers[0].directory / "users"
    )
    async with clients(servers, "ada", "bob") as (ada, _, bob, bob_there):
        await ada.make()
        for right, status in (("read", 200), ("none", 403), ("write", 200), ("none", 403)):
            answer = await to_thread.run_sync(granted, "bob", PROJECT, right)
            assert (answer.code, answer.err) == (0, "")
            assert [(await each.get(LISTED)).status for each in (bob, bob_there)] == [status] * 2

        assert (await ada.ask("DELETE", LISTED)).status == 204
        assert (await bob_there.make()).status == 201
        assert [(await each.get(LISTED)).status for each in (ada, bob, bob_there)] == [403, 200, 200]

        await to_thread.run_sync(database.run, "UPDATE smtd_right SET username = 'ada'")
        await until_status(bob, LISTED, 403)
        await until_status(bob_there, LISTED, 403)


async def test_stream_ends_when_a_right_is_taken_elsewhere(
    servers: list[ServerProcess], database: Database
) -> None:
    """At both processes, though only one of them did anything."""
    rights = of_store(find(database.url))
    async with clients(servers, "ada", "bob") as (ada, _, bob, bob_there):
        await ada.make()
        await to_thread.run_sync(rights.set, PROJECT, "bob", Right.READ)
        async with streaming(bob) as here, streaming(bob_there) as there:
            for stream in (here, there):
                await stream.block()
            await to_thread.run_sync(rights.set, PROJECT, "bob", Right.NONE)
            for stream in (here, there):
                assert await stream.ended()
    assert await to_thread.run_sync(rights.all) == [(PROJECT, "ada", "owner")]


async def up_to(stream: Stream, label: str) -> list[Any]:
    """Return all changes up to the first one of *label*."""
    found = await stream.changes(1)
    while found[-1]["label"] != label:
        found += await stream.changes(1)
    return found


async def test_write_past_all_processes_is_in_the_feed_of_each_once(
    servers: list[ServerProcess], database: Database
) -> None:
    """As smt writes: in several commits, by rows of its own and by rows that records share."""
    place = PostgresqlPlace(database)
    outcome = "UPDATE django_store_record SET outcome = ? WHERE label = 'full'"
    async with clients(servers, "ada") as both:
        await both[0].make()
        async with streaming(both[0]) as here, streaming(both[1], "since=0&include=records") as there:
            await place.put(full())
            await both[1].put(record("own"))
            await to_thread.run_sync(until_entered, database)
            for number in range(3):
                await to_thread.run_sync(database.run, outcome, f"{number}")
            await to_thread.run_sync(until_entered, database)
            await to_thread.run_sync(database.run, OTHER_EXECUTABLE)
            await to_thread.run_sync(until_entered, database)
            await place.remove("full")
            await to_thread.run_sync(until_entered, database)
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


def until_entered(database: Database) -> None:
    """Wait until a server has entered what others wrote. Blocks."""
    wait_until(lambda: not database.run("SELECT 1 FROM smtd_dirty LIMIT 1"))


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
    tmp_path: Path, postgresql_server: DatabaseServer
) -> None:
    """Its records are in the feed once all were read; so is what others write later, in several processes."""
    database = await to_thread.run_sync(postgresql_server.new)
    place = PostgresqlPlace(database)
    await place.put(full())

    def start() -> Any:
        return served(tmp_path / "servers", database, 2)

    context = start()
    servers = await to_thread.run_sync(context.__enter__)
    try:
        async with clients(servers, "root") as both:
            for client in both:
                await until_status(client, "api/v1/changes", 200)
                assert [one["label"] for one in (await client.changes()).json["changes"]] == ["full"]
            since = (await both[1].changes()).json["next"]
            await place.put(record("theirs"))
            with anyio.fail_after(PATIENCE):
                found = (await both[1].changes(since, wait=50)).json["changes"]
            assert [one["label"] for one in found] == ["theirs"]
            assert found[0]["digest"] == digest(record("theirs"))
            await to_thread.run_sync(
                database.run, "INSERT INTO django_store_project VALUES ('Theirs', '', '')"
            )
            for client in both:
                await until_status(client, "records/Theirs/", 200)
    finally:
        await to_thread.run_sync(context.__exit__, None, None, None)
    triggers = "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal"
    assert await to_thread.run_sync(database.run, triggers) == [(0,)]


def kept_rows(database: Database, _directory: Path) -> Callable[[], None]:
    """Keep all rows, and return what puts them back into the same tables, without triggers."""
    asked = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    tables = [name for (name,) in database.run(asked)]
    for table in tables:
        database.run(f"CREATE TABLE kept_{table} AS SELECT * FROM {table}")

    def put_back() -> None:
        filled = [
            (f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM kept_{table}", ())
            for table in tables
        ]
        database.run_all(
            ("SET session_replication_role = replica", ()),
            ("BEGIN", ()),
            (f"TRUNCATE {', '.join(tables)}", ()),
            *filled,
            ("COMMIT", ()),
        )

    return put_back


def dumped(database: Database, directory: Path, *how: str) -> Callable[[], None]:
    """Dump the database with PostgreSQL's own program, and return what restores it.

    *how*: the options of `pg_restore`; by default it restores over what is there.
    """
    place = ["-h", "127.0.0.1", "-p", str(database.server.port), "-U", USER, "-d", database.name]
    program, file = programs.postgresql(), directory / "dump"

    def run(name: str, *words: str | Path) -> None:
        command = [program / name, *place, *words]
        subprocess.run(command, check=True, env={**os.environ, "PGPASSWORD": DATABASE_PASSWORD})

    run("pg_dump", "-Fc", "-f", file)
    options = how or ("--clean", "--if-exists", "--single-transaction")
    return partial(run, "pg_restore", *options, file)


WAYS = [kept_rows, dumped] if (programs.postgresql() / "pg_dump").exists() else [kept_rows]


@pytest.mark.parametrize("dump", WAYS)
async def test_dump_that_is_put_back_is_noticed(
    servers: list[ServerProcess],
    database: Database,
    tmp_path: Path,
    dump: Callable[[Database, Path], Callable[[], None]],
) -> None:
    """By both processes: the number of the lost future is answered with 410, and work goes on."""
    async with clients(servers, "ada") as both:
        await both[0].make()
        await both[0].put(record("kept"))
        kept = (await both[0].changes()).json["next"]
        put_back = await to_thread.run_sync(dump, database, tmp_path)
        await both[1].put(record("lost"))
        lost = (await both[0].changes()).json["next"]
        for client in both:
            assert len((await client.get(LISTED)).json["records"]) == 2

        await to_thread.run_sync(put_back)

        for client in both:
            await until_status(client, f"api/v1/changes?since={lost}", 410)
            await until_status(client, f"{LISTED}lost/", 404)
        for client in both:
            await until_status(client, f"api/v1/changes?since={kept}", 200)
            assert len((await client.get(LISTED)).json["records"]) == 1
        assert (await both[1].put(record("new"))).status == 201
        for client in both:
            assert (await client.changes(lost)).status == 410
            page = (await client.changes(kept)).json
            assert [one["label"] for one in page["changes"]] == ["new"]
            assert page["next"] > lost


@pytest.mark.skipif(dumped not in WAYS, reason="pg_dump is not here")
async def test_new_database_for_a_dump_is_left_to_the_restore(
    servers: list[ServerProcess], database: Database, tmp_path: Path
) -> None:
    """No server creates tables there, in the way of those of the dump."""
    async with clients(servers, "ada") as both:
        await both[0].make()
        await both[0].put(record("kept"))
        restore = await to_thread.run_sync(dumped, database, tmp_path, "--exit-on-error")
        anew = [(f"DROP DATABASE {database.name} WITH (FORCE)", ()), (f"CREATE DATABASE {database.name}", ())]
        await to_thread.run_sync(elsewhere, database.server.ask("", anew))
        for server in servers:
            await until_logged(server, "waits until they are there again")

        await to_thread.run_sync(restore)

        for client in both:
            await until_status(client, f"{LISTED}kept/", 200)


async def test_database_that_restarts_is_served_again(tmp_path: Path) -> None:
    """Meanwhile requests get 503 with a sentence, and no write is acknowledged that is not there later."""
    manager = postgresql()
    server = await to_thread.run_sync(manager.__enter__)
    try:
        database = await to_thread.run_sync(new_store, server)
        context = served(tmp_path / "servers", database, 2)
        servers = await to_thread.run_sync(context.__enter__)
        try:
            async with clients(servers, "ada") as both:
                await _restart_under_load(server, both)
            eras = await to_thread.run_sync(database.run, "SELECT count(*) FROM smtd_era")
            # One for each start of a process; after each restart each process began one with its next write.
            assert eras == [(2 + 2 * 2,)]
        finally:
            await to_thread.run_sync(context.__exit__, None, None, None)
    finally:
        await to_thread.run_sync(manager.__exit__, None, None, None)


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
        for number, client in enumerate(both * 4):
            group.start_soon(write, client, f"writer{number}")
        for _ in range(2):
            await anyio.sleep(1.0)
            await to_thread.run_sync(server.crash)
            await anyio.sleep(0.5)
            await to_thread.run_sync(server.start)
            for client in both:
                await until_status(client, LISTED, 200)
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


async def test_lines_that_the_database_cannot_hold_are_refused(servers: list[ServerProcess]) -> None:
    """With the name of the field; the others are kept."""
    async with clients(servers, "ada") as (ada, _):
        await ada.make()
        assert (await ada.put(record("l" * 101))).status == 422
        assert (await ada.put(record("nul", stdout_stderr="a\0b"))).status == 422
        assert (await ada.put(record("fine"))).status == 201
        assert (await ada.make("P" * 51)).status == 422
        assert (await ada.get(f"{LISTED}?tags=a%00b")).json["records"] == []


def test_user_grants_rights_only_in_a_database_that_was_served(
    tmp_path: Path, postgresql_server: DatabaseServer
) -> None:
    """Else a sentence says what to do, and no table is made."""
    database = postgresql_server.new()
    smtd = Smtd(tmp_path)
    users = ("--users", tmp_path / "users")
    assert smtd("user", "add", "bob", "--password-stdin", *users).code == 2  # no standard input

    def tables() -> list[Any]:
        return database.run("SELECT count(*) FROM pg_class WHERE relname LIKE 'smtd%'")

    rights = of_store(find(database.url))
    assert rights.all() == []
    with pytest.raises(Exception, match=r"has not served .* yet; run smtd serve first"):
        rights.set(PROJECT, "bob", Right.READ)
    assert tables() == [(0,)]


def test_check_says_what_is_served(tmp_path: Path, postgresql_server: DatabaseServer) -> None:
    """An empty database, one that others made, and one of its own; and what that means."""
    empty, found = new_store(postgresql_server), postgresql_server.new()
    own = new_store(postgresql_server)
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
    assert "reported by notify" in checked(found, "notify = true\n")
    assert f"{own.shown} with no projects yet" in checked(own)


def test_mysql_is_refused(tmp_path: Path) -> None:
    """With a sentence that says what to do."""
    answer = Smtd(tmp_path)("serve", "mysql://ada@127.0.0.1/records", "--listen", "127.0.0.1:0")

    assert answer.code == 2
    assert (
        "it is not an SQLite store or PostgreSQL database of Sumatra 0.8.1; serve a new store" in answer.err
    )


def test_backup_names_the_tools_of_the_database(tmp_path: Path, database: Database) -> None:
    """And makes no file."""
    answer = Smtd(tmp_path)("backup", tmp_path / "copy", "--store", database.url)

    assert (answer.code, "such as pg_dump" in answer.err) == (2, True)
    assert not (tmp_path / "copy").exists()
