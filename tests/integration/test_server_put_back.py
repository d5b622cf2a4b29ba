"""The database of a real Sumatra Server is restored: nothing is deleted, and no edit is reverted."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from smtd.merge.sides import Side
from tests.build import commented, full, tagged
from tests.engine.servers import CLOCKED, Clock
from tests.peers.server import SumatraServer
from tests.stores.kept import RealPair
from tests.stores.places import DjangoPlace
from tests.stores.server_place import ServerPlace

OLD = [full(f"old-{number}") for number in range(4)]
DAY = 86_400.0


def copied(source: Path, target: Path) -> None:
    """Copy one database over another."""
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)


@pytest.mark.slow
async def test_restored_server_gets_a_day_of_work_again(
    server: SumatraServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New records and edits of both sides; later cycles have nothing to do."""
    clock = Clock()
    for module in CLOCKED:
        monkeypatch.setattr(f"smtd.{module}.time", clock)
    pair = RealPair(tmp_path / "state", DjangoPlace(tmp_path / "left.sqlite"), ServerPlace(server))
    await pair.synced(OLD)
    copied(server.database, tmp_path / "backup")
    await pair.left.put(commented(OLD[0], "seen today"), full("new-1"), full("new-2"))
    await pair.right.put(tagged(OLD[1], "today"))
    for _ in range(3):
        clock.now += DAY / 2
        await pair.cycle()
    before = await pair.records(Side.LEFT)
    copied(tmp_path / "backup", server.database)

    report = await pair.cycle()
    clock.now += DAY
    again = await pair.cycle()

    assert (report.ok, report.adopted, report.left.written) == (True, [Side.RIGHT], 0)
    assert (report.right.created, report.right.updated) == (2, 2)
    assert (again.ok, again.adopted, again.left.written + again.right.written) == (True, [], 0)
    assert await pair.records(Side.LEFT) == before
    assert (await pair.records(Side.RIGHT)).keys() == before.keys()
