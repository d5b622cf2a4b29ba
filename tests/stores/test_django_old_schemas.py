"""smtd reads all contents of each schema before 0.8.1, with the true times, however Python 2 wrote them."""

from __future__ import annotations

import ast
import json
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from smtd.errors import StoreRefused
from smtd.records.record import Component, DataKey, Key, Record
from smtd.stores.legacy import databases
from smtd.stores.legacy.sources import Snapshot
from tests.build import UTC
from tests.stores import golden, old_databases
from tests.stores.old_databases import HAGGLING, PROJECT, VERSIONS
from tests.stores.places import CORPUS

NO_DIGEST = "0000000000000000000000000000000000000000"


def load(path: Path, timezone: str = "Europe/Paris") -> Snapshot:
    return databases.load(path, timezone)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database of 0.7 with one record, alone in its directory."""
    directory = tmp_path / "old"
    directory.mkdir()
    return old_databases.make(directory / "records", "0.7")


# Real databases

REAL = {"django074.sqlite": "0.7", "django_0.4.0.sqlite": "0.4"}


@pytest.mark.parametrize("name", REAL)
def test_real_database_is_read_whole(name: str) -> None:
    """Every field of every record of a database that an old Sumatra made."""
    found = load(CORPUS / name)

    assert found.version == REAL[name]
    assert found.unreadable == {}
    assert {of.project for of in found.records} == {"oldproj"}
    assert golden.said(found.records) == golden.expected(name.removesuffix(".sqlite"))


# Schemas


FILLED_IN: dict[str, dict[str, Any]] = {
    "0.2": {"executable": "", "upstream": None, "source": None, "script_arguments": "", "stdout_stderr": ""},
    "0.3": {"executable": "-O", "upstream": None, "source": None, "stdout_stderr": ""},
    "0.4": {"upstream": None, "source": None, "creation": None, "stdout_stderr": "hello\n"},
    "0.5": {"upstream": "https://code.lab.example/c", "source": "attribute", "creation": None},
    "0.6": {"source": "attribute", "creation": None, "digest": "3700c58368775a12aee5a37e780fd2fbf2d31a10"},
    "0.7": {"creation": datetime(2012, 9, 28, 9, 40, 21, tzinfo=UTC), "metadata": {"size": 45}},
    "0.8 (development)": {"executable": "-O", "script_arguments": "<parameters>"},
}


def details(one: Record) -> dict[str, Any]:
    assert one.executable
    assert one.repository
    (output,) = one.output_data
    return {
        "executable": one.executable.options,
        "upstream": one.repository.upstream,
        "source": one.dependencies[0].source,
        "script_arguments": one.script_arguments,
        "stdout_stderr": one.stdout_stderr,
        "creation": output.creation,
        "digest": output.digest,
        "metadata": output.metadata,
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_version_is_recognized_by_the_tables(tmp_path: Path, version: str) -> None:
    """Records are read whatever columns the database lacks.

    A missing column has the value that Sumatra gives it in an import.
    """
    found = load(old_databases.make(tmp_path / "records", version))

    assert found.version == version
    assert found.unreadable == {}
    one = found.records[HAGGLING]
    assert (one.reason, one.duration, one.outcome) == ("why", 2.5, "42")
    assert one.tags == {"foo"}
    assert one.timestamp == datetime(2012, 9, 28, 9, 40, 20, 643678, UTC)
    assert one.launch_mode == Component("SerialLaunchMode", {})
    assert one.datastore == Component("FileSystemDataStore", {"root": "/data"})
    assert [found.name for found in one.dependencies] == ["numpy"]
    assert [found.network_name for found in one.platforms] == ["node-1"]
    told = details(one)
    assert {name: told[name] for name in FILLED_IN[version]} == FILLED_IN[version]


def test_data_of_0_3_are_paths_without_digests(tmp_path: Path) -> None:
    """They are lists of paths in text."""
    found = load(old_databases.make(tmp_path / "records", "0.3"))

    one = found.records[HAGGLING]
    assert one.input_data == (DataKey("in.csv", NO_DIGEST),)
    assert one.output_data == (DataKey("out.txt", NO_DIGEST),)
    assert one.input_datastore == Component("FileSystemDataStore", {"root": "/"})


def test_tags_are_read_from_column_and_tables(tmp_path: Path) -> None:
    """A tag counts in the column of the record and in the tables of tags."""
    path = old_databases.make(tmp_path / "records", "0.8 (development)")
    old_databases.add(path, "0.8 (development)", label="text", tags="_finished_,my tag")
    old_databases.add(path, "0.8 (development)", label="tables", tags="")
    old_databases.tag(path, "_failed_", row=3)
    old_databases.add(path, "0.8 (development)", label="words", tags="one two")

    found = load(path)

    assert {key.label: one.tags for key, one in found.records.items()} == {
        "haggling": {"foo"},
        "text": {"_finished_", "my tag"},
        "tables": {"_failed_"},
        "words": {"one", "two"},
    }


@pytest.mark.parametrize(
    ("statements", "tags"),
    [
        # Tagged objects of other kinds have their own numbers.
        (
            (
                "UPDATE tagging_taggeditem SET content_type_id = 1",
                "UPDATE django_store_record SET tags = ''",
            ),
            set(),
        ),
        # Without the tables of tags there is still the column of the record.
        (("DROP TABLE tagging_taggeditem",), {"foo"}),
    ],
    ids=["of other things", "without tables"],
)
def test_tags_of_other_objects_are_not_read(
    database: Path, statements: tuple[str, ...], tags: set[str]
) -> None:
    """Their numbers may equal those of records."""
    for statement in statements:
        old_databases.run(database, statement)

    assert load(database).records[HAGGLING].tags == tags


def test_record_without_a_project_is_left_out(database: Path) -> None:
    """Sumatra never lists it."""
    old_databases.add(database, "0.7", label="nobody's", project_id=None)

    assert load(database).records.keys() == {HAGGLING}


def test_different_records_with_one_label_are_unreadable(database: Path) -> None:
    """Equal ones are one record."""
    old_databases.add(database, "0.7", label="differing")
    old_databases.add(database, "0.7", label="differing", outcome="43")
    old_databases.add(database, "0.7", label="same")
    old_databases.add(database, "0.7", label="same")

    found = load(database)

    assert found.records.keys() == {HAGGLING, Key(PROJECT, "same")}
    assert found.unreadable == {Key(PROJECT, "differing"): "two different records have this label"}


# Times

TIMES = {
    "summer": ("2012-07-01 12:00:00", "Europe/Paris", "2012-07-01T10:00:00"),
    "winter": ("2012-12-01 12:00:00.5", "Europe/Paris", "2012-12-01T11:00:00.5"),
    "twice": ("2012-10-28 02:30:00", "Europe/Paris", "2012-10-28T00:30:00"),
    "never": ("2012-03-25 02:30:00", "Europe/Paris", "2012-03-25T01:30:00"),
    "UTC": ("2012-07-01 12:00:00.000001", "UTC", "2012-07-01T12:00:00.000001"),
    "elsewhere": ("2012-07-01 12:00:00", "Asia/Kolkata", "2012-07-01T06:30:00"),
}


@pytest.mark.parametrize("case", TIMES)
def test_local_times_become_utc(database: Path, case: str) -> None:
    """A time is that of a clock in the zone; a time that occurred twice is the first of both."""
    local, timezone, utc = TIMES[case]
    old_databases.run(database, "UPDATE django_store_record SET timestamp = ?", local)

    found = load(database, timezone).records[HAGGLING].timestamp

    instant, dot, fraction = utc.partition(".")
    parsed = datetime.fromisoformat(f"{instant}+00:00")
    assert found == parsed + timedelta(microseconds=int(fraction.ljust(6, "0")) if dot else 0)


def test_default_zone_is_that_of_this_machine(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If no zone is configured."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        found = load(database, "").records[HAGGLING].timestamp
    finally:
        monkeypatch.undo()
        time.tzset()

    assert found == datetime(2012, 9, 28, 15, 40, 20, 643678, UTC)


@pytest.mark.parametrize(
    "name", ["Mars/Olympus", "Europe", "../../etc/passwd", "/etc/localtime", "\0", "\udcff"]
)
def test_unknown_zone_is_refused(database: Path, name: str) -> None:
    """With a message that says so."""
    with pytest.raises(StoreRefused, match="there is no time zone"):
        load(database, name)


# What Python 2 wrote

PYTHON2 = {
    "launchmode": ("{u'n': 4L, u'mpirun': u'/usr/bin/mpirun'}", {"n": 4, "mpirun": "/usr/bin/mpirun"}),
    "datastore": ("{'root': '/home/Andr\\xc3\\xa9'}", {"root": "/home/André"}),
}


@pytest.mark.parametrize("table", PYTHON2)
def test_dictionaries_of_python_2_are_read(database: Path, table: str) -> None:
    """With the values that they had for the Sumatra that wrote them."""
    text, values = PYTHON2[table]
    old_databases.run(database, f"UPDATE django_store_{table} SET parameters = ?", text)

    one = load(database).records[HAGGLING]

    assert values in (one.launch_mode.parameters, one.datastore.parameters)


@pytest.mark.parametrize("text", ["{'a': 1L}", "{u'a': 1}"])
@pytest.mark.parametrize("type_name", ["dict", "NTParameterSet"])
def test_parameters_of_python_2_are_read(database: Path, type_name: str, text: str) -> None:
    """smtd passes them on in a form that Python 3 reads."""
    old_databases.run(database, "UPDATE django_store_parameterset SET type = ?, content = ?", type_name, text)

    found = load(database).records[HAGGLING].parameters

    assert ast.literal_eval(found.content) == {"a": 1}


def test_metadata_in_json_is_json(database: Path) -> None:
    """In 0.7 metadata is JSON, where no text is taken for one of Python 2."""
    held = {"a": "\\xc3\\xa9", "b": "Ã©", "c": None}
    old_databases.run(database, "UPDATE django_store_datakey SET metadata = ?", json.dumps(held))

    (output,) = load(database).records[HAGGLING].output_data

    assert output.metadata == held
