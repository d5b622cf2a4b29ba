"""A read-only source is a store like any other, which refuses every write."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from anyio import to_thread

from smtd.errors import StoreRefused, StoreUnreachable
from smtd.records.record import Key
from smtd.stores.base import LARGE_AT_REST, Change, Result
from smtd.stores.legacy import databases, export, snapshot
from smtd.stores.legacy.snapshot import SnapshotStore
from smtd.stores.legacy.sources import LegacySource, Snapshot
from tests.build import record
from tests.stores import old_databases
from tests.stores.old_databases import HAGGLING
from tests.stores.places import contents


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database of 0.7, alone in its directory."""
    directory = tmp_path / "old"
    directory.mkdir()
    return old_databases.make(directory / "records", "0.7")


def opened(
    path: Path, timezone: str = "Europe/Paris", source: LegacySource = databases.SOURCE
) -> SnapshotStore:
    return SnapshotStore(source, path, str(path), timezone)


async def test_writes_are_refused_and_touch_nothing(path: Path) -> None:
    """Each with a sentence that says what to do instead."""
    before = contents(path.parent), os.stat(path).st_mtime_ns
    store = opened(path)
    await store.scan()

    outcomes = await store.write(
        [
            Change(HAGGLING, None, None),
            Change(HAGGLING, record(), None),
            Change(Key("new", "run"), record(), None),
        ]
    )

    assert [outcome.result for outcome in outcomes] == [Result.REFUSED] * 3
    assert {outcome.reason for outcome in outcomes} == {
        "it is a store of Sumatra 0.7; smtd reads it, but does not write it: sync it into a new store"
    }
    assert (contents(path.parent), os.stat(path).st_mtime_ns) == before


async def test_store_says_why_it_is_read_only(path: Path) -> None:
    """Also before a read, after which it says which Sumatra made it."""
    store = opened(path)

    assert "an older Sumatra" in store.capabilities.read_only
    await store.projects()
    assert "a store of Sumatra 0.7" in store.capabilities.read_only
    assert store.kind == "sqlite"
    assert repr(store) == f"SnapshotStore('{path}')"


async def test_export_says_what_it_is(tmp_path: Path) -> None:
    """Its reason says that it is an export."""
    file = tmp_path / "records_export.json"
    file.write_text("[]", encoding="utf-8")
    store = opened(file, source=export.SOURCE)

    assert await store.projects() == []
    assert store.capabilities.read_only.startswith("it is an export of an older Sumatra;")
    assert store.kind == "export"


async def test_project_file_counts_as_part_of_an_export(tmp_path: Path) -> None:
    """A change of the file with the project's name makes smtd read it again."""
    file = tmp_path / "records_export.json"
    file.write_text(json.dumps([{"label": "run"}]), encoding="utf-8")
    store = opened(file, source=export.SOURCE)
    await store.scan()
    (tmp_path / "project_export.json").write_text('{"name": "other"}', encoding="utf-8")

    assert await store.token() is None
    assert await store.projects() == ["other"]


async def test_token_depends_on_the_zone(path: Path) -> None:
    """In another zone the times differ, although the file is the same."""
    store = opened(path, "Europe/Paris")
    await store.scan()
    token = await store.token()

    assert token is not None
    assert await opened(path, "Europe/Paris").unchanged_since(token)
    assert not await opened(path, "Asia/Kolkata").unchanged_since(token)


@pytest.fixture
def loads() -> list[Path]:
    """The list of all loads of files."""
    return []


@pytest.fixture
def source(loads: list[Path]) -> LegacySource:
    """Databases, each load of which is recorded."""

    def load(path: Path, timezone: str) -> Snapshot:
        loads.append(path)
        return databases.load(path, timezone)

    return LegacySource("sqlite", "a store", databases.SOURCE.files, load)


async def test_unchanged_source_is_read_once(path: Path, source: LegacySource, loads: list[Path]) -> None:
    """Cost follows change."""
    store = opened(path, source=source)
    await store.scan()
    await store.read([HAGGLING])
    await store.projects()
    assert len(loads) == 1

    await to_thread.run_sync(old_databases.tag, path, "good")
    assert (await store.read([HAGGLING]))[HAGGLING].tags == {"foo", "good"}
    assert len(loads) == 2


@pytest.mark.parametrize(("kept", "loaded"), [(0, 2), (LARGE_AT_REST, 1)])
async def test_large_source_is_released_at_rest(
    path: Path,
    source: LegacySource,
    loads: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    kept: int,
    loaded: int,
) -> None:
    """Reading it again takes time, keeping it takes memory; the token is the same either way."""
    monkeypatch.setattr(snapshot, "LARGE_AT_REST", kept)
    store = opened(path, source=source)
    scan, token, why = await store.scan(), await store.token(), store.capabilities.read_only
    store.rest()

    assert store.capabilities.read_only == why
    assert await store.token() == token
    assert await store.scan() == scan
    assert len(loads) == loaded


async def test_limited_scan_reports_unreadable_records_of_its_projects(path: Path) -> None:
    """And of no others."""
    await to_thread.run_sync(lambda: old_databases.add(path, "0.7", label="broken", timestamp="never"))
    store = opened(path)

    assert (await store.scan(["oldproj"])).unreadable.keys() == {Key("oldproj", "broken")}
    assert (await store.scan(["another"])).unreadable == {}
    assert await store.read([Key("oldproj", "broken")]) == {}


async def test_missing_file_is_unreachable(path: Path) -> None:
    """Nothing counts as deleted."""
    store = opened(path)
    await store.scan()
    os.unlink(path)

    with pytest.raises(StoreUnreachable, match="records is missing"):
        await store.scan()
    assert await store.token() is None


async def test_file_that_cannot_be_opened_is_unreachable(tmp_path: Path) -> None:
    """With the system's message."""
    with pytest.raises(StoreUnreachable, match=r"cannot be read: .* is a directory, not a file"):
        await opened(tmp_path, source=export.SOURCE).scan()


async def test_half_written_file_is_waited_for(tmp_path: Path) -> None:
    """A file that a program is writing does not count as damaged."""
    file = tmp_path / "records_export.json"
    file.write_text('[{"label":', encoding="utf-8")
    calls = []

    def load(path: Path, timezone: str) -> Snapshot:
        calls.append(path)
        if len(calls) == 2:
            path.write_text("[]", encoding="utf-8")
        return export.load(path, timezone)

    store = opened(file, source=LegacySource("export", "an export", lambda path: (path,), load))

    assert (await store.scan()).digests == {}
    assert len(calls) >= 3


async def test_damaged_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no program has written to it for a while."""
    file = tmp_path / "records_export.json"
    file.write_text('[{"label":', encoding="utf-8")
    monkeypatch.setattr(snapshot, "DAMAGE_AFTER", 0.0)

    with pytest.raises(StoreRefused, match="damaged"):
        await opened(file, source=export.SOURCE).scan()
