"""A shelf in the file of dbm.sqlite3 keeps the contract, and leaves the file as Python made it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from smtd.errors import StoreError, StoreRefused, StoreUnreachable
from smtd.stores.base import DONE, Change, Scan
from smtd.stores.shelf import dbm_sqlite3 as backend
from tests.build import PROJECT, key, record
from tests.stores.contract import ResumedContract
from tests.stores.places import Place, ShelfPlace, sqlite3_place

NEW = [Change(key("new"), record("new"), None)]


class TestShelfOnSqlite3(ResumedContract):
    """The contract, kept by dbm.sqlite3."""

    # All but the last step is that of the shelf on dbm.dumb.
    look_interrupted_at_every = 4
    write_interrupted_at_every = 6

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return sqlite3_place(tmp_path / "records")


@pytest.fixture
def place(tmp_path: Path) -> ShelfPlace:
    return sqlite3_place(tmp_path / "records")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a locked file up soon."""
    monkeypatch.setattr(backend, "TIMEOUT", 0.1)


def connect(place: ShelfPlace) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(place.location.path, isolation_level=None))


@pytest.mark.parametrize("mode", ["wal", "delete", "truncate"])
async def test_journal_mode_stays(place: ShelfPlace, mode: str) -> None:
    """The file keeps the journal mode that it has."""
    await place.put(record())
    with connect(place) as db:
        db.execute(f"PRAGMA journal_mode = {mode}")

    async with place.open() as shelf:
        assert await shelf.write(NEW) == [DONE]
        scan = await shelf.scan()

    with connect(place) as db:
        (found,) = db.execute("PRAGMA journal_mode").fetchone()
    assert len(scan.digests) == 2
    assert found == (mode if mode == "wal" else "delete")


async def test_write_while_another_program_reads(place: ShelfPlace) -> None:
    """A program that reads holds no write up, and goes on seeing what it saw."""
    await place.put(record())
    count = "SELECT key, value FROM Dict"

    with connect(place) as db:
        db.execute("BEGIN")
        before = db.execute(count).fetchall()
        async with place.open() as shelf:
            outcomes = await shelf.write(NEW)
            scan = await shelf.scan()
        during = db.execute(count).fetchall()

    assert outcomes == [DONE]
    assert set(scan.digests) == {key("run"), key("new")}
    assert during == before


async def test_write_while_another_program_writes(place: ShelfPlace, impatient: None) -> None:
    """A file that another program keeps locked is told as such, and nothing is written."""
    await place.put(record())
    before = place.forms()

    with connect(place) as db:
        db.execute("BEGIN IMMEDIATE")
        async with place.open() as shelf:
            await shelf.scan()
            with pytest.raises(StoreUnreachable, match="locked"):
                await shelf.write(NEW)

    assert place.forms() == before


async def test_read_while_another_program_keeps_readers_out(place: ShelfPlace, impatient: None) -> None:
    """A file that cannot be read for a lock is told as such; it is no empty store."""
    await place.put(record())

    with connect(place) as db:
        db.execute("PRAGMA journal_mode = delete")
        db.execute("BEGIN EXCLUSIVE")
        async with place.open() as shelf:
            with pytest.raises(StoreUnreachable, match="locked"):
                await shelf.scan()


KILLED = """
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("UPDATE Dict SET key = CAST('Other' AS BLOB)")
os.kill(os.getpid(), 9)
"""


def save_and_be_killed(place: ShelfPlace) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, place.location.path], check=False)
    assert done.returncode == -9


async def test_log_of_a_program_that_was_killed(place: ShelfPlace) -> None:
    """What a program had saved before it was killed is read from the log that it left."""
    await place.put(record())
    save_and_be_killed(place)

    async with place.open() as shelf:
        projects = await shelf.projects()

    assert projects == ["Other"]


async def test_file_without_the_table(place: ShelfPlace, impatient: None) -> None:
    """A file in which there is no shelf any more is told; it is no empty store."""
    with connect(place) as db:
        db.execute("DROP TABLE Dict")

    async with place.open() as shelf:
        with pytest.raises(StoreError, match="Dict"):
            await shelf.scan()


async def test_file_that_is_gone(place: ShelfPlace, impatient: None) -> None:
    """A file that was there and is not is no empty store, and is not made anew."""
    await place.put(record())

    async with place.open() as shelf:
        await shelf.scan()
        place.location.path.unlink()
        with pytest.raises(StoreUnreachable):
            await shelf.scan()
        with pytest.raises(StoreUnreachable):
            await shelf.write(NEW)

    assert place.files() == {}


@pytest.mark.parametrize(("first", "last"), [(0, 100), (100, None)], ids=["head", "pages"])
async def test_damaged_file(place: ShelfPlace, impatient: None, first: int, last: int | None) -> None:
    """A file that SQLite cannot make sense of is told in a sentence, and left as it is."""
    await place.put(record())
    content = bytearray(place.location.path.read_bytes())
    content[first:last] = b"\xff" * len(content[first:last])
    place.location.path.write_bytes(content)

    async with place.open() as shelf:
        with pytest.raises(StoreError, match="records") as told:
            await shelf.scan()
        with pytest.raises(StoreError):
            await shelf.write(NEW)

    assert "\n" not in str(told.value)
    assert place.location.path.read_bytes() == content


async def test_schema_that_is_no_text(place: ShelfPlace) -> None:
    """Python cannot even raise what SQLite says of it, and a fuzzing campaign crashed; it is damaged."""
    await place.put(record())
    path = place.location.path
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE", b"CREATE TABL\xff"))

    async with place.open() as store:
        with pytest.raises(StoreRefused, match="is damaged"):
            await store.scan()


async def test_table_of_another_program(place: ShelfPlace) -> None:
    """Keys and values that are texts, as no dbm writes them, do no harm to the others."""
    await place.put(record())
    with connect(place) as db:
        db.execute("INSERT INTO Dict VALUES ('text', 'text')")

    async with place.open() as shelf:
        scan = await shelf.scan([PROJECT])

    assert isinstance(scan, Scan)
    assert set(scan.digests) == {key("run")}
