"""`smtd serve` on PostgreSQL: dumps, and what only this kind of database has."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import anyio
import asyncpg
import pytest
from anyio import to_thread

from tests.build import PROJECT, record
from tests.command import Smtd
from tests.server.process import ServerProcess
from tests.server.waiting import until_status
from tests.servers import programs
from tests.servers.clients import clients, until_logged
from tests.servers.served import served
from tests.servers.server import PASSWORD as DATABASE_PASSWORD
from tests.servers.server import USER, Database, DatabaseServer, elsewhere

LISTED = f"records/{PROJECT}/"
_SAME = (
    "reason, duration, main_file, version, outcome, timestamp, tags, diff, user, script_arguments,"
    " stdout_stderr, repeats, datastore_id, executable_id, input_datastore_id, launch_mode_id, parameters_id,"
    " project_id, repository_id"
).replace("user", '"user"')
#: What another program does when it saves a record.
COPY = f"INSERT INTO django_store_record (label, {_SAME}) SELECT 'run', {_SAME} FROM django_store_record"
AWAITED = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'"


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
        env = {**os.environ, "PGPASSWORD": DATABASE_PASSWORD}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if done.returncode and "deadlock detected" in done.stderr:
            run(name, *words)  # with a reader: the restore has changed nothing, and a person repeats it
        else:
            assert done.returncode == 0, done.stderr

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
            await until_status(client, 410, f"api/v1/changes?since={lost}")
            await until_status(client, 404, f"{LISTED}lost/")
        for client in both:
            await until_status(client, 200, f"api/v1/changes?since={kept}")
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
            await until_status(client, 200, f"{LISTED}kept/")


async def test_lines_that_the_database_cannot_hold_are_refused(servers: list[ServerProcess]) -> None:
    """With the name of the field; the others are kept."""
    async with clients(servers, "ada") as (ada, _):
        await ada.make()
        assert (await ada.put(record("l" * 101))).status == 422
        assert (await ada.put(record("nul", stdout_stderr="a\0b"))).status == 422
        assert (await ada.put(record("fine"))).status == 201
        assert (await ada.make("P" * 51)).status == 422
        assert (await ada.get(f"{LISTED}?tags=a%00b")).json["records"] == []


@pytest.fixture
def strict(tmp_path: Path, database: Database) -> Iterator[list[ServerProcess]]:
    """A server of a database that makes each transaction keep the snapshot that it began with."""
    database.run(f"ALTER DATABASE {database.name} SET default_transaction_isolation = 'serializable'")
    with served(tmp_path / "servers", database) as found:
        yield found


async def test_write_compares_with_what_is_committed_by_then(
    strict: list[ServerProcess], database: Database
) -> None:
    """Whatever the database does by default: else the server would add a second record of the label."""
    async with clients(strict, "ada") as (ada,):
        await ada.make()
        await ada.put(record("other"))
        place = {"port": database.server.port, "database": database.name, "ssl": "disable"}
        theirs = await asyncpg.connect(host="127.0.0.1", user=USER, password=DATABASE_PASSWORD, **place)
        await theirs.execute(f"BEGIN ISOLATION LEVEL READ COMMITTED; {COPY}")

        async def commit_once_awaited() -> None:
            """While the server waits for the tables; each of its tries lasts a quarter of a second."""
            while True:
                if await theirs.fetchval(AWAITED):
                    break
                await anyio.sleep(0.005)
            await theirs.execute("COMMIT")

        async with anyio.create_task_group() as group:
            group.start_soon(commit_once_awaited)
            reply = await ada.put(record("run", outcome="mine"))
        await theirs.close()

    assert reply.status == 200
    label = "SELECT outcome FROM django_store_record WHERE label = 'run'"
    assert await to_thread.run_sync(database.run, label) == [("mine",)]


def test_backup_names_the_tools_of_the_database(tmp_path: Path, database: Database) -> None:
    """And makes no file."""
    answer = Smtd(tmp_path)("backup", tmp_path / "copy", "--store", database.url)

    assert (answer.code, "such as pg_dump" in answer.err) == (2, True)
    assert not (tmp_path / "copy").exists()


def test_check_says_that_notifications_are_used(tmp_path: Path, postgresql_server: DatabaseServer) -> None:
    """In a database that others made."""
    (tmp_path / "config.toml").write_text(
        f'[stores.lab]\nlocation = "{postgresql_server.new().url}"\nnotify = true\n'
        '[server]\nlisten = "127.0.0.1:0"\nstore = "lab"\n'
    )
    (tmp_path / "config.toml").chmod(0o600)

    assert "reported by notify" in Smtd(tmp_path)("-c", tmp_path / "config.toml", "check").out
