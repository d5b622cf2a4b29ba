"""A journal of every earlier version is migrated to this version, and keeps its data."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import count

import pytest

from smtd.errors import JournalError
from smtd.journal import migrations
from smtd.journal.journal import VERSION, open_journal
from smtd.journal.migrations import OLDEST
from smtd.records import canonical
from smtd.sqlite import script
from tests.journal.schemas import schema as schema_of


def old_journal(directory, version):
    """Create a journal of *version*, with two rows in every table; return those."""
    made = {}
    numbers = count(1)
    parents: dict[tuple[str, int], int] = {}
    with closing(sqlite3.connect(directory / "journal.sqlite")) as db:
        for statement in script(schema_of(version)):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {version}")
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            # A witness that does not match would make it a restored journal.
            if not table.startswith("sqlite_") and table != "witness":
                columns = [(row[1], row[2]) for row in db.execute(f"PRAGMA table_info({table})")]
                values = [
                    [parents.get((name, row)) or value(name, kind, next(numbers)) for name, kind in columns]
                    for row in range(2)
                ]
                if table in ("pair", "cycle"):  # other tables refer to these
                    parents |= {(table, row): values[row][0] for row in range(2)}
                db.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})", values)
                made[table] = rows(db, table, [name for name, _ in columns])
        db.commit()
    return made


def value(name, kind, number):
    """Return a value for a column of *kind*, a different one for each *number*."""
    if name == "canonical_version":
        return canonical.VERSION
    text = f"text {number}"
    kinds = {"INTEGER": number, "TEXT": text, "": text, "REAL": number / 2, "BLOB": b"%d" % number}
    return kinds[kind]


def rows(db, table, columns):
    """Return the rows of a table with these columns, by the names of the columns, in any order."""
    found = db.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall()
    return sorted([dict(zip(columns, row, strict=True)) for row in found], key=repr)


def schema(directory):
    """Return all tables with their columns and keys, and all other objects."""
    with closing(sqlite3.connect(directory / "journal.sqlite")) as db:
        others = db.execute("SELECT type, name, tbl_name FROM sqlite_master ORDER BY name").fetchall()
        tables = {
            row[1]: (
                row[2:],
                db.execute(f"PRAGMA table_xinfo({row[1]})").fetchall(),
                db.execute(f"PRAGMA foreign_key_list({row[1]})").fetchall(),
            )
            for row in db.execute("PRAGMA table_list").fetchall()
        }
        return tables, others, db.execute("PRAGMA user_version").fetchone()


#: For a while version 11 had two more columns under the same number.
OTHER_VERSION_11 = "ALTER TABLE store ADD COLUMN looked REAL; ALTER TABLE entry ADD COLUMN read REAL"


@pytest.mark.parametrize(
    ("version", "more"), [*((version, "") for version in range(OLDEST, VERSION)), (11, OTHER_VERSION_11)]
)
async def test_migrated_journal_has_the_schema_of_a_new_one(tmp_path, version, more):
    """From every version."""
    (tmp_path / "old").mkdir()
    old_journal(tmp_path / "old", version)
    with closing(sqlite3.connect(tmp_path / "old" / "journal.sqlite")) as db:
        db.executescript(more)

    for name in ("old", "new"):
        async with open_journal(tmp_path / name):
            pass

    assert schema(tmp_path / "old") == schema(tmp_path / "new")


@pytest.mark.parametrize("version", range(OLDEST, VERSION))
async def test_migrated_journal_keeps_every_row(tmp_path, version):
    """Except for the store states at the end of the last cycle."""
    made = old_journal(tmp_path, version)
    made.pop("quiet", None)

    async with open_journal(tmp_path):
        pass

    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as db:
        kept = {table: rows(db, table, list(held[0])) for table, held in made.items()}
    assert kept == made


def test_there_is_a_schema_of_every_version():
    """From the oldest one on, to test its migration with."""
    assert all(map(schema_of, range(OLDEST, VERSION)))


async def test_failed_migration_leaves_the_journal_unchanged(tmp_path, monkeypatch):
    """All of it is one transaction: the next start begins anew."""
    old_journal(tmp_path, OLDEST)
    before = schema(tmp_path)
    monkeypatch.setattr(migrations, "_STEPS", [(OLDEST, "INSERT INTO nowhere VALUES (1)")])

    with pytest.raises(Exception, match="no such table: nowhere"):
        async with open_journal(tmp_path):
            pass

    assert schema(tmp_path) == before


async def test_journal_from_before_the_oldest_version_is_refused(tmp_path):
    """No release wrote it; it stays as it is, and the message says what to do."""
    old_journal(tmp_path, OLDEST)
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as db:
        db.execute(f"PRAGMA user_version = {OLDEST - 1}")
    before = schema(tmp_path)

    with pytest.raises(JournalError, match=r"too old \(version 7\); move it away"):
        async with open_journal(tmp_path):
            pass

    assert schema(tmp_path) == before
