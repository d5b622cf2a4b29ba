"""A store that is restored from a backup: no client continues from the lost future."""

from __future__ import annotations

import shutil
import signal
import time
from functools import partial
from pathlib import Path

import aiohttp
import anyio
import pytest
from anyio import to_thread

from smtd.server import change_log
from smtd.server.change_log import Eras
from smtd.server.changes_api import VIEWS
from smtd.server.server_settings import ServerSettings
from tests.build import record
from tests.server.process import ServerProcess
from tests.server.served import Client, Served, client_of, serving
from tests.server.test_foreign_writes import LISTED, copied, run
from tests.server.waiting import until

DAY = 86_400


async def fill(client: Client, name: str, count: int) -> None:
    for number in range(count):
        assert (await client.put(record(f"{name}-{number}", stdout_stderr="x" * 3000))).status == 201


async def eras(store: Path) -> int:
    return int((await to_thread.run_sync(run, store, "SELECT count(*) FROM smtd_era"))[0][0])


async def test_backup_restored_into_the_file_is_noticed(tmp_path: Path, free_tcp_port: int) -> None:
    """While it is served: the number of the lost state is gone, and listings are as the backup has them."""
    url = f"http://127.0.0.1:{free_tcp_port}/"
    settings = ServerSettings(tmp_path / "served" / "records", port=free_tcp_port, url=url)
    async with serving(tmp_path, settings) as served:
        ada = served.ada
        await ada.make()
        await ada.put(record("kept"))
        await to_thread.run_sync(copied, served.store, tmp_path / "backup")
        await ada.put(record("lost"))
        lost = (await ada.changes()).json["next"]
        etag = (await ada.get(LISTED)).etag

        await to_thread.run_sync(copied, tmp_path / "backup", served.store)

        async def is_noticed() -> bool:
            return (await ada.changes(lost)).status == 410

        await until(is_noticed)
        listed = await ada.get(LISTED, If_None_Match=etag)
        assert (listed.status, listed.json["records"]) == (200, [f"{url}{LISTED}kept/"])


async def test_era_that_a_restore_left_open_has_no_numbers_of_the_lost_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restore in parts may put it back while a server has begun another one."""
    monkeypatch.setattr(change_log, "_RANDOM_OFFSET", 1)  # so that the lost numbers are below the next era
    async with serving(tmp_path) as first:
        await first.ada.make()
        await first.ada.changes()  # so that the view has its number before the backup
    await to_thread.run_sync(shutil.copy, first.store, tmp_path / "backup")
    async with serving(tmp_path) as lost:
        await lost.ada.put(record("lost"))
        cursor = (await lost.ada.changes()).json["next"]
    await to_thread.run_sync(shutil.copy, tmp_path / "backup", first.store)
    async with serving(tmp_path) as second:
        number = (await second.ada.changes()).json["next"]
    await to_thread.run_sync(run, first.store, "UPDATE smtd_era SET ended = NULL")

    async with serving(tmp_path) as third:
        assert (await third.ada.changes(cursor)).status == 410
        assert (await third.ada.changes(number)).status == 200


def test_only_the_newest_era_is_open() -> None:
    """Where an older one without an end has ended is unknown, so nobody continues from there."""
    eras = Eras(((10, None), (100, None)))

    assert [eras.can_continue(number, 120) for number in (50, 99, 100, 120, 121)] == [
        False,
        False,
        True,
        True,
        False,
    ]


async def test_number_from_after_the_backup_is_unknown_whatever_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The battery of the clock is dead, so that each start is before the last one."""
    async with serving(tmp_path) as first:
        await first.ada.make()
    await to_thread.run_sync(shutil.copy, first.store, tmp_path / "backup")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - DAY)
    async with serving(tmp_path) as second:
        await second.ada.put(record("lost"))
        cursor = (await second.ada.changes()).json["next"]
    await to_thread.run_sync(shutil.copy, tmp_path / "backup", first.store)

    async with serving(tmp_path) as third:
        await third.ada.put(record("new-1"))
        await third.ada.put(record("new-2"))
        assert (await third.ada.changes(cursor)).status == 410


async def test_write_ahead_log_of_a_replaced_file_is_set_aside(
    served: Served, ada: Client, tmp_path: Path
) -> None:
    """SQLite would add its pages to the backup."""
    await ada.put(record("kept"))
    await to_thread.run_sync(copied, served.store, tmp_path / "backup")
    await fill(ada, "lost", 20)
    lost = (await ada.changes()).json["next"]

    await to_thread.run_sync((tmp_path / "backup").replace, served.store)

    async def is_served() -> bool:
        return await anyio.Path(f"{served.store}-wal.replaced").exists() and await eras(served.store) == 2

    await until(is_served)
    assert run(served.store, "PRAGMA integrity_check") == [("ok",)]
    assert run(served.store, "SELECT label FROM django_store_record") == [("kept",)]
    assert run(served.store, "SELECT seq FROM smtd_head")[0][0] > lost // VIEWS


async def test_store_that_is_away_for_a_moment_is_not_made_again(
    served: Served, ada: Client, tmp_path: Path
) -> None:
    """A user moves the file away, and puts a backup in its place a while later."""
    await ada.put(record("kept"))
    await to_thread.run_sync(copied, served.store, tmp_path / "backup")
    await to_thread.run_sync(served.store.rename, tmp_path / "away")

    async def is_closed() -> bool:
        try:
            return (await ada.get(LISTED)).status == 503
        except aiohttp.ClientError:
            return True

    await until(is_closed)
    assert not await anyio.Path(served.store).exists()
    await to_thread.run_sync((tmp_path / "backup").rename, served.store)

    async def is_served_again() -> bool:
        return await eras(served.store) == 2

    await until(is_served_again)
    assert run(served.store, "SELECT label FROM django_store_record") == [("kept",)]


async def test_write_ahead_log_of_a_killed_server_is_set_aside(server: ServerProcess, tmp_path: Path) -> None:
    """The backup was moved into the place of the file while no server ran."""
    store = server.store
    async with client_of(server.root) as ada:
        await ada.make()
        await ada.put(record("kept"))
        await to_thread.run_sync(copied, store, tmp_path / "backup")
        await fill(ada, "lost", 20)
    server.signal(signal.SIGKILL)
    await to_thread.run_sync(server.ended)
    assert await anyio.Path(f"{store}-wal").exists()
    await to_thread.run_sync((tmp_path / "backup").replace, store)

    async with serving(tmp_path / "server", ServerSettings(store)) as again:
        await again.ada.put(record("new"))
        assert run(store, "PRAGMA integrity_check") == [("ok",)]
        assert sorted(run(store, "SELECT label FROM django_store_record")) == [("kept",), ("new",)]


async def test_listing_reuses_no_etag_after_a_deletion_is_dropped(tmp_path: Path) -> None:
    """Or a client with an answer of 90 days ago would get 304."""
    async with serving(tmp_path) as first:
        await first.ada.make()
        await first.ada.put(record("b"))
        await first.ada.put(record("a"))
        host = first.root.removeprefix("http://").strip("/")
        old = await first.ada.get(LISTED)
        await first.ada.ask("DELETE", f"{LISTED}b/")
    forget = partial(run, first.store, f"UPDATE smtd_change SET noted = noted - {91 * DAY}")
    await to_thread.run_sync(forget)

    async with serving(tmp_path) as second:
        new = await second.ada.get(LISTED, If_None_Match=old.etag, Host=host)
        assert (new.status, len(new.json["records"])) == (200, 1)
