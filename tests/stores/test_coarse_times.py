"""smtd finds a change that does not show in the times of files, because those are whole seconds."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from anyio import to_thread

from smtd import filestat
from smtd.replacement import _File
from smtd.stores.base import ResumedStore, Token
from smtd.stores.django import sqlite
from smtd.stores.location import Location
from smtd.watch import Watch
from tests.build import change, key, record
from tests.stores.asking import digests
from tests.stores.old_place import OldPlace
from tests.stores.places import DjangoPlace, dumb_place, sqlite3_place

pytestmark = pytest.mark.disk

BEFORE = record("run", outcome="v001")
AFTER = change(BEFORE, outcome="v002")
#: The second in which everything happens.
NOW = int(time.time()) * 1_000_000_000


def in_write_ahead_mode(path: Path) -> DjangoPlace:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = wal")
    return DjangoPlace(path)


Make = Callable[[Path], Any]
#: Stores that rely on the status of files.
TRUSTING: dict[str, Make] = {
    "dbm.dumb": dumb_place,
    "SQLite in write-ahead mode": in_write_ahead_mode,
    "SQLite of Sumatra 0.7": lambda path: OldPlace(path / "records"),
}
#: Stores that do not.
KNOWING: dict[str, Make] = {"SQLite": DjangoPlace, "dbm.sqlite3": sqlite3_place}


class Seconds:
    """Files that all have the same status, as if written in this second; and how long a second is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._set = monkeypatch.setattr
        self._set(filestat, "_stat", self.look)
        self._set(filestat, "_first_seen", {})
        self.last(1000.0)

    def last(self, seconds: float) -> None:
        self._set(filestat, "COARSE_TICK", seconds)

    def look(self, path: Path) -> tuple[int, ...] | None:
        if not os.path.exists(path):
            return None
        look = (1, 2, 3, NOW, NOW)
        filestat._note(look)
        return look


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> Seconds:
    return Seconds(monkeypatch)


@pytest.mark.parametrize("make", [*TRUSTING.values(), *KNOWING.values()], ids=[*TRUSTING, *KNOWING])
async def test_change_in_the_same_second_is_seen_by_the_next_scan(
    seconds: Seconds, tmp_path: Path, make: Make
) -> None:
    place = make(tmp_path / "store")
    await place.put(BEFORE)
    async with place.open() as store:
        assert (await store.scan()).digests == digests(BEFORE)
        await place.put(AFTER)

        assert (await store.scan()).digests == digests(AFTER)
        assert (await store.read([key("run")]))[key("run")].outcome == "v002"


@pytest.mark.parametrize("make", TRUSTING.values(), ids=TRUSTING.keys())
async def test_young_store_is_not_surely_unchanged_until_the_next_look(
    seconds: Seconds, tmp_path: Path, make: Make
) -> None:
    """But no program is known to have written to it."""
    place = make(tmp_path / "store")
    await place.put(BEFORE)
    async with place.open() as store:
        await store.scan()
        young = await store.token()
        assert young is not None
        assert not await store.unchanged_since(young)

        seconds.last(0.0)
        assert not await store.unchanged_since(young)
        await store.scan()
        ripe = await store.token()

        assert ripe is not None
        assert await store.unchanged_since(ripe)


async def resumed(place: Any, token: Token) -> bool:
    """Say whether a new process continues from *token*."""
    async with place.open() as store:
        if store.capabilities.resumes:
            return await cast(ResumedStore, store).resume(token)
        return bool(await store.unchanged_since(token))


@pytest.mark.parametrize("make", TRUSTING.values(), ids=TRUSTING.keys())
async def test_next_process_looks_at_a_store_that_was_young(
    seconds: Seconds, tmp_path: Path, make: Make
) -> None:
    """It does not look at an older one, even if that is young to itself."""
    place = make(tmp_path / "store")
    await place.put(BEFORE)
    async with place.open() as store:
        await store.scan()
        young = await store.token()
        seconds.last(0.0)
        await store.scan()
        ripe = await store.token()
    seconds.last(1000.0)

    assert young is not None
    assert ripe is not None
    assert not await resumed(place, young)
    assert await resumed(place, ripe)


