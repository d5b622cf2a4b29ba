"""What is of dbm.sqlite3 alone; what holds for every SQLite file is in test_sqlite_files.py."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from smtd.errors import StoreError
from smtd.stores.base import DONE, Scan
from smtd.stores.shelf import dbm_sqlite3 as backend
from tests.build import PROJECT, key, record
from tests.stores.asking import create, scan_of, write_and_scan
from tests.stores.places import ShelfPlace, sqlite3_place

NEW = [create(record("new"))]


@pytest.fixture
def place(tmp_path: Path) -> ShelfPlace:
    return sqlite3_place(tmp_path / "records")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a locked file up soon."""
    monkeypatch.setattr(backend, "TIMEOUT", 0.1)


def connect(place: ShelfPlace) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(place.location.path, isolation_level=None))


async def test_write_while_another_program_reads(place: ShelfPlace) -> None:
    """A program that reads holds no write up, and goes on seeing what it saw."""
    await place.put(record())
    count = "SELECT key, value FROM Dict"

    with connect(place) as db:
        db.execute("BEGIN")
        before = db.execute(count).fetchall()
        outcomes, scan = await write_and_scan(place, NEW)
        during = db.execute(count).fetchall()

    assert outcomes == [DONE]
    assert set(scan.digests) == {key("run"), key("new")}
    assert during == before


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

    with pytest.raises(StoreError, match="Dict"):
        await scan_of(place)


async def test_table_of_another_program(place: ShelfPlace) -> None:
    """Keys and values that are texts, as no dbm writes them, do no harm to the others."""
    await place.put(record())
    with connect(place) as db:
        db.execute("INSERT INTO Dict VALUES ('text', 'text')")

    scan = await scan_of(place, [PROJECT])

    assert isinstance(scan, Scan)
    assert set(scan.digests) == {key("run")}
