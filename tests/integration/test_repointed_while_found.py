"""A project or a link is re-pointed while the daemon looks where its stores are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from smtd import pairing
from smtd.daemon.events import Events
from smtd.daemon.jobs import Sync
from smtd.daemon.worker import Worker
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both
from smtd.stores.discovery import find
from smtd.stores.location import Location
from smtd.stores.registry import open_store
from smtd.watch import Watch
from tests.build import PROJECT, full, key
from tests.daemon.working import SETTINGS
from tests.stores.places import DjangoPlace


def project(tmp_path: Path) -> tuple[Path, Callable[[str], object]]:
    home = tmp_path / "laptop" / ".smt"
    home.mkdir(parents=True)

    def point(name: str) -> object:
        store = {
            "type": "sumatra.recordstore.django_store.DjangoRecordStore",
            "db_file": str(tmp_path / name),
        }
        return (home / "project").write_text(json.dumps({"name": PROJECT, "record_store": store}))

    return home.parent, point


def link(tmp_path: Path) -> tuple[Path, Callable[[str], object]]:
    path = tmp_path / "link"

    def point(name: str) -> None:
        path.unlink(missing_ok=True)
        path.symlink_to(tmp_path / name)

    return path, point


@pytest.mark.parametrize("make", [project, link])
async def test_store_named_during_the_search_is_synced_from_the_next_cycle_on(
    tmp_path: Path,
    make: Callable[[Path], tuple[Path, Callable[[str], object]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Finding the other side may take ten seconds, if a program has locked it."""
    word, point = make(tmp_path)
    for name in ("first", "later"):
        await DjangoPlace(tmp_path / name).put(full(name))
    hub = DjangoPlace(tmp_path / "hub.sqlite")
    await hub.put(full("hub"))
    point("first")
    sync, synced = pairing.sync, list[Path]()

    async def watched(journal: Any, name: str, locations: Both[Location], *args: Any, **options: Any) -> Any:
        synced.append(Path(locations.left.name))
        return await sync(journal, name, locations, *args, **options)

    monkeypatch.setattr(pairing, "sync", watched)
    news = iter(["later"])

    def locate() -> Both[Location]:
        left = find(str(word))
        for name in news:
            point(name)  # a user is quicker than the look at the other side
        return Both(left, find(str(hub.path)))

    async with open_journal(tmp_path / "state") as journal, anyio.create_task_group() as group:
        worker = Worker(SETTINGS, locate, journal, Watch(), Events(journal.events))
        group.start_soon(worker.run)
        for _ in range(3):
            await worker.submit(Sync())
        async with open_store(hub.location) as opened:
            held = (await opened.scan()).digests
        group.cancel_scope.cancel()

    assert key("later") in held
    assert synced[-1].name == "later"  # it is identified by that file, and agreements are stored for it
