"""A symbolic link to a store is re-pointed to another one while a cycle begins."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from smtd import pairing
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
from tests.stores.places import DjangoPlace


async def test_link_repointed_during_a_cycle_deletes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other store, an old copy, never had the record; no user deleted it."""
    link, first = tmp_path / "link", DjangoPlace(tmp_path / "first")
    await first.put(*(full(f"run-{number}") for number in range(20)))
    shutil.copy(first.path, tmp_path / "old")
    await first.put(full("newest"))
    link.symlink_to(first.path)
    hub = DjangoPlace(tmp_path / "hub.sqlite")
    sync, moves = pairing.sync, iter([False, True])

    async def late(*args: Any, **options: Any) -> Any:
        if next(moves, False):
            await to_thread.run_sync(link.unlink)
            await to_thread.run_sync(link.symlink_to, tmp_path / "old")
        return await sync(*args, **options)

    monkeypatch.setattr(pairing, "sync", late)
    async with open_journal(tmp_path / "state") as journal, anyio.create_task_group() as group:
        worker = Worker(
            SETTINGS,
            lambda: Both(find(str(link)), find(str(hub.path), may_be_new=True)),
            journal,
            Watch(),
            Events(journal.events),
        )
        worker.submit_nowait(first_sync := Sync())
        group.start_soon(worker.run)
        await first_sync.wait()
        await worker.submit(Sync())
        async with open_store(hub.location) as opened:
            held = (await opened.scan()).digests
        group.cancel_scope.cancel()

    assert key("newest") in held
