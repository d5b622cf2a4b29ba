"""smtd reads exports of Sumatra 0.2 to 0.8 as Sumatra does, except for their local times."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from smtd.errors import StoreRefused
from smtd.records.record import Component, DataKey, Dependency, Key, Parameters, Record
from smtd.stores.legacy import export
from smtd.stores.legacy.sources import Snapshot
from tests.build import UTC
from tests.stores.old_exports import OLDEST, OUT, SHA1, SHAPES, V03, V04, V08
from tests.stores.places import CODE

NO_DIGEST = "0000000000000000000000000000000000000000"
RUN = Key("MyProject", "run")
NOON = datetime(2012, 7, 1, 10, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of an export in a project."""
    file = tmp_path / "MyProject" / ".smt" / "records_export.json"
    file.parent.mkdir(parents=True)
    return file


def exported(path: Path, *entries: Any, timezone: str = "Europe/Paris") -> Snapshot:
    """Return the contents of an export with *entries*."""
    path.write_text(json.dumps(entries), encoding="utf-8")
    return export.load(path, timezone)


def only(found: Snapshot) -> Record:
    assert found.unreadable == {}
    return found.records[RUN]


OUTPUT = {
    **dict.fromkeys(("0.2", "0.3"), DataKey("out.csv", NO_DIGEST)),
    **dict.fromkeys(("0.4", "0.5", "0.6"), DataKey("out.csv", SHA1, None, OUT["metadata"])),
    **dict.fromkeys(("0.7", "0.8"), DataKey("out.csv", SHA1, NOON.replace(second=3), OUT["metadata"])),
}


@pytest.mark.parametrize("version", SHAPES)
def test_shape_of_each_version_is_read(path: Path, version: str) -> None:
    """smtd recognizes the version of an export by its shape, and reads all common fields.

    Data that were only paths have a digest of zeros, and older data no time.
    """
    found = exported(path, SHAPES[version])

    assert found.version == version
    one = only(found)
    assert (one.label, one.reason, one.duration, one.outcome) == ("run", "why", 2.5, "42")
    assert one.timestamp == NOON
    assert one.tags >= {"foo", "bar"}
    assert one.parameters == Parameters("SimpleParameterSet", "seed = 1")
    assert one.launch_mode == Component("SerialLaunchMode", {})
    assert one.datastore == Component("FileSystemDataStore", {"root": "/data"})
    assert [found.network_name for found in one.platforms] == ["node"]
    assert one.output_data == (OUTPUT[version],)


def test_missing_fields_get_the_values_of_an_import(path: Path) -> None:
    """As when Sumatra imports the export."""
    one = only(exported(path, OLDEST))

    assert one.executable
    assert one.repository
    assert (one.executable.options, one.script_arguments, one.user, one.stdout_stderr) == ("", "", "", "")
    assert (one.repository.upstream, one.repeats) == (None, None)
    assert one.input_data == ()
    assert one.input_datastore == Component("FileSystemDataStore", {"root": "/"})
    assert one.dependencies == (Dependency("python", "numpy", "/opt/numpy", "1.7", "", None),)


def test_inputs_of_0_3_have_no_digests(path: Path) -> None:
    """Whether they are a list, or a list as text."""
    assert only(exported(path, V03)).input_data == (DataKey("in.csv", NO_DIGEST),)
    assert only(exported(path, {**V04, "input_data": ["in.csv"]})).input_data == (
        DataKey("in.csv", NO_DIGEST),
    )


TIMES = {
    "2012-07-01 12:00:00": NOON,
    "2012-07-01T12:00:00": NOON,
    "2012-07-01 10:00:00+0000": NOON,
    "2012-07-01T10:00:00+00:00": NOON,
    "2012-07-01 10:00:00 00:00": NOON,
    "2012-07-01T10:00:00Z": NOON,
    "2012-07-01 15:30:00+0530": NOON,
    "2012-07-01 05:00:00-05:00": NOON,
    "2012-10-28 02:30:00": datetime(2012, 10, 28, 0, 30, tzinfo=UTC),
}


@pytest.mark.parametrize("text", TIMES)
def test_times_are_read_in_each_spelling(path: Path, text: str) -> None:
    """A time with an offset as it says, any other in the zone."""
    assert only(exported(path, {**V08, "timestamp": text})).timestamp == TIMES[text]


def test_empty_export_is_an_empty_store(path: Path) -> None:
    """A project without records has an export without records."""
    assert exported(path) == Snapshot({}, {}, "")


# The name of the project


def test_project_is_named_by_the_file_beside(path: Path) -> None:
    """`smt export` leaves a file with the project's name beside its records."""
    beside = path.with_name("project_export.json")
    beside.write_text('{"name": "Große Läufe", "plugins": []}', encoding="utf-8")

    assert exported(path, V08).records.keys() == {Key("Große Läufe", "run")}