@pytest.mark.parametrize("make", KNOWING.values(), ids=KNOWING.keys())
async def test_store_with_a_change_counter_needs_no_times(
    seconds: Seconds, tmp_path: Path, make: Make
) -> None:
    place = make(tmp_path / "store")
    await place.put(BEFORE)
    async with place.open() as store:
        await store.scan()
        token = await store.token()
        assert token is not None
        assert await store.unchanged_since(token)
    assert await resumed(place, token)

    await place.put(AFTER)

    assert not await resumed(place, token)


async def test_restored_database_is_recognized_by_its_change_counter(tmp_path: Path) -> None:
    """An edit adds no row, and a copy by `cp` has a new time."""
    place = DjangoPlace(tmp_path / "store")
    await place.put(BEFORE)
    copy = place.path.read_bytes()
    await place.put(AFTER)
    before = await to_thread.run_sync(place.location.mark)
    assert before is not None
    assert before.changes is not None

    place.path.write_bytes(copy)

    now = await to_thread.run_sync(place.location.mark)
    assert await to_thread.run_sync(place.location.is_another, before, now)


async def test_files_read_while_young_are_reported_once_they_are_older(
    seconds: Seconds, tmp_path: Path
) -> None:
    """Once; and not those that were read later."""
    path = tmp_path / "records"
    path.touch()
    told: list[str] = []
    watch = Watch()
    watch.put("pair", [path], lambda: told.append("changed"))
    began = time.monotonic()
    seen = await watch.stat("pair")
    watch.acknowledge("pair", seen, began)
    await watch._compare()
    assert told == []

    seconds.last(0.0)
    await watch._compare()
    await watch._compare()

    assert told == ["changed"]
    watch.acknowledge("pair", seen, time.monotonic())
    await watch._compare()
    assert told == ["changed"]


async def test_files_that_become_old_enough_during_a_cycle_are_reported_after_it(
    seconds: Seconds, tmp_path: Path
) -> None:
    """The cycle may have read an earlier state."""
    path = tmp_path / "records"
    path.write_bytes(b"x")
    news = anyio.Event()
    watch = Watch()
    watch.put("pair", [path], news.set)
    began = time.monotonic()
    seen = await watch.stat("pair")
    seconds.last(0.01)
    watch.acknowledge("pair", seen, began)

    async with anyio.create_task_group() as group:
        group.start_soon(watch.run)
        with anyio.fail_after(10):
            await news.wait()
        group.cancel_scope.cancel()


async def test_file_exchanged_while_its_commits_are_counted_has_no_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection is new, and its commit counter says nothing about the old file."""
    Seconds(monkeypatch)
    place, other = DjangoPlace(tmp_path / "store"), DjangoPlace(tmp_path / "other")
    await place.put(BEFORE)
    shutil.copy(place.path, other.path)  # both continue from here with equal change counters
    await place.put(change(BEFORE, outcome="v002"))
    await other.put(change(BEFORE, outcome="v003"))

    async with place.open() as opened:
        store = cast(ResumedStore, opened)
        await store.scan()
        token = await store.token()
        assert token is not None
        asked = sqlite.SqliteFile._check_commits

        async def then(self: Any, **options: Any) -> Any:
            found = await asked(self, **options)
            with suppress(FileNotFoundError):
                await to_thread.run_sync(os.replace, other.path, place.path)
            return found

        monkeypatch.setattr(sqlite.SqliteFile, "_check_commits", then)
        await store.resume(token)
        monkeypatch.setattr(sqlite.SqliteFile, "_check_commits", asked)

        assert await store.token() is None  # no scan has seen the contents of the file


async def test_mark_of_another_file_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise that file, a backup, would count as the store while the daemon runs."""
    now, backup, aside = (tmp_path / name for name in ("now", "backup", "aside"))
    for directory in (now, backup):
        directory.mkdir()
        await DjangoPlace(directory / "store").put(record("run"))
    await DjangoPlace(now / "store").put(record("newest"))
    location = DjangoPlace(now / "store").location
    await anyio.sleep(0.05)  # the files are old

    def exchange() -> None:
        now.rename(aside)
        backup.rename(now)
        aside.rename(backup)

    before, _ = await _File(location).read("")
    mark = Location.mark
    exchange()  # a user mounts or moves the directory of the backup here

    def then(self: Location) -> Any:
        exchange()  # and removes it again
        return mark(self)

    monkeypatch.setattr(Location, "mark", then)
    await _File(location).read(before)
    monkeypatch.setattr(Location, "mark", mark)
    assert await _File(location).read(before) == (before, False)
    exchange()

    _, is_another = await _File(location).read(before)
    assert is_another
