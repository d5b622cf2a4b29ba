"""A store is replaced by one of another kind while the daemon runs."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import anyio

from smtd.daemon.events import Events
from smtd.daemon.jobs import Sync
from smtd.daemon.worker import Worker
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both
from smtd.stores.discovery import find
from smtd.stores.registry import open_store
from smtd.watch import Watch
from tests.build import full, key
from tests.daemon.working import SETTINGS
from tests.stores.places import DjangoPlace, sqlite3_place


@asynccontextmanager
async def working(left: Path, right: Path, state: Path) -> AsyncIterator[Worker]:
    async with open_journal(state) as journal, anyio.create_task_group() as group:
        worker = Worker(
            SETTINGS,
            lambda: Both(find(str(left)), find(str(right))),
            journal,
            Watch(),
            Events(journal.events),
        )
        group.start_soon(worker.run)
        await worker.submit(Sync())
        yield worker
        group.cancel_scope.cancel()


async def test_shelf_that_became_a_database_is_read_as_one(tmp_path: Path) -> None:
    """It was converted: Sumatra on Python 3.13 leaves an empty table `Dict` in a database."""
    place, hub, new = (
        sqlite3_place(tmp_path / "store"),
        DjangoPlace(tmp_path / "hub"),
        DjangoPlace(tmp_path / "new"),
    )
    await place.put(full("run"))
    await hub.put(full("run"))
    await new.put(full("run"), full("later"))
    with closing(sqlite3.connect(new.path)) as db:
        db.execute("CREATE TABLE Dict (key BLOB UNIQUE NOT NULL, value BLOB NOT NULL)")
    async with working(tmp_path / "store", hub.path, tmp_path / "state") as worker:
        os.replace(new.path, tmp_path / "store")
        for _ in range(2):
            await worker.submit(Sync())
        async with open_store(hub.location) as opened:
            held = (await opened.scan()).digests

    with closing(sqlite3.connect(tmp_path / "store")) as db:
        assert db.execute("SELECT count(*) FROM Dict").fetchone() == (0,)
    assert key("later") in held


async def test_database_restored_to_an_older_schema_is_synced_at_once(tmp_path: Path) -> None:
    """From before an upgrade: no cycle fails, and no notification reports damage."""
    left, hub = DjangoPlace(tmp_path / "left"), DjangoPlace(tmp_path / "hub")
    await left.put(full("run"))
    await hub.put(full("run"))
    async with working(left.path, hub.path, tmp_path / "state") as worker:
        shutil.copy(Path(__file__).parents[1] / "stores" / "corpus" / "django074.sqlite", tmp_path / "old")
        os.replace(tmp_path / "old", left.path)

        assert (await worker.submit(Sync())).ok
