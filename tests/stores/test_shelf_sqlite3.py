"""Tests of dbm.sqlite3 only; those for every SQLite file are in test_sqlite_files.py."""

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
    """Give up on a locked file soon."""
    monkeypatch.setattr(backend, "TIMEOUT", 0.1)


def connect(place: ShelfPlace) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(place.location.path, isolation_level=None))


async def test_reader_does_not_delay_a_write(place: ShelfPlace) -> None:
    """And it still sees the state that it saw."""
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


async def test_log_of_a_killed_program_is_read(place: ShelfPlace) -> None:
    """With what the program had saved before."""
    await place.put(record())
    save_and_be_killed(place)

    async with place.open() as shelf:
        projects = await shelf.projects()

    assert projects == ["Other"]


async def test_file_without_the_table_is_an_error(place: ShelfPlace, impatient: None) -> None:
    """It is no empty store."""
    with connect(place) as db:
        db.execute("DROP TABLE Dict")

    with pytest.raises(StoreError, match="Dict"):
        await scan_of(place)


async def test_text_keys_of_another_program_do_no_harm(place: ShelfPlace) -> None:
    """No dbm writes keys and values as text."""
    await place.put(record())
    with connect(place) as db:
        db.execute("INSERT INTO Dict VALUES ('text', 'text')")

    scan = await scan_of(place, [PROJECT])

    assert isinstance(scan, Scan)
    assert set(scan.digests) == {key("run")}
