"""The schema of an SQLite file may contain programs: none runs when smtd reads or writes it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from anyio import to_thread

from smtd import sqlite, untrusted
from smtd.errors import StoreRefused
from smtd.sqlite import connect
from smtd.stores.base import DONE, Change
from smtd.stores.discovery import find
from smtd.stores.legacy.driver import OLD_SQLITE
from smtd.stores.location import Location
from smtd.stores.registry import open_store
from tests.build import key, record
from tests.stores.asking import create, scan_of, write_to
from tests.stores.places import DjangoPlace, sqlite3_place

ENDLESS = "(WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c)"
#: Triggers on the table of records: an endless one, one on another record, and one that swallows writes.
TRIGGERS = {
    "without end": f"AFTER INSERT ON django_store_record BEGIN SELECT {ENDLESS}; END",
    "on others": "AFTER INSERT ON django_store_record BEGIN"
    " UPDATE django_store_record SET outcome = 'theirs' WHERE label <> new.label; END",
    "swallowing": "BEFORE INSERT ON django_store_record BEGIN SELECT RAISE(IGNORE); END",
    "on a part": "AFTER INSERT ON django_store_tag BEGIN DELETE FROM django_store_record; END",
}
#: Objects in place of a table, or in it.
SCHEMAS = {
    "view": (
        "ALTER TABLE django_store_record RENAME TO kept",
        f"CREATE VIEW django_store_record AS SELECT * FROM kept WHERE {ENDLESS} > 0",
    ),
    "view of migrations": (
        "ALTER TABLE django_migrations RENAME TO kept",
        "CREATE VIEW django_migrations AS SELECT * FROM kept",
    ),
    "virtual table": (
        "ALTER TABLE django_store_tag RENAME TO kept",
        "CREATE VIRTUAL TABLE django_store_tag USING fts5(id, name)",
    ),
    "computed column": ("ALTER TABLE django_store_record ADD COLUMN more AS (length(label))",),
}


@pytest.fixture
async def place(tmp_path: Path) -> DjangoPlace:
    """A store with one record."""
    made = DjangoPlace(tmp_path / "records")
    await made.put(record("first", outcome="ours"))
    return made


@pytest.mark.parametrize("trigger", TRIGGERS)
async def test_trigger_makes_the_store_read_only(place: DjangoPlace, trigger: str) -> None:
    """The message names it; nothing of the write is left, and no lock."""
    place.run(f"CREATE TRIGGER theirs {TRIGGERS[trigger]}")

    async with place.open() as store:
        assert set((await store.scan()).digests) == {key("first")}
        with pytest.raises(StoreRefused, match=r"'theirs'.* drop it"):
            await store.write([create(record("new", tags=frozenset({"tag"})))])
        assert place.is_free()

    assert place.run("SELECT label, outcome FROM django_store_record") == [("first", "ours")]


async def test_trigger_created_while_the_store_is_open_does_not_run(place: DjangoPlace) -> None:
    """The store can be written again when the trigger is dropped."""
    async with place.open() as store:
        await store.scan()
        place.run(f"CREATE TRIGGER theirs {TRIGGERS['on others']}")
        with pytest.raises(StoreRefused, match="theirs"):
            await store.write([create(record("new"))])
        place.run("DROP TRIGGER theirs")
        await store.write([create(record("new"))])
        assert set((await store.scan()).digests) == {key("first"), key("new")}


@pytest.mark.parametrize("schema", SCHEMAS)
async def test_object_in_place_of_a_table_is_reported(place: DjangoPlace, schema: str) -> None:
    """smtd does not read it, and nothing of it runs."""
    for statement in SCHEMAS[schema]:
        place.run(statement)

    with pytest.raises(StoreRefused, match=r"django_(store|migrations)"):
        async with open_store(await to_thread.run_sync(find, str(place.path))) as store:
            await store.scan()


async def test_schema_cannot_call_unsafe_functions(place: DjangoPlace) -> None:
    """Not even in a constraint."""
    place.run("PRAGMA writable_schema = ON")
    with closing(sqlite3.connect(place.path)) as db, db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute(
            "UPDATE sqlite_master SET sql = replace(sql, '\"outcome\" text NOT NULL',"
            " '\"outcome\" text NOT NULL CHECK (load_extension(''x'') IS NULL)')"
        )

    with pytest.raises(StoreRefused, match="has a function in its schema"):
        await write_to(place, [create(record("new"))])


async def test_endless_statement_is_stopped(place: DjangoPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever makes it run, it takes no more steps than any statement of smtd."""
    monkeypatch.setattr(untrusted, "_AT_A_TIME", 100)
    monkeypatch.setattr(sqlite, "MOST_STEPS", 10_000)

    async with connect(str(place.path)) as db:
        with pytest.raises(untrusted.SchemaCodeBlocked, match="run forever"):
            await db.value(f"SELECT count(*) FROM {', '.join(f'sqlite_master t{n}' for n in range(9))}")
        assert await db.value("SELECT 1") == 1


