"""`smtd serve` on MariaDB: the lease of the only process, and when the log counts as complete."""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec
import pytest
from anyio import to_thread

from smtd.server import change_log
from smtd.server.accounts import users_file
from smtd.server.change_log import ChangeNumbers
from smtd.server.opening import open_backend
from smtd.server.remote import RemoteBackend
from smtd.server.server_settings import ServerSettings
from smtd.server.transaction import WriteTransaction
from smtd.stores.discovery import find
from smtd.stores.django.address import LONGEST_IDLE
from smtd.stores.django.connection import DatabaseConnection
from tests.build import PROJECT, full, record
from tests.daemon.process import wait_until
from tests.server.served import USERS, serving
from tests.server.waiting import PATIENCE, in_thread
from tests.servers.clients import clients
from tests.servers.served import served
from tests.servers.server import Database, elsewhere
from tests.servers.test_serve_duty import Observed

pytestmark = pytest.mark.slow

SERVER = "mariadb_server"
#: Seconds for which this test's own statements wait for a lock.
PATIENT = f"SET SESSION innodb_lock_wait_timeout = {LONGEST_IDLE}"
#: What each program that inserts a record has to wait for.
LOCK_END = "SELECT db_id FROM django_store_record ORDER BY db_id DESC LIMIT 1 FOR UPDATE"


# The lease


def test_check_compares_the_users_file_with_that_of_the_running_server(
    tmp_path: Path, database: Database
) -> None:
    """Once the server has ended there is none to compare with."""
    others, config = tmp_path / "others", tmp_path / "check.toml"
    reads_all = {"ada": msgspec.structs.replace(USERS["ada"], everywhere="read")}
    users_file.edit(others, lambda _: USERS | reads_all)
    config.write_text(
        f'[stores.lab]\nlocation = "{database.url}"\n'
        f'[server]\nlisten = "127.0.0.1:0"\nstore = "lab"\nusers_file = "{others}"\n'
    )
    config.chmod(0o600)
    with served(tmp_path / "servers", database) as (server,):

        def said() -> str:
            answer = server.smtd("-c", config, "check")
            return answer.out + answer.err

        wait_until(lambda: database.run("SELECT users FROM smtd_duty") != [("",)])
        assert "runs with another users file than" in said()
        server.stop()
        assert "another users file" not in said()


async def test_work_that_was_begun_in_an_earlier_term_is_not_committed(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a comparison deletes no note, since the lease has another holder now."""
    async with serving(tmp_path, ServerSettings(find(database.url))) as server:
        await server.ada.make()
        await server.ada.put(full("run"))
    observed = Observed(monkeypatch)
    async with serving(tmp_path, ServerSettings(find(database.url))):
        await to_thread.run_sync(database.run, "UPDATE django_store_executable SET version = '9'")
        with anyio.fail_after(PATIENCE):
            await observed.compared.wait()
        await to_thread.run_sync(database.run, "UPDATE smtd_duty SET holder = 'the test'")
        observed.go_on.set()
        with anyio.fail_after(PATIENCE):
            await observed.ended.wait()

        assert await to_thread.run_sync(database.run, "SELECT count(*) FROM smtd_dirty") == [(1,)]


# When the log is complete


@asynccontextmanager
async def claimed_backend(tmp_path: Path, database: Database) -> AsyncIterator[RemoteBackend]:
    """Give the tables of a server that has ended, as the next one has them."""
    async with serving(tmp_path, ServerSettings(find(database.url))) as server:
        await server.ada.make()
        await server.ada.put(record("run"))
    async with open_backend(find(database.url), "lab", create=False) as backend:
        assert backend is not None
        async with backend.claimed():
            yield backend


async def can_set_complete(backend: RemoteBackend, form: str) -> bool:
    """Say whether a comparison of all records that began with *form* makes the log complete now."""

    async def set_complete(db: DatabaseConnection) -> bool:
        async with backend.writing(db):
            head = await backend.lock_head(db)
            numbers = ChangeNumbers(db, head.seq, backend.log_change)
            return await WriteTransaction(db, backend, numbers).set_complete(form)

    return await backend.read(set_complete)


async def test_comparison_that_began_before_the_triggers_were_there_is_not_enough(
    tmp_path: Path, database: Database
) -> None:
    """What was written in between has no note: else a process that is killed then would lose it."""

    async def begin_repair(db: DatabaseConnection) -> None:
        async with backend.writing(db):
            await backend.lock_head(db)
            await backend.repair_triggers(db)
            await change_log.set_incomplete(db)

    async with claimed_backend(tmp_path, database) as backend:
        await backend.read(begin_repair)
        form = await backend.read(change_log.form)
        assert not await can_set_complete(backend, form), "there are none yet"
        await backend.create_triggers()

        assert not await can_set_complete(backend, form)
        assert await can_set_complete(backend, await backend.read(change_log.form))


async def test_trigger_that_was_dropped_a_moment_ago_keeps_the_log_from_being_complete(
    tmp_path: Path, database: Database
) -> None:
    """Though the server asks for the triggers only once a second, as that takes long."""
    async with claimed_backend(tmp_path, database) as backend:
        form = await backend.read(change_log.form)
        assert await backend.read(backend.has_triggers)
        await to_thread.run_sync(database.run, "DROP TRIGGER smtd_dirty_record_update")

        assert not await can_set_complete(backend, form)


# A process that is stopped


async def test_process_that_is_stopped_in_a_write_delays_other_programs_for_seconds(
    tmp_path: Path, database: Database
) -> None:
    """Its own client is not told of a success when it continues."""
    async with (
        in_thread(served(tmp_path / "servers", database)) as servers,
        clients(servers, "ada") as (ada,),
    ):
        await ada.make()
        replies: list[int] = []

        async def write() -> None:
            replies.append((await ada.put(record("lost"))).status)

        async with anyio.create_task_group() as group:
            connecting = database.server.connect(database.server.port, database.name)
            other = await to_thread.run_sync(elsewhere, connecting)
            for statement in ("BEGIN", "SELECT * FROM smtd_change FOR UPDATE"):
                await to_thread.run_sync(elsewhere, other.rows(statement, ()))
            group.start_soon(write)
            await until_running(database, "INSERT INTO smtd_change")
            servers[0].signal(signal.SIGSTOP)
            try:
                began = time.monotonic()
                await to_thread.run_sync(elsewhere, other.rows("COMMIT", ()))
                await to_thread.run_sync(elsewhere, other.rows(PATIENT, ()))
                await to_thread.run_sync(elsewhere, other.rows(LOCK_END, ()))
                assert time.monotonic() - began < LONGEST_IDLE / 3
                assert replies == []
            finally:
                servers[0].signal(signal.SIGCONT)
                await to_thread.run_sync(elsewhere, other.close())

        assert replies == [503]
        assert (await ada.get(f"records/{PROJECT}/lost/")).status == 404
        assert (await ada.put(record("lost"))).status == 201


async def until_running(database: Database, words: str) -> None:
    """Wait until a statement that begins with *words* has begun."""
    query = "SELECT 1 FROM information_schema.processlist WHERE info LIKE ?"
    await to_thread.run_sync(wait_until, lambda: bool(database.run(query, f"{words}%")))
