"""What holds for every SQLite file that holds records: a Django store, and a shelf of dbm.sqlite3."""

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
    """Return the journal mode of a file, which another program sets first if it is told one."""
    with closing(sqlite3.connect(path)) as db:
        for each in mode:
            db.execute(f"PRAGMA journal_mode = {each}")
        (found,) = db.execute("PRAGMA journal_mode").fetchone()
    return str(found)


@pytest.mark.parametrize("mode", ["delete", "wal"])
async def test_journal_mode_stays(place: DjangoPlace | ShelfPlace, mode: str) -> None:
    """The file keeps the journal mode that it has."""
    path = place.location.path
    journal_mode(path, mode)

    async with place.open() as store:
        await store.scan()
        assert await store.write([NEW]) == [DONE]
        during = journal_mode(path)

    assert during == journal_mode(path) == mode


async def test_file_that_is_gone(place: DjangoPlace | ShelfPlace) -> None:
    """A file that was there and is not is no empty store, and is not made anew."""
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
async def test_damaged_file(place: DjangoPlace | ShelfPlace, first: int, last: int | None) -> None:
    """A file that SQLite cannot make sense of is told in a sentence, left as it is, and no empty store."""
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


async def test_schema_that_is_no_text(place: DjangoPlace | ShelfPlace) -> None:
    """Python cannot even raise what SQLite says of it, and a fuzzing campaign crashed; it is damaged."""
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


async def test_file_that_others_keep_from_being_read(
    place: DjangoPlace | ShelfPlace, impatient: None
) -> None:
    """A file that is locked for readers is told so when patience ends, whatever is asked."""
    journal_mode(place.location.path, "delete")

    with locked(place.location.path):
        for ask in ASKED:
            async with place.open() as store:
                with pytest.raises(StoreUnreachable, match="locked"):
                    await ask(store)


async def test_write_while_another_program_writes(place: DjangoPlace | ShelfPlace, impatient: None) -> None:
    """Readers go on while another program is about to write; a write waits, and is given up whole."""
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
