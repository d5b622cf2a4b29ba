"""Databases of Sumatra before 0.8.1 are read whole, as they are, and nothing of them changes."""

from __future__ import annotations

import ast
import shutil
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from smtd.records.record import Component, DataKey, Dependency, Executable, Key, Platform, Record, Repository
from smtd.stores.legacy import databases
from smtd.stores.legacy.sources import Snapshot
from tests.stores.asking import read_from
from tests.stores.places import CORPUS, DjangoPlace, contents

REAL = {"django074.sqlite": "0.7", "django_0.4.0.sqlite": "0.4"}


def load(path: Path, timezone: str = "Europe/Paris") -> Snapshot:
    return databases.load(path, timezone)


# Real databases


def rows(name: str, statement: str, *values: Any) -> list[dict[str, Any]]:
    """Return rows of a real database by the names of their columns."""
    with closing(sqlite3.connect(f"{(CORPUS / name).as_uri()}?mode=ro", uri=True)) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute(statement, values)]


def row(name: str, table: str, number: int) -> dict[str, Any]:
    (found,) = rows(name, f"SELECT * FROM django_store_{table} WHERE id = ?", number)
    return found


def in_winter(text: str | None) -> datetime | None:
    """Return the time of a clock in Paris, in winter."""
    return text and datetime.fromisoformat(f"{text}+01:00")  # type: ignore[return-value]


def data(held: dict[str, Any]) -> DataKey:
    metadata = ast.literal_eval(held["metadata"].replace("null", "None"))
    return DataKey(held["path"], held["digest"], in_winter(held.get("creation")), metadata)


def component(name: str, table: str, number: int) -> Component:
    held = row(name, table, number)
    return Component(held["type"], ast.literal_eval(held["parameters"]))


OUTPUTS = {
    "django074.sqlite": "SELECT * FROM django_store_datakey WHERE output_from_record_id = ? ORDER BY id",
    "django_0.4.0.sqlite": "SELECT k.* FROM django_store_datakey k JOIN django_store_record_output_data m"
    " ON m.datakey_id = k.id WHERE m.record_id = ? ORDER BY k.id",
}
SHARED = (
    "SELECT x.* FROM django_store_{0} x JOIN django_store_record_{1} m ON m.{0}_id = x.id"
    " WHERE m.record_id = ? ORDER BY x.id"
)
TAGS = "SELECT name FROM tagging_tag t JOIN tagging_taggeditem i ON i.tag_id = t.id WHERE object_id = ?"


def expected(name: str, held: dict[str, Any]) -> dict[str, Any]:
    """Return what a record says field by field, looked up without smtd."""
    number = held["db_id"]
    executable, repository = (row(name, each, held[f"{each}_id"]) for each in ("executable", "repository"))
    dependencies = rows(name, SHARED.format("dependency", "dependencies"), number)
    platforms = rows(name, SHARED.format("platforminformation", "platforms"), number)
    parameters = row(name, "parameterset", held["parameters_id"])
    texts = (
        "label",
        "reason",
        "duration",
        "main_file",
        "version",
        "script_arguments",
        "outcome",
        "diff",
        "user",
    )
    return {
        **{text: held[text] for text in texts},
        "timestamp": in_winter(held["timestamp"]),
        "executable": Executable(*(executable[each] for each in ("path", "name", "version", "options"))),
        "repository": Repository(repository["type"], repository["url"], repository.get("upstream")),
        "parameters": (parameters["type"], parameters["content"]),
        "input_data": tuple(data(key) for key in rows(name, SHARED.format("datakey", "input_data"), number)),
        "launch_mode": component(name, "launchmode", held["launch_mode_id"]),
        "datastore": component(name, "datastore", held["datastore_id"]),
        "input_datastore": component(name, "datastore", held["input_datastore_id"]),
        "output_data": tuple(data(key) for key in rows(name, OUTPUTS[name], number)),
        "tags": {found["name"] for found in rows(name, TAGS, number)},
        "dependencies": tuple(
            Dependency(**{"source": None, **found})
            for found in ({each: one[each] for each in one if each != "id"} for one in dependencies)
        ),
        "platforms": tuple(
            Platform(**{each: one[each] for each in one if each != "id"}) for one in platforms
        ),
        "stdout_stderr": held["stdout_stderr"],
        "repeats": held.get("repeats"),
    }


def said(one: Record) -> dict[str, Any]:
    """Return the fields of a record by name."""
    fields = {name: getattr(one, name) for name in Record.__struct_fields__ if name != "opaque"}
    return {**fields, "parameters": (one.parameters.type, one.parameters.content)}


@pytest.mark.parametrize("name", REAL)
def test_real_database_is_read_whole(name: str) -> None:
    """Of a database that the old Sumatra made every field of every record is as it says."""
    held = rows(name, "SELECT * FROM django_store_record")

    found = load(CORPUS / name)

    assert found.version == REAL[name]
    assert found.unreadable == {}
    assert len(held) == 2
    assert {key: said(one) for key, one in found.records.items()} == {
        Key("oldproj", each["label"]): expected(name, each) for each in held
    }


@pytest.mark.parametrize("name", REAL)
def test_real_database_stays_as_it_is(tmp_path: Path, name: str) -> None:
    """To read a database changes no byte of it, and makes nothing beside it."""
    shutil.copyfile(CORPUS / name, tmp_path / name)
    before = contents(tmp_path), (tmp_path / name).stat().st_mtime_ns

    load(tmp_path / name)

    assert (contents(tmp_path), (tmp_path / name).stat().st_mtime_ns) == before


# Into a new store


async def test_new_store_keeps_what_the_old_one_says(tmp_path: Path) -> None:
    """What smtd writes of an old database into a new one reads back the same."""
    found = await to_thread.run_sync(load, CORPUS / "django074.sqlite")
    place = DjangoPlace(tmp_path / "new.sqlite")
    await place.put(*found.records.values(), project="oldproj")

    again = await read_from(place, found.records)

    assert {key: said(one) for key, one in again.items()} == {
        key: said(one) for key, one in found.records.items()
    }
