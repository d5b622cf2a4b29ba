"""The two stores of a pair become one file while the daemon runs."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import pytest

from smtd.daemon.events import Events
from smtd.daemon.jobs import Sync
from smtd.daemon.worker import Worker
from smtd.errors import UsageError
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both
from smtd.stores.discovery import find
from smtd.stores.location import Location
from smtd.watch import Watch
from tests.build import full
from tests.daemon.working import SETTINGS
from tests.stores.places import DjangoPlace


async def test_pair_whose_stores_become_one_file_halts(tmp_path: Path) -> None:
    """As it would not start: edits there have no copy any more."""
    left, right = (DjangoPlace(tmp_path / name) for name in ("left", "right"))
    for place in (left, right):
        await place.put(full("run"))

    def locate() -> Both[Location]:  # as Daemon._located
        found = Both(find(str(left.path)), find(str(right.path)))
        if found.left.shares_file(found.right):
            raise UsageError("name two different stores")
        return found

    async with open_journal(tmp_path / "state") as journal, anyio.create_task_group() as group:
        worker = Worker(SETTINGS, locate, journal, Watch(), Events(journal.events))
        group.start_soon(worker.run)
        await worker.submit(Sync())
        right.path.unlink()
        os.link(left.path, right.path)

        with pytest.raises(UsageError, match="name two different stores"):
            await worker.submit(Sync())
        group.cancel_scope.cancel()