async def test_old_store_with_a_view_is_reported(tmp_path: Path) -> None:
    """It is read by the same rules."""
    path = tmp_path / "old"
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"CREATE VIEW django_store_record AS SELECT {ENDLESS} AS label")

    with pytest.raises(StoreRefused, match=r"not a Sumatra record store|not a record store"):
        async with open_store(Location(OLD_SQLITE, path)) as store:
            await store.scan()


async def test_shelf_whose_table_is_a_view_is_reported(tmp_path: Path) -> None:
    """Like a Django store."""
    place = sqlite3_place(tmp_path / "shelf")
    await place.put(record("first"))
    with closing(sqlite3.connect(place.location.path)) as db:
        db.executescript(
            f"ALTER TABLE Dict RENAME TO kept; CREATE VIEW Dict AS SELECT * FROM kept WHERE {ENDLESS} > 0"
        )

    with pytest.raises(StoreRefused, match="trigger or view 'Dict'"):
        await scan_of(place)


NOTING = "INSERT INTO smtd_dirty (record, project, label) SELECT NEW.db_id, NEW.project_id, NEW.label"


async def test_triggers_of_smtds_server_are_permitted(place: DjangoPlace) -> None:
    """They record writes of other programs to its database."""
    place.run("CREATE TABLE smtd_dirty (id INTEGER PRIMARY KEY, record INTEGER, project TEXT, label TEXT)")
    place.run(f"CREATE TRIGGER smtd_dirty_record AFTER INSERT ON django_store_record BEGIN {NOTING}; END")

    async with place.open() as store:
        assert await store.write([Change(key("second"), record("second"), None)]) == [DONE]

    assert place.run("SELECT label FROM smtd_dirty") == [("second",)]


@pytest.mark.parametrize(
    "does",
    [
        f"SELECT {ENDLESS}",
        "UPDATE django_store_record SET outcome = 'theirs'",
        "DELETE FROM django_store_tag",
        "INSERT INTO django_store_tag (name) VALUES ('theirs')",
        "DELETE FROM smtd_dirty",
        "INSERT INTO smtd_dirty (id, label) SELECT 1, load_extension('x')",
    ],
)
async def test_trigger_with_the_name_of_one_of_smtd_gets_no_more_rights(
    place: DjangoPlace, does: str
) -> None:
    """The name permits only to add to one table, and to read."""
    place.run("CREATE TABLE smtd_dirty (id INTEGER PRIMARY KEY, record INTEGER, project TEXT, label TEXT)")
    place.run(f"CREATE TRIGGER smtd_dirty_record AFTER INSERT ON django_store_record BEGIN {does}; END")

    async with place.open() as store:
        with pytest.raises(StoreRefused):
            await store.write([Change(key("second"), record("second"), None)])

    assert place.run("SELECT label, outcome FROM django_store_record") == [("first", "ours")]
