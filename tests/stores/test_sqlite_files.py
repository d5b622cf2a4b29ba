"""Tests of all SQLite files with records: a Django store, and a shelf of dbm.sqlite3."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

import smtd.sqlite
from smtd.errors import StoreError, StoreRefused, StoreUnreachable
from smtd.stores.base import DONE, Store
from smtd.stores.django import sqlite as dialect
from smtd.stores.shelf import dbm_sqlite3
from tests.build import key, record
from tests.stores.asking import create, scan_of
from tests.stores.places import DjangoPlace, ShelfPlace, locked, sqlite3_place

NEW = create(record("new"))
MADE: dict[str, Callable[[Path], DjangoPlace | ShelfPlace]] = {
    "Django": DjangoPlace,
    "dbm.sqlite3": sqlite3_place,
}


@pytest.fixture(params=MADE.values(), ids=list(MADE))
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> DjangoPlace | ShelfPlace:
    """A store with one record, alone in its directory."""
    directory = tmp_path / "store"
    directory.mkdir()
    made: DjangoPlace | ShelfPlace = request.param(directory / "records")
    await made.put(record())
    return made


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for the locks of others for a moment only."""
    monkeypatch.setattr(dialect, "connect", partial(smtd.sqlite.connect, patience=0.1))
    monkeypatch.setattr(dbm_sqlite3, "TIMEOUT", 0.1)


def journal_mode(path: Path, *mode: str) -> str:
    """Return the journal mode of a file, after another program set it if given."""
    with closing(sqlite3.connect(path)) as db:
        for each in mode:
            db.execute(f"PRAGMA journal_mode = {each}")
        (found,) = db.execute("PRAGMA journal_mode").fetchone()
    return str(found)


@pytest.mark.parametrize("mode", ["delete", "wal"])
async def test_write_keeps_the_journal_mode(place: DjangoPlace | ShelfPlace, mode: str) -> None:
    """Whichever it is."""
    path = place.location.path
    journal_mode(path, mode)

    async with place.open() as store:
        await store.scan()
        assert await store.write([NEW]) == [DONE]
        during = journal_mode(path)

    assert during == journal_mode(path) == mode


async def test_missing_file_is_no_empty_store(place: DjangoPlace | ShelfPlace) -> None:
    """smtd does not create it again."""
    async with place.open() as store:
        await store.scan()
        place.location.path.unlink()
        with pytest.raises(StoreUnreachable):
            await store.scan()
        with pytest.raises(StoreUnreachable):
            await store.write([NEW])

    assert place.files() == {}


@pytest.mark.parametrize(
    ("first", "last"), [(0, 100), (100, 4096), (4096, None)], ids=["head", "schema", "pages"]
)
async def test_damaged_file_is_an_error(
    place: DjangoPlace | ShelfPlace, first: int, last: int | None
) -> None:
    """In one sentence; it is no empty store, and stays unchanged."""
    path = place.location.path
    content = bytearray(path.read_bytes())
    content[first:last] = b"\xff" * len(content[first:last])
    path.write_bytes(content)

    async with place.open() as store:
        with pytest.raises(StoreError, match="records") as told:
            await store.scan()
        with pytest.raises(StoreError):
            await store.write([NEW])

    assert "\n" not in str(told.value)
    assert path.read_bytes() == content


async def test_schema_that_is_not_text_is_damage(place: DjangoPlace | ShelfPlace) -> None:
    """Python cannot even raise SQLite's message for it (a fuzzing campaign found this)."""
    path = place.location.path
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE", b"CREATE TABL\xff"))

    with pytest.raises(StoreRefused, match="is damaged"):
        await scan_of(place)


ASKED: list[Callable[[Store], Awaitable[object]]] = [
    lambda store: store.scan(),
    lambda store: store.projects(),
    lambda store: store.read([key("run")]),
    lambda store: store.write([NEW]),
]


async def test_file_locked_against_readers_is_reported(
    place: DjangoPlace | ShelfPlace, impatient: None
) -> None:
    """After a timeout, in every call."""
    journal_mode(place.location.path, "delete")

    with locked(place.location.path):
        for ask in ASKED:
            async with place.open() as store:
                with pytest.raises(StoreUnreachable, match="locked"):
                    await ask(store)


async def test_write_waits_for_another_writer_or_fails_whole(
    place: DjangoPlace | ShelfPlace, impatient: None
) -> None:
    """Readers are not blocked meanwhile."""
    before = place.forms()

    with closing(sqlite3.connect(place.location.path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        async with place.open() as store:
            scan = await store.scan()
            with pytest.raises(StoreUnreachable, match="locked"):
                await store.write([NEW])
            db.execute("ROLLBACK")
            assert await store.write([NEW]) == [DONE]

    assert set(scan.digests) == {key("run")}
    assert place.forms() == {**before, key("new"): place.forms()[key("new")]}
