"""The shelf of a project is missing for a while, and comes back while the daemon runs."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from smtd.daemon.events import Events
from smtd.daemon.jobs import Sync
from smtd.daemon.worker import Worker
from smtd.errors import StoreUnreachable
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both
from smtd.stores.discovery import find
from smtd.stores.location import Location
from smtd.stores.registry import open_store
from smtd.watch import Watch
from tests.build import PROJECT, commented, full, key
from tests.daemon.working import SETTINGS
from tests.stores.places import DjangoPlace, sqlite3_place


def move(source: Path, target: Path) -> None:
    """Move the files of the shelf."""
    for file in source.glob("records*"):
        file.rename(target / file.name)


async def test_missing_shelf_is_offline_and_synced_once_it_is_back(
    tmp_path: Path,
) -> None:
    """A project file does not say which kind its shelf has: smtd creates no other one in its place."""
    home = tmp_path / "laptop" / ".smt"
    home.mkdir(parents=True)
    store = {
        "type": "sumatra.recordstore.shelve_store.ShelveRecordStore",
        "shelf_name": str(home / "records"),
    }
    (home / "project").write_text(json.dumps({"name": PROJECT, "record_store": store}))
    shelf, hub = sqlite3_place(home / "records"), DjangoPlace(tmp_path / "hub.sqlite")
    for place in (shelf, hub):
        await place.put(full("run"))

    def locate() -> Both[Location]:
        return Both(find(str(tmp_path / "laptop")), find(str(hub.path)))

    async with open_journal(tmp_path / "state") as journal, anyio.create_task_group() as group:
        worker = Worker(SETTINGS, locate, journal, Watch(), Events(journal.events))
        group.start_soon(worker.run)
        await worker.submit(Sync())
        move(home, tmp_path)
        for _ in range(2):  # the daemon retries
            with pytest.raises(StoreUnreachable, match="is missing, but was synced before"):
                await worker.submit(Sync())
        assert [file.name for file in home.iterdir()] == ["project"]

        move(tmp_path, home)
        await shelf.put(commented(full("run"), "seen"))
        await worker.submit(Sync())
        group.cancel_scope.cancel()

    async with open_store(hub.location) as opened:
        assert str((await opened.read([key("run")]))[key("run")].outcome).endswith("seen")
