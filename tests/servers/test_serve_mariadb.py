"""`smtd serve` on MariaDB: one process, texts that are alike, and transactions."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import anyio
import pytest
from anyio import to_thread
from asyncmy.errors import OperationalError

from smtd.server.opening import open_backend
from smtd.stores.discovery import find
from smtd.stores.django.connection import DatabaseConnection
from smtd.stores.django.record_rows import record_of
from tests.build import PROJECT, key, record
from tests.daemon.process import wait_until
from tests.server.bulk import wanted, write
from tests.server.process import ServerProcess, server_process
from tests.server.waiting import in_thread
from tests.servers.clients import clients, until_entered, until_logged
from tests.servers.place import MysqlPlace
from tests.servers.served import served
from tests.servers.server import Database, DatabaseServer
from tests.servers.test_serve_processes import KILLS, Siege

SERVER = "mariadb_server"
LISTED = f"records/{PROJECT}/"
HOLDER = "is_used_lock(concat('smtd-serve:', md5(database())))"
TRIGGERS = "SELECT count(*) FROM information_schema.triggers WHERE trigger_schema = database()"


@pytest.fixture
def second(tmp_path: Path, database: Database) -> Iterator[ServerProcess]:
    """Another process for *database*, which does not run yet."""
    with server_process(tmp_path / "second", "", database.url, start=False) as made:
        yield made


# One process


def test_second_process_is_refused_until_the_first_one_ends(
    servers: list[ServerProcess], second: ServerProcess
) -> None:
    """With a sentence that says where the first one runs; nothing needs to time out after it is killed."""
    second.start(ready=False)
    assert second.ended() == 2
    assert "already served by another process on localhost; only one process can" in second.log.read_text()

    servers[0].signal(signal.SIGKILL)
    servers[0].ended()
    second.start()


@pytest.mark.slow
async def test_process_that_was_stopped_writes_nothing_beside_its_successor(
    servers: list[ServerProcess], second: ServerProcess, database: Database
) -> None:
    """It lost the lock meanwhile; when it continues, it shows nothing old, and serves no more."""
    async with clients(servers, "ada") as (ada,):
        await ada.make()
        await ada.put(record("kept"))
        servers[0].signal(signal.SIGSTOP)
        ((holder,),) = await to_thread.run_sync(database.run, f"SELECT {HOLDER}")
        await to_thread.run_sync(database.run, f"KILL {holder}")
        await to_thread.run_sync(second.start)
        async with clients([second], "ada") as (new,):
            assert (await new.put(record("new"))).status == 201

            answers: list[int] = []

            async def ask(label: str) -> None:
                with suppress(aiohttp.ClientError):
                    answers.append((await ada.put(record(label))).status)

            async with anyio.create_task_group() as group:
                for number in range(3):
                    group.start_soon(ask, f"late-{number}")
                await anyio.sleep(0.1)  # the requests wait for the process
                servers[0].signal(signal.SIGCONT)
                await until_logged(servers[0], "already served by another process")

            assert set(answers) <= {503}
            listed = (await new.changes()).json["changes"]
            assert [change["label"] for change in listed] == ["kept", "new"]


async def test_lost_connection_is_no_reason_to_end(servers: list[ServerProcess], database: Database) -> None:
    """The process gets the lock again, as nobody else wants it."""
    async with clients(servers, "ada") as (ada,):
        await ada.make()
        ((before,),) = await to_thread.run_sync(database.run, f"SELECT {HOLDER}")
        await to_thread.run_sync(database.run, f"KILL {before}")

        await to_thread.run_sync(
            wait_until, lambda: database.run(f"SELECT {HOLDER}") not in [[(None,)], [(before,)]]
        )

        assert (await ada.put(record("one"))).status == 201
        await MysqlPlace(database).put(record("theirs"))
        await until_entered(database)


@pytest.mark.slow
async def test_killed_process_loses_nothing_that_it_acknowledged(
    servers: list[ServerProcess], database: Database
) -> None:
    """Programs that write beside it while it is dead are in the feed, too, once it runs again."""
    siege = Siege(servers, database)
    for turn in range(KILLS):
        async with clients(servers, "ada") as (ada,):
            await ada.make()
            await siege.load([ada, ada], killed=servers[0])
        await to_thread.run_sync(servers[0].start)
        async with clients(servers, "ada") as (ada,):
            await siege.check(ada)
        assert siege.ledger.tally.wrong == [], turn

    assert siege.ledger.tally.counts["answers to writers"] > 10 * KILLS
    assert siege.ledger.tally.counts["writes past the server"] > KILLS
    assert "followers that had to start again" not in siege.ledger.tally.counts


# Texts and transactions


async def test_labels_differ_by_case_accents_and_spaces(
    servers: list[ServerProcess], database: Database
) -> None:
    """Each is a record of its own, in the feed and in the tables, also when another program writes it."""
    labels = ["run", "RUN", "rún", "run ", "run\U0001f600"]
    async with clients(servers, "ada") as (ada,):
        await ada.make()
        await write(ada, *(wanted(record(label, tags=frozenset({f"t{label}"}))) for label in labels[:-2]))
        await MysqlPlace(database).put(*(record(label) for label in labels[-2:]))
        await until_entered(database)

        changes = (await ada.changes()).json["changes"]
        assert sorted(one["label"] for one in changes) == sorted(labels)
        reply = await ada.get(f"{LISTED}?tags=tRUN")
        assert [url.rstrip("/").rpartition("/")[2] for url in reply.json["records"]] == ["RUN"]


async def test_record_that_no_column_holds_is_refused(servers: list[ServerProcess]) -> None:
    """The others are kept."""
    async with clients(servers, "ada") as (ada,):
        await ada.make()
        assert (await ada.put(record("l" * 101))).status == 422
        assert (await ada.put(record("endless", duration=float("inf")))).status == 422
        assert (await ada.put(record("nul", stdout_stderr="a\0b"))).status == 201
        assert (await ada.make("P" * 51)).status == 422


async def test_labels_that_the_database_of_others_takes_for_equal_are_refused(
    tmp_path: Path, mariadb_server: DatabaseServer
) -> None:
    """Sumatra could not distinguish them."""
    database = await to_thread.run_sync(mariadb_server.new)
    await MysqlPlace(database).put(record("run", tags=frozenset({"good"})))
    async with (
        in_thread(served(tmp_path / "servers", database)) as servers,
        clients(servers, "root") as (root,),
    ):
        refused = await root.put(record("RUN"))
        assert (refused.status, "cannot be told apart from 'run'" in refused.json["error"]) == (422, True)
        assert (await root.put(record("other", tags=frozenset({"GOOD"})))).status == 422
        assert (await root.put(record("other", tags=frozenset({"good"})))).status == 201


async def test_write_compares_with_what_is_committed_by_then(
    servers: list[ServerProcess], database: Database
) -> None:
    """Also if the transaction had its snapshot before; and nobody can insert a record meanwhile."""
    await to_thread.run_sync(servers[0].stop)
    await MysqlPlace(database).put(record("run"), record("last"))
    edit = "UPDATE django_store_record SET outcome = 'theirs' WHERE db_id = 1"
    insert = (
        "INSERT INTO django_store_record SELECT 'new', 99, reason, duration, main_file, version, outcome,"
    )
    insert += (
        " timestamp, tags, diff, user, script_arguments, stdout_stderr, repeats, datastore_id, executable_id,"
    )
    insert += " input_datastore_id, launch_mode_id, parameters_id, project_id, repository_id"
    insert += " FROM django_store_record"
    hurried = ("SET SESSION innodb_lock_wait_timeout = 1", ())

    async with open_backend(find(database.url), "lab", create=False) as backend:
        assert backend is not None

        async def look(db: DatabaseConnection) -> list[str | None]:
            async with backend.writing(db):
                await backend.lock_head(db)
                await to_thread.run_sync(database.run, edit)
                with pytest.raises(OperationalError, match="Lock wait timeout"):
                    await to_thread.run_sync(database.run_all, hurried, (insert, ()))
                seen = await backend.records.seen(db, [key("run")])
                held = await backend.records.held(db, [key("run")], lock=db.for_share)
                ((before,), (now,)) = (found[key("run")] for found in (seen, held))
                return [record_of(found).outcome for found in (before, now)]

        assert await backend.read(look) == ["", "theirs"]


async def test_save_need_not_wait_while_others_are_entered(
    servers: list[ServerProcess], database: Database
) -> None:
    """Else InnoDB could end the save of an `smt` as one of two programs that wait for each other."""
    await to_thread.run_sync(servers[0].stop)
    await MysqlPlace(database).put(record("run"), record("last"))
    hurried = ("SET SESSION innodb_lock_wait_timeout = 1", ())
    edit = ("UPDATE django_store_record SET outcome = 'theirs' WHERE db_id = 1", ())
    add = "INSERT INTO django_store_datakey (path, digest, metadata, output_from_record_id)"
    add += " VALUES ('a', '', '', 2)"
    count = "SELECT count(*) FROM smtd_dirty"

    async with open_backend(find(database.url), "lab", create=False) as backend:
        assert backend is not None

        async def enter(db: DatabaseConnection) -> None:
            notes = [number for (number,) in await db.fetch("SELECT id FROM smtd_dirty")]
            async with backend.writing(db):
                await backend.lock_head(db)
                await backend.records.seen(db, [key("run")])
                await backend.delete_notes(db, notes)
                await to_thread.run_sync(database.run_all, hurried, edit, (add, ()))

        await backend.read(enter)

    assert (await to_thread.run_sync(database.run, count))[0][0] == 3
