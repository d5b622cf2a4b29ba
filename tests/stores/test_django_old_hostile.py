"""smtd runs nothing that an old database contains, and reads all else of it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from smtd.errors import StoreRefused, StoreUnreachable
from smtd.records.record import Key
from smtd.stores.legacy import databases
from smtd.stores.legacy.sources import Snapshot
from tests.stores import old_databases
from tests.stores.old_databases import HAGGLING, PROJECT
from tests.stores.places import CODE, contents


def load(path: Path) -> Snapshot:
    return databases.load(path, "Europe/Paris")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database of 0.7 with one record, alone in its directory."""
    directory = tmp_path / "old"
    directory.mkdir()
    return old_databases.make(directory / "records", "0.7")


# Hostile contents

HOSTILE: dict[str, tuple[str, Any, str]] = {
    "code in a launch mode": ("launchmode SET parameters", CODE, "Sumatra would run it"),
    "code in a data store": ("datastore SET parameters", f"{{'root': {CODE}}}", "Sumatra would run it"),
    "code in parameters": ("parameterset SET content", f"a = {CODE}", "parameters"),
    "code in metadata": ("datakey SET metadata", CODE, "is not a literal value"),
    "metadata that is a list": ("datakey SET metadata", "[1]", "is not a dictionary"),
    "a digest that is bytes": ("datakey SET digest", b"\0", "not text"),
    "deep brackets": ("launchmode SET parameters", "[" * 100_000, "launch_mode"),
    "deep JSON": ("datakey SET metadata", '{"a":' * 100_000, "is not a literal value"),
    "a time that is none": ("record SET timestamp", "yesterday", "is not a time"),
    "a time of another calendar": ("record SET timestamp", "0001-01-01 00:00:00", "is not a time"),
    "a time that is a number": ("record SET timestamp", b"1", "not text"),
    "a creation that is none": ("datakey SET creation", "2012-13-01 00:00:00", "is not a time"),
    "a duration that is text": ("record SET duration", "long", "is not a number"),
    "an outcome that is bytes": ("record SET outcome", b"\xff", "not text"),
    "a launch mode that is gone": ("record SET launch_mode_id", 99, "is missing"),
    "no executable": ("record SET executable_id", None, "is missing"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_content_makes_its_record_unreadable(database: Path, case: str) -> None:
    """With a reason; nothing is run."""
    setting, value, reason = HOSTILE[case]
    old_databases.run(database, f"UPDATE django_store_{setting} = ?", value)

    found = load(database)

    assert found.records == {}
    assert found.unreadable.keys() == {HAGGLING}
    assert reason in found.unreadable[HAGGLING]


@pytest.mark.parametrize("column", ["input_data", "data_key"])
@pytest.mark.parametrize("value", [CODE, "{'a': 1}", "[1]", "['a'", b"['a']"])
def test_hostile_lists_of_0_3_are_refused(tmp_path: Path, column: str, value: Any) -> None:
    """A text that is no list of paths makes its record unreadable, and is not run."""
    path = old_databases.make(tmp_path / "records", "0.3")
    old_databases.run(path, f"UPDATE django_store_record SET {column} = ?", value)

    assert load(path).unreadable.keys() == {HAGGLING}


def test_unreadable_record_hides_no_other(database: Path) -> None:
    """smtd reads every other record."""
    old_databases.add(database, "0.7", label="broken", timestamp="never")
    old_databases.add(database, "0.7", label="whole")

    found = load(database)

    assert found.records.keys() == {HAGGLING, Key(PROJECT, "whole")}
    assert found.unreadable.keys() == {Key(PROJECT, "broken")}


@pytest.mark.parametrize("column", ["outcome", "label", "project_id", "tags"])
def test_text_that_is_not_unicode_makes_one_record_unreadable(database: Path, column: str) -> None:
    """Under a name that can be printed."""
    old_databases.add(database, "0.7", label="broken")
    old_databases.run(
        database, f"UPDATE django_store_record SET {column} = CAST(x'61ff' AS TEXT) WHERE label = 'broken'"
    )

    found = load(database)

    assert found.records.keys() == {HAGGLING}
    (key,) = found.unreadable
    assert str(key).encode()


@pytest.mark.parametrize(("label", "shown"), [(None, "(row 1, without a name)"), (b"broken", "broken")])
def test_label_that_is_not_text_makes_one_record_unreadable(tmp_path: Path, label: Any, shown: str) -> None:
    """And not the one whose name would be the same as text."""
    path = old_databases.make(tmp_path / "records", "0.7")
    old_databases.add(path, "0.7", label="None")
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript("""
            CREATE TABLE other AS SELECT * FROM django_store_record;
            DROP TABLE django_store_record; ALTER TABLE other RENAME TO django_store_record;""")
        db.execute("UPDATE django_store_record SET label = ? WHERE label = 'haggling'", (label,))

    found = load(path)

    assert found.unreadable.keys() == {Key(PROJECT, shown)}
    assert found.records.keys() == {Key(PROJECT, "None")}


# Files that are not an old database


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def scribbled(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))


def replaced(statement: str) -> Callable[[Path], None]:
    return lambda path: old_databases.run(path, statement)


def endless(path: Path) -> None:
    """Put an endless view in the place of a table."""
    old_databases.run(path, "DROP TABLE django_store_project")
    old_databases.run(
        path,
        "CREATE VIEW django_store_project AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id FROM n)"
        " SELECT * FROM n",
    )


UNFIT: dict[str, tuple[Callable[[Path], object], str]] = {
    "no SQLite": (lambda path: path.write_bytes(b"hello" * 1000), "is damaged"),
    "empty": (lambda path: path.write_bytes(b""), "it has no table"),
    "cut off": (truncated, "is damaged"),
    "overwritten": (scribbled, "is damaged"),
    "a schema that is not text": (
        lambda path: path.write_bytes(path.read_bytes().replace(b"CREATE TABLE", b"CREATE TABL\xff")),
        "is damaged",
    ),
    "another table gone": (
        replaced("DROP TABLE django_store_executable"),
        "no table django_store_executable",
    ),
    "a view": (endless, "no table django_store_project"),
    "a column gone": (replaced("ALTER TABLE django_store_record RENAME reason TO x"), "no column reason"),
    "an id gone": (replaced("ALTER TABLE django_store_executable RENAME id TO x"), "no such column"),
    "of 0.1": (replaced("ALTER TABLE django_store_record RENAME TO django_store_simulationrecord"), "0.1"),
    "of 0.8": (
        replaced("INSERT INTO django_migrations (app, name) VALUES ('django_store', '0002_tag_taggeditem')"),
        "was upgraded to Sumatra 0.8",
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_file_that_is_no_old_database_is_refused(database: Path, case: str) -> None:
    """A file that cannot be read whole is an error in one sentence, and stays unchanged."""
    spoil, reason = UNFIT[case]
    spoil(database)
    before = contents(database.parent)

    with pytest.raises(StoreRefused, match=reason):
        load(database)

    assert contents(database.parent) == before


def test_missing_file_is_not_created(tmp_path: Path) -> None:
    """It is an error."""
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "records")

    assert contents(tmp_path) == {}


# Other programs


def test_locked_database_is_unreachable(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """smtd tries again later."""
    monkeypatch.setattr(databases, "_PATIENCE", 0.05)

    with closing(sqlite3.connect(database, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnreachable, match="locked by another program"):
            load(database)


def test_database_in_write_ahead_mode_is_read(database: Path) -> None:
    """Without creating a log beside it."""
    old_databases.run(database, "PRAGMA journal_mode = wal")
    before = contents(database.parent)

    found = load(database)

    assert found.records.keys() == {HAGGLING}
    assert contents(database.parent) == before == {"records": database.read_bytes()}


def test_write_ahead_log_is_read(database: Path) -> None:
    """Another program's commits in the log count."""
    with closing(sqlite3.connect(database, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = wal")
        db.execute("UPDATE django_store_record SET outcome = 'logged'")
        before = contents(database.parent)

        found = load(database)

        assert found.records[HAGGLING].outcome == "logged"
        assert contents(database.parent).keys() == before.keys()
        assert contents(database.parent)["records-wal"] == before["records-wal"]


def test_write_ahead_log_without_its_index_is_read(database: Path, tmp_path: Path) -> None:
    """As after a copy of database and log; smtd creates no file beside it."""
    copied = tmp_path / "copied"
    with closing(sqlite3.connect(database, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = wal")
        db.execute("UPDATE django_store_record SET outcome = 'logged'")
        shutil.copytree(database.parent, copied, ignore=shutil.ignore_patterns("*-shm"))
    before = contents(copied)

    found = load(copied / "records")

    assert before.keys() == {"records", "records-wal"}
    assert found.records[HAGGLING].outcome == "logged"
    assert contents(copied) == before


def test_journal_of_a_killed_program_is_left_alone(database: Path, tmp_path: Path) -> None:
    """Its own Sumatra must recover the half-written transaction."""
    with closing(sqlite3.connect(database, isolation_level=None)) as db:
        db.execute("PRAGMA cache_size = 1")
        db.execute("PRAGMA cache_spill = 1")
        db.execute("BEGIN IMMEDIATE")
        db.execute("CREATE TABLE filler (content blob)")
        db.executemany("INSERT INTO filler VALUES (?)", [(bytes(5000),)] * 50)
        killed = tmp_path / "killed"
        shutil.copytree(database.parent, killed)
    before = contents(killed)
    assert before["records-journal"]

    with pytest.raises(StoreRefused, match="left half written"):
        load(killed / "records")

    assert contents(killed) == before
