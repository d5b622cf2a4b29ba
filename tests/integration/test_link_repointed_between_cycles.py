"""A symbolic link to a store is re-pointed between two cycles."""

from __future__ import annotations

from pathlib import Path

import anyio

from smtd.daemon.events import Events
from smtd.daemon.jobs import Sync
from smtd.daemon.worker import Worker
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both
from smtd.stores.discovery import find
from smtd.watch import Watch
from tests.build import full
from tests.daemon.working import SETTINGS
from tests.stores.places import DjangoPlace


async def test_new_target_of_a_link_is_watched_and_shown(tmp_path: Path) -> None:
    """An edit there is noticed at once, and not at the next poll, five minutes later."""
    link, hub = tmp_path / "link", DjangoPlace(tmp_path / "hub")
    for name in ("first", "later", "hub"):
        await DjangoPlace(tmp_path / name).put(full("run"))
    link.symlink_to(tmp_path / "first")
    watch = Watch()
    async with open_journal(tmp_path / "state") as journal, anyio.create_task_group() as group:
        worker = Worker(
            SETTINGS,
            lambda: Both(find(str(link)), find(str(hub.path))),
            journal,
            watch,
            Events(journal.events),
        )
        group.start_soon(worker.run)
        await worker.submit(Sync())
        link.unlink()
        link.symlink_to(tmp_path / "later")
        await worker.submit(Sync())
        shown, watched = worker.status.left.location, watch._watched[worker.session].paths
        group.cancel_scope.cancel()

    assert (shown, tmp_path / "later" in watched) == (str(tmp_path / "later"), True)
