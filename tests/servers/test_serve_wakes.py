"""How processes of `smtd serve` learn of each other's commits, and of what other programs write."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from anyio import to_thread

from smtd.records.record import Record
from smtd.server import database as database_module
from smtd.server import foreign_writes
from smtd.server.postgresql import ServedPostgresql
from smtd.server.server_settings import ServerSettings
from smtd.stores.discovery import find
from smtd.stores.django import notify
from smtd.stores.location import Location
from tests.build import PROJECT, full, record
from tests.server.bulk import wanted, write
from tests.server.served import Client, serving
from tests.server.streams import streaming
from tests.server.waiting import PATIENCE
from tests.servers.dump import Dump
from tests.servers.place import PostgresqlPlace
from tests.servers.process import free_port
from tests.servers.server import Database, DatabaseServer

LISTED = f"records/{PROJECT}/"
#: Longer than any test.
NEVER = 3600.0


@asynccontextmanager
async def servers(directory: Path, location: Location, count: int) -> AsyncIterator[list[Client]]:
    """Give an admin's client for each of several servers in this process, which share only the database."""
    async with AsyncExitStack() as stack:
        clients = []
        for number in range(count):
            own, port = directory / str(number), free_port()
            await to_thread.run_sync(own.mkdir)
            # At the same port after a restart.
            settings = ServerSettings(location, port=port, url=f"http://127.0.0.1:{port}/")
            clients.append((await stack.enter_async_context(serving(own, settings))).client("root"))
        yield clients


async def labels(stream: Any, count: int) -> list[str]:
    return [change["label"] for change in await stream.changes(count)]


async def until_complete(client: Client) -> None:
    """Wait until the feed of *client* has all records."""
    with anyio.fail_after(20):
        while (await client.changes()).status == 503:  # noqa: ASYNC110 - the server has no event for it
            await anyio.sleep(0.02)


async def put_when_it_serves(client: Client, new: Record) -> None:
    """Put *new* as soon as the server serves again: it restarts if it finds its tables missing."""
    with anyio.fail_after(PATIENCE):
        while True:
            with suppress(aiohttp.ClientConnectionError):
                if (await client.put(new)).status in (200, 201):
                    return
            await anyio.sleep(0.02)


async def take_changes(client: Client, cursor: int, latest: dict[str, str | None]) -> int:
    """Take the changes after *cursor* into *latest*, if the server serves; return the new cursor."""
    with suppress(aiohttp.ClientConnectionError):
        reply = await client.changes(cursor, wait=1)
        if reply.status == 200:
            latest |= {each["label"]: each["digest"] for each in reply.json["changes"]}
            return int(reply.json["next"])
    await anyio.sleep(0.02)
    return cursor


