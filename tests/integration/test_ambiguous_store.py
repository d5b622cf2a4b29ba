"""A shelf appears beside an open database of its name."""

from __future__ import annotations

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
from smtd.watch import Watch
from tests.build import full
from tests.daemon.working import SETTINGS
from tests.stores.places import DjangoPlace, dumb_place


async def test_shelf_that_appears_beside_a_database_of_its_name_is_reported(tmp_path: Path) -> None:
    """As by a daemon that starts now: Sumatra may write to either."""
    left, right = (DjangoPlace(tmp_path / name) for name in ("left", "right"))
    await left.put(full("run"))
    async with open_journal(tmp_path / "state") as journal, anyio.create_task_group() as group:
        worker = Worker(
            SETTINGS,
            lambda: Both(find(str(left.path)), find(str(right.path) + ".sqlite", may_be_new=True)),
            journal,
            Watch(),
            Events(journal.events),
        )
        group.start_soon(worker.run)
        await worker.submit(Sync())
        await dumb_place(left.path).put(full("other"))

        with pytest.raises(UsageError, match="both an SQLite store and a shelf"):
            await worker.submit(Sync())
        group.cancel_scope.cancel()
