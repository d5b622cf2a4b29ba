"""The triggers of a store that smtd serve made: no column that a record is read from can be forgotten."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from smtd.server import new_file
from smtd.stores.django.mapping import KNOWN, MEMBERSHIPS, OUTPUTS, PREFIX
from tests.build import full, record
from tests.server.served import Client, Served, serving
from tests.server.test_foreign_writes import LISTED, all_changes, next_changes, run
from tests.server.waiting import until
from tests.stores.places import DjangoPlace

#: Every column of every table that says something of a record.
COLUMNS = {f"{PREFIX}{table}": sorted(columns) for table, columns in KNOWN.items()}
COLUMNS |= {f"{PREFIX}{each.through}": ["id", "record_id", each.link] for each in MEMBERSHIPS}
COLUMNS |= {
    f"{PREFIX}taggeditem": ["id", "object_id", "content_type_id", "tag_id"],
    "django_content_type": ["app_label", "id", "model"],
}
EACH = [(table, column) for table, columns in COLUMNS.items() for column in columns]
#: Only these rows of Django's table are of records.
OF_RECORDS = {"django_content_type": "WHERE model = 'record'"}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new file of a server, with a record that has everything; no other program writes to it."""
    path = tmp_path_factory.mktemp("served") / "records"
    new_file.create(path)
    anyio.run(DjangoPlace(path).put, full(tags=frozenset({"t1", "_finished_"})))
    run(path, "DELETE FROM smtd_dirty")
    return path


@contextmanager
def edited(path: Path) -> Iterator[sqlite3.Connection]:
    """Open *path* for an edit by hand that is not committed."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN")
        yield db
        db.execute("ROLLBACK")


def rows_without_notes(path: Path, table: str, statement: str, *values: object) -> list[int]:
    """Return the rows of *table* for which *statement* is not noted; nothing of it is committed."""
    key, found = _primary(table), []
    with edited(path) as db:
        rows = db.execute(f"SELECT {key} FROM {table} {OF_RECORDS.get(table, '')}").fetchall()
        assert rows, "the record has none"
        for (row_id,) in rows:
            db.execute("SAVEPOINT edit")
            db.execute(f"{statement} WHERE {key} = ?", (*values, row_id))
            if not db.execute("SELECT count(*) FROM smtd_dirty").fetchone()[0]:
                found.append(row_id)
            db.execute("ROLLBACK TO edit")
    return found


def _primary(table: str) -> str:
    return "db_id" if table == f"{PREFIX}record" else "id"


@pytest.mark.parametrize(("table", "column"), EACH)
def test_edit_of_any_column_is_noted(written: Path, table: str, column: str) -> None:
    """In each row that a record is read from; the columns are those of the mapping, also those to come."""
    value = run(written, f"SELECT db_id FROM {PREFIX}record")[0][0] if column == OUTPUTS.link else 999

    assert rows_without_notes(written, table, f'UPDATE {table} SET "{column}" = ?', value) == []


@pytest.mark.parametrize("table", COLUMNS)
def test_deletion_of_any_row_is_noted(written: Path, table: str) -> None:
    """By who does not care for foreign keys, too."""
    assert rows_without_notes(written, table, f"DELETE FROM {table}") == []


@pytest.mark.parametrize("table", [table for table in COLUMNS if table != "django_content_type"])
def test_replaced_row_is_noted(written: Path, table: str) -> None:
    """INSERT OR REPLACE deletes a row without firing a delete trigger."""
    with edited(written) as db:
        names = [name for _, name, *_ in db.execute(f"PRAGMA table_info({table})")]
        link = {"record_id": "999", "object_id": "999", "output_from_record_id": "NULL", "label": "'new'"}
        values = ", ".join(link.get(name, f'"{name}"') for name in names)
        db.execute(f"INSERT OR REPLACE INTO {table} SELECT {values} FROM {table}")
        noted = {label for (label,) in db.execute("SELECT label FROM smtd_dirty")}

    assert noted & {"full", None}


def test_ordinary_work_needs_no_full_comparison(written: Path) -> None:
    """A row without references, and a save that changes nothing: Django writes all columns."""
    tables = sorted(table for table in COLUMNS if table not in (f"{PREFIX}record", f"{PREFIX}taggeditem"))
    with edited(written) as db:
        for table in tables:
            same = ", ".join(f'"{name}" = "{name}"' for name in COLUMNS[table] if name != "id")
            db.execute(f"UPDATE {table} SET {same}")
        db.execute(f"INSERT INTO {PREFIX}tag (name) VALUES ('new')")
        shared = db.execute("SELECT count(*) FROM smtd_dirty WHERE label IS NULL").fetchone()

    assert shared == (0,)


EDITS = {
    "input data": f"UPDATE {PREFIX}datakey SET path = 'moved' WHERE output_from_record_id IS NULL",
    "a tag": f"DELETE FROM {PREFIX}tag WHERE name <> '_finished_'",
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
async def test_edit_by_hand_is_in_the_feed(served: Served, ada: Client, edit: str) -> None:
    """In the feed, and to who has the record with its old ETag."""
    await ada.put(full(tags=frozenset({"t1", "_finished_"})))
    since = (await ada.changes()).json["next"]
    etag = (await ada.get(f"{LISTED}full/")).etag

    await to_thread.run_sync(run, served.store, edit)

    assert [one["label"] for one in await next_changes(ada, since)] == ["full"]
    assert (await ada.get(f"{LISTED}full/", If_None_Match=etag)).status == 200


def drop_triggers(store: Path) -> None:
    asked = f"SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = '{PREFIX}record'"
    for (name,) in run(store, asked):
        run(store, f"DROP TRIGGER {name}")


def triggers(store: Path) -> int:
    return int(run(store, "SELECT count(*) FROM sqlite_master WHERE type = 'trigger'")[0][0])


async def test_missing_triggers_are_recreated_at_the_start(tmp_path: Path) -> None:
    """What others wrote without them is found: a later Sumatra makes its tables anew, say."""
    async with serving(tmp_path) as first:
        await first.ada.make()
        await first.ada.put(record("old"))
        since = (await first.ada.changes()).json["next"]
    before = await to_thread.run_sync(triggers, first.store)
    await to_thread.run_sync(drop_triggers, first.store)
    await to_thread.run_sync(run, first.store, f"UPDATE {PREFIX}record SET outcome = 'theirs'")

    async with serving(tmp_path) as second:
        await all_changes(second.ada)
        assert [one["label"] for one in await next_changes(second.ada, since)] == ["old"]
        assert await to_thread.run_sync(triggers, second.store) == before


async def test_missing_triggers_are_recreated_while_the_server_runs(served: Served, ada: Client) -> None:
    """And all records are looked at."""
    await ada.put(record("old"))
    since = (await ada.changes()).json["next"]
    before = await to_thread.run_sync(triggers, served.store)

    await to_thread.run_sync(drop_triggers, served.store)
    await to_thread.run_sync(run, served.store, f"UPDATE {PREFIX}record SET outcome = 'theirs'")

    async def are_back() -> bool:
        return await to_thread.run_sync(triggers, served.store) == before

    await until(are_back)
    await all_changes(ada)
    assert [one["label"] for one in await next_changes(ada, since)] == ["old"]
