"""A project whose shelf does not exist yet when the daemon first looks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from smtd.daemon.events import Events
from smtd.daemon.jobs import Sync
from smtd.daemon.worker import Worker
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both
from smtd.stores.discovery import find
from smtd.stores.registry import open_store
from smtd.watch import Watch
from tests.build import PROJECT, full, key
from tests.daemon.working import SETTINGS
from tests.stores.places import DjangoPlace, sqlite3_place


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """The place of the shelf of a project, which does not exist yet."""
    home = tmp_path / "laptop" / ".smt"
    home.mkdir(parents=True)
    store = {
        "type": "sumatra.recordstore.shelve_store.ShelveRecordStore",
        "shelf_name": str(home / "records"),
    }
    (home / "project").write_text(json.dumps({"name": PROJECT, "record_store": store}))
    return home / "records"


@pytest.fixture
async def hub(tmp_path: Path) -> DjangoPlace:
    """A store with records of another project."""
    place = DjangoPlace(tmp_path / "hub.sqlite")
    await place.put(full("other"), project="Other")
    return place


@pytest.fixture
async def worker(tmp_path: Path, shelf: Path, hub: DjangoPlace) -> AsyncIterator[Worker]:
    """A worker of the project and the hub after its first cycle."""
    left, right = str(tmp_path / "laptop"), str(hub.path)
    async with open_journal(tmp_path / "state") as journal, anyio.create_task_group() as group:
        worker = Worker(
            SETTINGS, lambda: Both(find(left), find(right)), journal, Watch(), Events(journal.events)
        )
        group.start_soon(worker.run)
        await worker.submit(Sync())
        yield worker
        group.cancel_scope.cancel()


async def test_records_of_a_shelf_created_later_are_copied(
    worker: Worker, shelf: Path, hub: DjangoPlace
) -> None:
    """Sumatra creates it with the dbm of its Python (here that of 3.13), which is not dbm.dumb."""
    await sqlite3_place(shelf).put(full("run"))
    await worker.submit(Sync())

    async with open_store(hub.location) as store:
        assert key("run") in (await store.scan()).digests


async def test_no_second_shelf_is_created_beside_one_of_sumatra(
    worker: Worker, shelf: Path, hub: DjangoPlace
) -> None:
    """dbm.whichdb would take that for the shelf, and Sumatra would no longer see its own records."""
    await sqlite3_place(shelf).put(full("run"))
    await hub.put(full("colleague's"))
    await worker.submit(Sync())

    assert not shelf.with_name("records.dat").exists()