@pytest.mark.parametrize("place", ["named/.smt", "named/.smt_backup_20240506-070809", "named"])
def test_project_is_named_by_its_directory(tmp_path: Path, place: str) -> None:
    """Without that file: the directory of `.smt`, or the name of the file."""
    file = tmp_path / place / "records_export.json"
    file.parent.mkdir(parents=True)

    assert exported(file, V08).records.keys() == {Key("named", "run")}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"name": ""}', '{"name": 1}', '{"name": "\\ud800"}'])
def test_project_file_without_a_name_is_refused(path: Path, content: str) -> None:
    """A project must not get another name because its file is damaged."""
    path.with_name("project_export.json").write_text(content, encoding="utf-8")

    with pytest.raises(StoreRefused, match=r"project_export\.json"):
        exported(path, V08)


# Hostile contents

HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "code in a launch mode": (
        {"launch_mode": {"type": "SerialLaunchMode", "parameters": CODE}},
        "Sumatra would run it",
    ),
    "code in a data store": (
        {"datastore": {"type": "FileSystemDataStore", "parameters": f"{{'root': {CODE}}}"}},
        "Sumatra would run it",
    ),
    "code in inputs": ({"input_data": CODE}, "is not a literal value"),
    "code in parameters": ({"parameters": {"type": "dict", "content": CODE}}, "parameters"),
    "a set in a launch mode": (
        {"launch_mode": {"type": "SerialLaunchMode", "parameters": "{'n': {1}}"}},
        "is not a dictionary of named values",
    ),
    "deep brackets": (
        {"launch_mode": {"type": "SerialLaunchMode", "parameters": "[" * 100_000}},
        "launch_mode",
    ),
    "a time that is none": ({"timestamp": "yesterday"}, "is not a time"),
    "an offset that is none": ({"timestamp": "2012-07-01 12:00:00+9999999"}, "is not a time"),
    "a time before all": ({"timestamp": "0001-01-01 00:00:00+2300"}, "is not a time"),
    "a creation that is none": ({"output_data": [{**OUT, "creation": "never"}]}, "is not a time"),
    "a duration that is text": ({"duration": "long"}, "duration"),
    "an executable that is none": ({"executable": None}, "executable"),
    "a field of no type": ({"outcome": ["a"]}, "outcome"),
    "text that is not Unicode": ({"outcome": "\udcff"}, "not Unicode"),
    "a huge number": ({"duration": 10**400}, "too large"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_content_makes_its_record_unreadable(path: Path, case: str) -> None:
    """With a reason; nothing is run, and the others are read."""
    changes, reason = HOSTILE[case]

    found = exported(path, {**V08, **changes}, {**V08, "label": "whole"})

    assert found.records.keys() == {Key("MyProject", "whole")}
    assert found.unreadable.keys() == {RUN}
    assert reason in found.unreadable[RUN]


@pytest.mark.parametrize("name", ["reason", "path"])
def test_doubled_json_key_makes_its_record_unreadable(path: Path, name: str) -> None:
    """smtd cannot know which of the two counts; it reads the other records."""
    entry = json.dumps(V08).replace(f'"{name}": ', f'"{name}": "another", "{name}": ', 1)
    whole = json.dumps({**V08, "label": "whole"})
    path.write_text(f"[{entry}, {whole}]", encoding="utf-8")

    found = export.load(path, "")

    assert found.records.keys() == {Key("MyProject", "whole")}
    assert "a duplicate name" in "".join(found.unreadable.values())


@pytest.mark.parametrize("entry", [None, 1, "run", [], {}, {"label": 1}, {"label": "\udcff"}])
def test_entry_without_a_label_is_reported_by_its_number(path: Path, entry: Any) -> None:
    """So that it is not lost silently."""
    found = exported(path, V08, entry)

    assert found.records.keys() == {RUN}
    assert found.unreadable.keys() == {Key("MyProject", "(number 2 of the export)")}


def test_different_entries_with_one_label_are_unreadable(path: Path) -> None:
    """Equal ones are one record."""
    found = exported(path, V08, {**V08, "outcome": "43"}, {**V08, "label": "same"}, {**V08, "label": "same"})

    assert found.records.keys() == {Key("MyProject", "same")}
    assert found.unreadable == {RUN: "two different records have this label"}


DAMAGED = {
    "empty": b"",
    "cut off": json.dumps([V08]).encode()[:-20],
    "not Unicode": b'["\xff"]',
    "no JSON": b"hello",
    "deep": b"[" * 1_000_000,
    "a huge number": b"[" + b"9" * 10_000 + b"]",
    "another thing": b'{"name": "MyProject"}',
    "a number": b"1",
}


@pytest.mark.parametrize("case", DAMAGED)
def test_file_that_is_no_export_is_refused(path: Path, case: str) -> None:
    """In one sentence, if it has no list of records."""
    path.write_bytes(DAMAGED[case])

    with pytest.raises(StoreRefused, match=r"records_export\.json is (damaged|not a Sumatra export)"):
        export.load(path, "")


def test_single_record_is_an_export_of_one(path: Path) -> None:
    """Sumatra shows a single record without a list around it."""
    path.write_text(json.dumps(V08), encoding="utf-8")

    assert export.load(path, "").records.keys() == {RUN}
