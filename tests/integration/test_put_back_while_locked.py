"""smtd recognizes a restored older copy even if a program has locked it when a cycle begins."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from anyio import to_thread

from smtd import replacement
from smtd.merge.sides import Side
from smtd.replacement import ReplacementCheck
from smtd.stores import incarnation
from tests.build import commented, key, record
from tests.stores.kept import RealPair
from tests.stores.places import DjangoPlace, locked


async def test_restored_copy_is_recognized_once_it_is_unlocked(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """smtd reads the mark again; otherwise it would revert the edit that the copy lacks on the other side."""
    monkeypatch.setattr(incarnation, "_PATIENCE", 0.01)
    monkeypatch.setattr(replacement, "CLOCK_TICK", -1.0)  # no program writes to the file any more
    place = DjangoPlace(tmp_path / "records.sqlite")
    await place.put(record("run"))
    copy = place.path.read_bytes()
    await place.put(commented(record("run"), "seen"))
    before = str(await to_thread.run_sync(place.location.mark))
    place.path.write_bytes(copy)

    async with place.open() as store:
        same = ReplacementCheck(place.location, store, before)
        with locked(place.path):
            await same.begin()

        assert await same.is_another()


async def test_edit_that_an_older_copy_lacks_is_not_reverted_elsewhere(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although a program has locked the copy when the cycle begins."""
    monkeypatch.setattr(incarnation, "_PATIENCE", 0.01)
    monkeypatch.setattr(replacement, "CLOCK_TICK", -1.0)
    left, right = DjangoPlace(tmp_path / "left.sqlite"), DjangoPlace(tmp_path / "right.sqlite")
    pair = await RealPair(tmp_path / "state", left, right).synced([record("run")])
    copy = left.path.read_bytes()
    await left.put(commented(record("run"), "seen"))
    assert (await pair.cycle()).right.updated == 1
    left.path.write_bytes(copy)
    other = sqlite3.connect(left.path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    begin = ReplacementCheck.begin

    async def begin_locked(same: ReplacementCheck) -> None:
        await begin(same)
        await to_thread.run_sync(other.close)

    monkeypatch.setattr(ReplacementCheck, "begin", begin_locked)
    await pair.cycle()

    assert (await pair.records(Side.RIGHT))[key("run")].outcome == "seen"