async def test_commit_wakes_the_listeners_of_other_processes(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a poll; each stream has the changes of all processes in their order."""
    monkeypatch.setattr(database_module, "_PAUSE", NEVER)
    async with servers(tmp_path, find(database.url), 2) as (first, second):
        await first.make()
        async with streaming(first) as here, streaming(second, "since=0&include=records") as there:
            for number in range(6):
                assert (await (first, second)[number % 2].put(record(f"r{number}"))).status == 201
            for stream in (here, there):
                assert await labels(stream, 6) == [f"r{number}" for number in range(6)]


async def test_polls_stand_behind_notifications(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no notification told of, of another process or of another program, arrives all the same."""

    async def deaf(*_: Any) -> None:
        pass

    monkeypatch.setattr(ServedPostgresql, "listen", deaf)
    async with servers(tmp_path, find(database.url), 2) as (first, second):
        await first.make()
        async with streaming(second) as there:
            await first.put(record("one"))
            await PostgresqlPlace(database).put(record("two"))
            assert await labels(there, 2) == ["one", "two"]


async def test_trigger_wakes_the_process_that_enters_what_others_write(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In tables that smtd serve made; by its own triggers."""
    async with servers(tmp_path, find(database.url), 2) as (first, second):
        await first.make()
        async with streaming(second) as there:
            await first.put(record("one"))
            assert await labels(there, 1) == ["one"]
            monkeypatch.setattr(foreign_writes, "LONGEST_INTERVAL", NEVER)
            await anyio.sleep(1.1)  # the looks that are under way have ended, and wait for hours
            await PostgresqlPlace(database).put(record("two"))
            assert await labels(there, 1) == ["two"]


async def test_installed_notifications_wake_it_in_tables_of_others(
    tmp_path: Path, postgresql_server: DatabaseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `notify = true`, and the triggers of `smtd check --install-notify`."""
    database = await to_thread.run_sync(postgresql_server.new)
    for statement in notify.INSTALL:
        await to_thread.run_sync(database.run, statement)
    await PostgresqlPlace(database).put(full())
    monkeypatch.setattr(foreign_writes, "COMPARISON_SHARE", 1.0)
    found = find(database.url)
    async with servers(tmp_path, replace(found, access=replace(found.access, notify=True)), 1) as (client,):
        await until_complete(client)
        async with streaming(client) as stream:
            assert await labels(stream, 1) == ["full"]
            monkeypatch.setattr(foreign_writes, "LONGEST_INTERVAL", NEVER)
            await anyio.sleep(1.1)  # as above
            await PostgresqlPlace(database).put(record("two"))
            assert await labels(stream, 1) == ["two"]


async def test_listener_that_is_far_behind_asks_again(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its stream ends, and continues from its number; listings are read again."""
    monkeypatch.setattr(database_module, "MOST_BEHIND", 2)
    async with servers(tmp_path, find(database.url), 2) as (first, second):
        await first.make()
        await first.put(record("one"))
        async with streaming(second) as there:
            assert await labels(there, 1) == ["one"]
            assert len((await second.get(LISTED)).json["records"]) == 1
            await write(first, *(wanted(record(f"r{number}")) for number in range(10)))
            assert await there.ended()
            async with streaming(second, f"since={there.last_id}") as again:
                assert sorted(await labels(again, 10)) == [f"r{number}" for number in range(10)]
        assert len((await second.get(LISTED)).json["records"]) == 11


async def test_dropped_trigger_is_created_again(tmp_path: Path, database: Database) -> None:
    """And what was written without it is found; the table of records may even be another one."""
    async with servers(tmp_path, find(database.url), 1) as (client,):
        await client.make()
        await client.put(record("one"))
        count = "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'smtd_dirty%'"
        before = await to_thread.run_sync(database.run, count)
        async with streaming(client) as stream:
            assert await labels(stream, 1) == ["one"]
            await to_thread.run_sync(
                database.run_all,
                ("BEGIN", ()),
                ("DROP FUNCTION smtd_note_record() CASCADE", ()),
                ("UPDATE django_store_record SET outcome = 'unnoticed'", ()),
                ("COMMIT", ()),
            )
            assert await labels(stream, 1) == ["one"]
        assert await to_thread.run_sync(database.run, count) == before
        assert (await client.get(f"{LISTED}one/")).json["outcome"] == "unnoticed"


@pytest.mark.parametrize("means", [Dump.reload, Dump.restore])
async def test_records_that_are_put_back_without_the_log(
    tmp_path: Path, database: Database, means: Callable[[Dump], None]
) -> None:
    """All records are compared, though no trigger ran; triggers and index are there again."""
    async with servers(tmp_path, find(database.url), 2) as (first, second):
        await first.make()
        await first.put(full("kept"))
        dump = await to_thread.run_sync(Dump, database)
        await second.put(full("lost", version="2"))
        added = "SELECT (SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'smtd_dirty%'),"
        added += " (SELECT count(*) FROM pg_indexes WHERE indexname = 'smtd_record_key')"
        before = await to_thread.run_sync(database.run, added)
        page = (await second.changes()).json
        assert [each["label"] for each in page["changes"]] == ["kept", "lost"]
        cursor = page["next"]

        await to_thread.run_sync(means, dump)

        # A restore commits each of its statements: records may be seen to go and come back meanwhile, and a
        # server to restart that finds no tables.
        latest: dict[str, str | None] = {"kept": "there", "lost": "there"}
        with anyio.fail_after(PATIENCE):
            while latest["lost"] is not None:
                cursor = await take_changes(second, cursor, latest)
            for client, label in ((first, "new-1"), (second, "new-2")):
                await put_when_it_serves(client, full(label, version="3"))
            while not {"new-1", "new-2"} <= latest.keys() or latest["kept"] is None:
                cursor = await take_changes(second, cursor, latest)
        assert latest["lost"] is None
        listed = (await first.get(LISTED)).json["records"]
        assert sorted(each.rstrip("/").rpartition("/")[2] for each in listed) == ["kept", "new-1", "new-2"]
        assert await to_thread.run_sync(database.run, added) == before
