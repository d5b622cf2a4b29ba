"""`smtd serve` on MariaDB: tables and triggers, which no transaction creates, and how they are put back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import anyio
import pytest
from anyio import to_thread

from smtd.server.change_log import digest
from tests.build import PROJECT, full, record
from tests.command import Smtd
from tests.daemon.process import wait_until
from tests.sampling import SOAK
from tests.server.process import ServerProcess, server_process
from tests.server.served import Client
from tests.server.waiting import PATIENCE, until_status
from tests.servers.clients import clients
from tests.servers.dump import Dump
from tests.servers.mariadb import mariadb
from tests.servers.served import new_store, served
from tests.servers.server import PASSWORD, USER, Database, DatabaseServer

pytestmark = pytest.mark.slow


SERVER = "mariadb_server"
LISTED = f"records/{PROJECT}/"
#: The last table that was made when the creation of tables was interrupted.
LAST = ["django_content_type", "smtd_dirty", *(["smtd_head", "django_store_record"] if SOAK else [])]
TRIGGERS = "SELECT count(*) FROM information_schema.triggers WHERE trigger_schema = database()"


# Tables and triggers


@pytest.fixture(scope="module")
def logging_server() -> Iterator[DatabaseServer]:
    """A server with a binary log."""
    with mariadb("log-bin=log", "innodb-flush-log-at-trx-commit=0") as server:
        yield server


def test_user_who_may_not_create_triggers_is_told_what_to_set(
    tmp_path: Path, logging_server: DatabaseServer
) -> None:
    """Once it is set, the next start finishes the tables of the first one."""
    database = new_store(logging_server)
    plain = database.url.replace(f"{USER}:", "plain:", 1)
    database.run(f"GRANT ALL ON {database.name}.* TO plain IDENTIFIED BY '{PASSWORD}'")

    answer = Smtd(tmp_path)("serve", plain, "--listen", "127.0.0.1:0")
    assert (answer.code, "log_bin_trust_function_creators = 1" in answer.err) == (4, True), answer

    database.run("SET GLOBAL log_bin_trust_function_creators = 1")
    with server_process(tmp_path / "server", "", plain) as server:
        assert server.root
    assert database.run("SELECT made FROM smtd_head") == [(1,)]
    assert database.run(TRIGGERS)[0][0] > 30


@pytest.mark.parametrize("last", LAST)
def test_creation_of_tables_that_was_interrupted_is_finished(
    tmp_path: Path, database: Database, last: str
) -> None:
    """As tables of smtd serve, with triggers: whichever table was the last one."""
    with served(tmp_path / "first", database):
        pass
    made = tables(database)
    in_order = ["smtd_head", *sorted(name for name in made if name.startswith("django"))]
    in_order += sorted(name for name in made if name not in in_order)
    kept = in_order[: in_order.index(last) + 1]
    database.run_all(
        ("SET foreign_key_checks = 0", ()),
        *((f"DROP TABLE {name}", ()) for name in in_order if name not in kept),
        ("UPDATE smtd_head SET made = 2, form = '', triggers = ''", ()),
    )

    with served(tmp_path / "second", database) as (server,):
        assert server.root

    assert database.run("SELECT made, form <> '' FROM smtd_head") == [(1, 1)]
    assert database.run(TRIGGERS)[0][0] > 30


async def test_dropped_trigger_is_created_again(servers: list[ServerProcess], database: Database) -> None:
    """And what was written without it is found."""
    async with clients(servers, "ada") as (ada,):
        await ada.make()
        await ada.put(record("one"))
        before = await to_thread.run_sync(database.run, TRIGGERS)

        await to_thread.run_sync(
            database.run_all,
            ("DROP TRIGGER smtd_dirty_record_update", ()),
            ("UPDATE django_store_record SET outcome = 'unnoticed'", ()),
        )

        await to_thread.run_sync(wait_until, lambda: database.run(TRIGGERS) == before)
        await until_fed(ada, "one", digest(record("one", outcome="unnoticed")))


@pytest.mark.parametrize("is_running", [True, False])
async def test_truncated_table_is_noticed(
    servers: list[ServerProcess], database: Database, is_running: bool
) -> None:
    """Though no trigger runs for that, and also if it happened while nobody served the database."""
    async with clients(servers, "ada") as (ada,):
        await ada.make()
        await ada.put(record("one"))
        since = (await ada.changes()).json["next"]
    # A table that had no row when the server looked last is as empty as before.
    await to_thread.run_sync(servers[0].restart if is_running else servers[0].stop)
    await to_thread.run_sync(
        database.run_all, ("SET foreign_key_checks = 0", ()), ("TRUNCATE django_store_record", ())
    )
    if not is_running:
        await to_thread.run_sync(servers[0].start)
    async with clients(servers, "ada") as (ada,):
        await until_status(ada, 404, f"{LISTED}one/")
        await until_fed(ada, "one", None)
        assert (await ada.changes(since)).status == 200


async def until_fed(client: Client, label: str, digest: str | None) -> None:
    """Wait until the feed has all records, and *digest* of *label*; the server may restart meanwhile."""
    found: list[str | None] = []
    with anyio.fail_after(PATIENCE):
        while found != [digest]:
            await until_status(client, 200, "api/v1/changes")
            with suppress(aiohttp.ClientConnectionError):
                changes = (await client.changes()).json.get("changes", ())
                found = [each["digest"] for each in changes if each["label"] == label]


# Restores


def tables(database: Database) -> list[str]:
    """Return the names of all tables, in order."""
    asked = "SELECT table_name FROM information_schema.tables WHERE table_schema = database() ORDER BY 1"
    return [name for (name,) in database.run(asked)]


def like_mysqldump(database: Database) -> Callable[[], None]:
    """Keep all tables, and return what puts them back as a dump does: one after the other."""
    names = tables(database)
    made = {name: database.run(f"SHOW CREATE TABLE {name}")[0][1] for name in names}
    triggers = database.run(
        "SELECT trigger_name, event_manipulation, event_object_table, action_statement"
        " FROM information_schema.triggers WHERE trigger_schema = database()"
    )
    for table in names:
        database.run(f"CREATE TABLE kept_{table} AS SELECT * FROM {table}")

    def put_back() -> None:
        statements = [("SET foreign_key_checks = 0", ())]
        for name in names:
            statements += [
                (f"DROP TABLE {name}", ()),
                (made[name], ()),
                (f"LOCK TABLES {name} WRITE, kept_{name} READ", ()),
                ("SELECT sleep(0.05)", ()),
                (f"INSERT INTO {name} SELECT * FROM kept_{name}", ()),
                ("UNLOCK TABLES", ()),
                *(
                    (f"CREATE TRIGGER {trigger} AFTER {event} ON {name} FOR EACH ROW {body}", ())
                    for trigger, event, table, body in triggers
                    if table == name
                ),
            ]
        database.run_all(*statements)

    return put_back


async def test_dump_that_is_put_back_is_noticed(servers: list[ServerProcess], database: Database) -> None:
    """The number of the lost future is answered with 410, no deletion is in the feed, and work goes on."""
    async with clients(servers, "ada") as (ada,):
        await ada.make()
        await ada.put(record("kept"))
        kept = (await ada.changes()).json["next"]
        put_back = await to_thread.run_sync(like_mysqldump, database)
        await ada.put(record("lost"))
        lost = (await ada.changes()).json["next"]

        await to_thread.run_sync(put_back)

        await until_status(ada, 410, f"api/v1/changes?since={lost}")
        await until_status(ada, 404, f"{LISTED}lost/")
        await until_status(ada, 200, f"api/v1/changes?since={kept}")
        assert (await ada.put(record("new"))).status == 201
        assert (await ada.changes(lost)).status == 410
        page = (await ada.changes(kept)).json
        assert [(one["label"], one["digest"] is None) for one in page["changes"]] == [("new", False)]
        assert page["next"] > lost
    log = await anyio.Path(servers[0].log).read_text()
    assert "were replaced while it was served" in log


@pytest.mark.parametrize("means", [Dump.reload, Dump.restore])
async def test_records_that_are_put_back_without_the_log(
    servers: list[ServerProcess], database: Database, means: Callable[[Dump], None]
) -> None:
    """All records are compared once the tables stay the same; triggers are there again."""
    async with clients(servers, "ada") as (ada,):
        await ada.make()
        await ada.put(full("kept"))
        dump = await to_thread.run_sync(Dump, database)
        await ada.put(full("lost", version="2"))
        since = (await ada.changes()).json["next"]
        before = await to_thread.run_sync(database.run, TRIGGERS)

        await to_thread.run_sync(means, dump)

        await until_status(ada, 404, f"{LISTED}lost/")
        await until_fed(ada, "lost", None)
        page = (await ada.changes(since)).json["changes"]
        assert [(one["label"], one["digest"]) for one in page] == [("lost", None)]
        assert (await ada.put(full("new", version="3"))).status == 201
        assert await to_thread.run_sync(database.run, TRIGGERS) == before
