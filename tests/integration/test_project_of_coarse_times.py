"""A project is re-pointed within the second in which it was written, with times in whole seconds."""

from __future__ import annotations

import json
import os
from pathlib import Path

import anyio
import pytest

from smtd import filestat
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


async def test_project_repointed_within_a_second_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Young files may change and keep the same status."""
    home = tmp_path / "laptop" / ".smt"
    home.mkdir(parents=True)

    def point(name: str) -> None:
        store = {
            "type": "sumatra.recordstore.django_store.DjangoRecordStore",
            "db_file": str(tmp_path / name),
        }
        (home / "project").write_text(json.dumps({"name": PROJECT, "record_store": store}))

    for name in ("first", "later"):
        await DjangoPlace(tmp_path / name).put(full(name))
    hub = DjangoPlace(tmp_path / "hub.sqlite")
    await hub.put(full("hub"))
    look = filestat._stat

    def coarse(path: Path) -> tuple[int, ...] | None:
        if path.name != "project":
            return look(path)
        found = os.stat(path)
        now = int(found.st_mtime) // 60 * 60 * 1_000_000_000
        seen = (found.st_dev, found.st_ino, found.st_size, now, now)
        filestat._note(seen)
        return seen

    monkeypatch.setattr(filestat, "_stat", coarse)
    point("first")
    async with open_journal(tmp_path / "state") as journal, anyio.create_task_group() as group:
        worker = Worker(
            SETTINGS,
            lambda: Both(find(str(home.parent)), find(str(hub.path))),
            journal,
            Watch(),
            Events(journal.events),
        )
        group.start_soon(worker.run)
        await worker.submit(Sync())
        point("later")
        for _ in range(2):
            await worker.submit(Sync())
        async with open_store(hub.location) as opened:
            held = (await opened.scan()).digests
        group.cancel_scope.cancel()

    assert key("later") in held
