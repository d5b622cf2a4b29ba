"""The store of a copied project arrives later than its project file."""

from __future__ import annotations

import json
import shutil
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
from tests.build import PROJECT, full, key
from tests.daemon.working import SETTINGS
from tests.stores.places import DjangoPlace


async def test_store_that_arrives_in_a_moved_project_is_its_store(tmp_path: Path) -> None:
    """As for a daemon that starts now: Sumatra uses it, too."""
    old, new = (tmp_path / name / ".smt" for name in ("old", "new"))
    for home in (old, new):
        home.mkdir(parents=True)
    store = {"type": "sumatra.recordstore.django_store.DjangoRecordStore", "db_file": str(old / "records")}
    (new / "project").write_text(json.dumps({"name": PROJECT, "record_store": store}))
    await DjangoPlace(old / "records").put(full("run"))
    hub = DjangoPlace(tmp_path / "hub.sqlite")
    await hub.put(full("run"))

    async with open_journal(tmp_path / "state") as journal, anyio.create_task_group() as group:
        worker = Worker(
            SETTINGS,
            lambda: Both(find(str(tmp_path / "new")), find(str(hub.path))),
            journal,
            Watch(),
            Events(journal.events),
        )
        group.start_soon(worker.run)
        await worker.submit(Sync())
        shutil.copy(old / "records", new / "records")
        await DjangoPlace(new / "records").put(full("later"))
        await worker.submit(Sync())
        async with open_store(hub.location) as opened:
            held = (await opened.scan()).digests
        group.cancel_scope.cancel()

    assert key("later") in held
