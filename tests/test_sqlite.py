"""The connection that all of smtd uses for SQLite files."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from functools import partial

import anyio
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


async def test_an_insert_returns_its_row_number(file):
    async with connect(str(file)) as db:
        assert await db.run("INSERT INTO thing (name) VALUES ('three')") == 3
        assert await db.run("INSERT INTO thing (name) VALUES ('four')") == 4


@pytest.mark.parametrize("statement", ["SELECT * FROM thing", "PRAGMA table_info(thing)"])
async def test_a_query_does_not_block_other_writers(file, statement):
    async with connect(str(file)) as db:
        await db.run(statement)
        with closing(sqlite3.connect(file, timeout=0)) as other, other:
            other.execute("INSERT INTO thing (name) VALUES ('theirs')")
        assert await db.value("SELECT count(*) FROM thing") == 3


async def test_a_statement_for_many_rows_does_not_block_other_writers(file):
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


async def test_failed_transaction_is_rolled_back(file):
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


async def test_commit_is_durable_once_the_rollback_journal_is_gone(file):
    """FULL (2) does not sync the directory: a journal that comes back after a power cut undoes the commit."""
    async with connect(str(file)) as db:
        assert await db.value("PRAGMA synchronous") == 3


async def add(db, name):
    async with db.transaction():
        number = await db.run("INSERT INTO thing (name) VALUES (?)", [name])
        await db.run_many("UPDATE thing SET name = name || ? WHERE id = ?", [("!", number)])
        return await db.value("SELECT name FROM thing WHERE id = ?", [number])


async def test_at_once_runs_statements_in_order(file):
    async with connect(str(file)) as db:
        assert await db.at_once(lambda: add(db, "three")) == await add(db, "three") == "three!"
        assert await db.value("SELECT count(*) FROM thing") == 4


async def leave(_db):
    raise GeneratorExit


@pytest.mark.parametrize(
    ("last", "error", "told"),
    [
        (lambda db: db.run("INSERT INTO thing VALUES (2, 'taken')"), sqlite3.IntegrityError, "UNIQUE"),
        # It would occupy the thread.
        (lambda _: asyncio.sleep(0), RuntimeError, "awaits something other than the connection"),
        # Waiting tasks could no longer close the connection.
        (leave, RuntimeError, "GeneratorExit"),
    ],
    ids=["a wrong statement", "a wait for something else", "an end of the coroutine"],
)
async def test_failed_at_once_is_rolled_back(file, last, error, told):
    async def add_and_fail():
        async with db.transaction():
            await add_inside()
            await last(db)

    async def add_inside():
        await db.run("INSERT INTO thing (name) VALUES ('three')")

    async with connect(str(file)) as db:
        with pytest.raises(error, match=told):
            await db.at_once(add_and_fail)
        assert await db.fetch("SELECT name FROM thing") == [("one",), ("two",)]
        assert await db.at_once(lambda: add(db, "three")) == "three!"


async def test_cancelled_at_once_is_completed(file):
    async with connect(str(file)) as db:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await db.at_once(lambda: add(db, "three"))
        assert await db.fetch("SELECT name FROM thing WHERE id > 2") in ([], [("three!",)])
        assert not db.raw.in_transaction


async def test_tasks_take_turns_whether_they_run_at_once_or_not(file):
    async def slowly(name):
        async with db.transaction():
            await db.run("INSERT INTO thing (name) VALUES (?)", [name])
            await db.value("SELECT 1")
            await db.run("INSERT INTO thing (name) VALUES (?)", [name])

    async with connect(str(file)) as db:
        async with anyio.create_task_group() as group:
            for name in "abc":
                group.start_soon(slowly, name)
                group.start_soon(partial(db.at_once, partial(slowly, name.upper())))
        rows = [name for (name,) in await db.fetch("SELECT name FROM thing WHERE id > 2 ORDER BY id")]

    assert sorted(rows[::2]) == sorted(rows[1::2]) == sorted("abcABC")
    assert rows[::2] == rows[1::2]


async def test_stop_iteration_becomes_a_runtime_error(file):
    """Otherwise waiting tasks would wait forever."""

    def stop():
        raise StopIteration

    async with connect(str(file)) as db:
        with pytest.raises(RuntimeError, match="StopIteration"):
            await asyncio.wait_for(db.in_thread(stop), 2)
        assert await db.fetch("SELECT name FROM thing") == [("one",), ("two",)]
