"""The connection to an SQLite file that all of smtd uses."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from smtd.sqlite import connect

pytestmark = pytest.mark.anyio


@pytest.fixture
def file(tmp_path):
    """A file with a table and two rows."""
    path = tmp_path / "some.sqlite"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE thing (id INTEGER PRIMARY KEY, name TEXT)")
        db.executemany("INSERT INTO thing (name) VALUES (?)", [("one",), ("two",)])
    return path


async def test_a_statement_gives_the_number_of_the_row_that_it_has_inserted(file):
    async with connect(str(file)) as db:
        assert await db.run("INSERT INTO thing (name) VALUES ('three')") == 3
        assert await db.run("INSERT INTO thing (name) VALUES ('four')") == 4


@pytest.mark.parametrize("statement", ["SELECT * FROM thing", "PRAGMA table_info(thing)"])
async def test_a_statement_that_gives_rows_does_not_keep_others_from_writing(file, statement):
    async with connect(str(file)) as db:
        await db.run(statement)
        with closing(sqlite3.connect(file, timeout=0)) as other, other:
            other.execute("INSERT INTO thing (name) VALUES ('theirs')")
        assert await db.value("SELECT count(*) FROM thing") == 3


async def test_a_statement_for_many_rows_does_not_keep_others_from_writing(file):
    async with connect(str(file)) as db:
        await db.run_many("UPDATE thing SET name = ? WHERE id = ?", [("a", 1), ("b", 2)])
        with closing(sqlite3.connect(file, timeout=0)) as other, other:
            other.execute("INSERT INTO thing (name) VALUES ('theirs')")
        assert await db.fetch("SELECT name FROM thing") == [("a",), ("b",), ("theirs",)]


async def test_a_statement_for_no_rows_does_nothing(file):
    async with connect(str(file)) as db:
        await db.run_many("INSERT INTO nowhere VALUES (?)", [])
        with pytest.raises(sqlite3.OperationalError, match="nowhere"):
            await db.run_many("INSERT INTO nowhere VALUES (?)", [("one",)])


async def test_what_fails_in_a_transaction_is_all_taken_back(file):
    async def delete_and_fail(db):
        async with db.transaction():
            await db.run("DELETE FROM thing WHERE id = 1")
            await db.run("INSERT INTO thing VALUES (2, 'taken')")

    async with connect(str(file)) as db:
        with pytest.raises(sqlite3.IntegrityError):
            await delete_and_fail(db)
        assert await db.fetch("SELECT id FROM thing") == [(1,), (2,)]
        async with db.transaction():
            await db.run("DELETE FROM thing WHERE id = 1")
        assert await db.fetch("SELECT id FROM thing") == [(2,)]


async def test_what_is_committed_is_durable_with_the_end_of_the_rollback_journal(file):
    """FULL (2) does not sync the directory: a journal that comes back after a power cut undoes the commit."""
    async with connect(str(file)) as db:
        assert await db.value("PRAGMA synchronous") == 3
