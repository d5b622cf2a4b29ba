"""Exports of Sumatra 0.2 to 0.8 (`smt export`): lists of records in JSON, which smtd never writes.

The file is `.smt/records_export.json`. Its records belong to the one project that is named in
`project_export.json` beside it. Without that file, the name of the project is that of the directory that
holds `.smt`, or else of the one that holds the file.

smtd reads the same record as `build_record` in Sumatra 0.8.1 (sumatra/recordstore/serialization.py), except
for times without an offset, which Sumatra before 0.8 wrote: these are local, but Sumatra reads them as UTC.
Texts that Sumatra would run are read as data.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import msgspec

from smtd import regular
from smtd.errors import RecordNameless, RecordUnusable, StoreRefused
from smtd.records import documents, literal, python2, tags
from smtd.records.record import (
    BAD_VALUE,
    Component,
    DataKey,
    Dependency,
    Executable,
    Key,
    Parameters,
    Platform,
    Record,
    Repository,
    bad_value,
    is_plain,
)
from smtd.stores.legacy import sources
from smtd.stores.legacy.sources import LegacySource, Snapshot

_Text: TypeAlias = str | None


# The parts of a record as JSON objects: the journal keeps them as arrays.


class _Executable(Executable, frozen=True, array_like=False):
    pass


class _Repository(Repository, frozen=True, array_like=False):
    pass


class _Parameters(Parameters, frozen=True, array_like=False):
    pass


class _Dependency(Dependency, frozen=True, array_like=False):
    pass


class _Platform(Platform, frozen=True, array_like=False):
    pass


class _Component(msgspec.Struct, frozen=True):
    type: str
    parameters: dict[str, Any] | str


class _DataKey(msgspec.Struct):
    path: str
    digest: str
    metadata: dict[str, Any]
    creation: _Text = None


_ROOT = _Component(sources.INPUT_DATASTORE[0], sources.INPUT_DATASTORE[1])


class _Exported(msgspec.Struct):
    """A record in an export; some version of Sumatra did not write the fields with a default."""

    label: str
    timestamp: str
    reason: _Text
    duration: float | None
    executable: _Executable
    repository: _Repository
    main_file: _Text
    version: _Text
    parameters: _Parameters
    launch_mode: _Component
    datastore: _Component
    outcome: _Text
    diff: _Text
    tags: list[str] | str
    dependencies: list[_Dependency]
    platforms: list[_Platform]
    input_data: list[_DataKey | str] | str = []
    input_datastore: _Component = _ROOT
    output_data: list[_DataKey] | None = None
    data_key: str = "[]"
    script_arguments: _Text = ""
    user: _Text = ""
    stdout_stderr: _Text = ""
    repeats: _Text = None


#: The fields that have the same values in a Record.
_SAME = (
    *("label", "reason", "duration", "main_file", "version", "script_arguments"),
    *("outcome", "diff", "user", "stdout_stderr", "repeats"),
)


def load(path: Path, timezone: str) -> Snapshot:
    """Return the content of the export at *path*; its local times are in *timezone* (empty: this machine's).

    Blocks. Raises FileNotFoundError if there is no file, StoreRefused if it is not an export, or if the
    time zone is unknown.
    """
    local = sources.zone(timezone)
    found = _json(path)
    entries = [found] if isinstance(found, dict) and "label" in found else found
    if not isinstance(entries, list):
        raise StoreRefused(f"{path} is not a Sumatra export: it has no list of records")
    project = _project(path)
    return sources.snapshot(_records(project, entries, local), max(map(_version, entries), default=""))


def _json(path: Path) -> Any:
    try:
        return documents.read(regular.read(path), doubled=lambda _: documents.Doubled())
    except (ValueError, RecursionError, MemoryError) as exc:
        raise StoreRefused(f"{path} is damaged or not a Sumatra export: it is not JSON") from exc


def _project(path: Path) -> str:
    """Return the name of the project whose records the file at *path* holds."""
    beside = path.with_name("project_export.json")
    if not beside.exists():
        home = path.absolute().parent
        return (home.parent if home.name.startswith(".smt") else home).name
    found = _json(beside)
    name = found.get("name") if isinstance(found, dict) else None
    if not (isinstance(name, str) and name and is_plain(name)):
        raise StoreRefused(f"{beside} names no project; correct it, or remove it")
    return name


def _records(
    project: str, entries: list[Any], local: ZoneInfo | None
) -> Iterator[tuple[Key, Record | RecordUnusable]]:
    for number, entry in enumerate(entries, start=1):
        label = entry.get("label") if isinstance(entry, dict) else None
        is_named = True
        if not (isinstance(label, str) and is_plain(label)):
            label, is_named = f"(number {number} of the export)", False
        key = Key(project, label)
        try:
            yield key, _record(entry, local)
        except RecordUnusable as exc:
            yield key, exc if is_named else RecordNameless(str(exc))


def _record(entry: Any, local: ZoneInfo | None) -> Record:
    try:
        return _understood(entry, local)
    except BAD_VALUE as exc:
        raise bad_value(exc) from exc


def _understood(entry: Any, local: ZoneInfo | None) -> Record:
    if not is_plain(entry):
        raise RecordUnusable(
            "it has a duplicate name, a text that is not Unicode, or a number that is too large"
        )
    try:
        read = msgspec.convert(entry, _Exported)
    except msgspec.ValidationError as exc:
        raise RecordUnusable(f"it is not a record in Sumatra's export format: {exc}") from exc
    return Record(
        **{name: getattr(read, name) for name in _SAME},
        timestamp=sources.moment(read.timestamp, local),
        executable=Executable(**_fields(read.executable)),
        repository=Repository(**_fields(read.repository)),
        parameters=sources.parameters(read.parameters.type, read.parameters.content),
        launch_mode=_component("launch_mode", read.launch_mode),
        datastore=_component("datastore", read.datastore),
        input_datastore=_component("input_datastore", read.input_datastore),
        input_data=tuple(_data_key(key, local) for key in _listed(read.input_data)),
        output_data=tuple(_data_key(key, local) for key in _outputs(read)),
        tags=tags.split(read.tags) if isinstance(read.tags, str) else frozenset(read.tags),
        dependencies=tuple(Dependency(**_fields(found)) for found in read.dependencies),
        platforms=tuple(Platform(**_fields(found)) for found in read.platforms),
    )


def _fields(value: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__struct_fields__}


def _component(field: str, value: _Component) -> Component:
    """Return a launch mode or a data store; before 0.4 their parameters are text."""
    state: Any = value.parameters
    if isinstance(state, str):
        try:
            state = literal.read(python2.text(state))
        except literal.NotLiteral as exc:
            raise RecordUnusable(f"{field}: {exc}, and Sumatra would run it") from exc
    if not (isinstance(state, dict) and is_plain(state)):
        raise RecordUnusable(f"{field}: {literal.shortened(str(state))} is not a dictionary of named values")
    return Component(value.type, state)


def _outputs(read: _Exported) -> list[_DataKey | str]:
    return _listed(read.data_key) if read.output_data is None else [*read.output_data]


def _listed(keys: list[_DataKey | str] | str) -> list[_DataKey | str]:
    """Return data keys, or paths: before 0.4 a list of paths, or that list as text."""
    return [*sources.paths(keys)] if isinstance(keys, str) else keys


def _data_key(key: _DataKey | str, local: ZoneInfo | None) -> DataKey:
    if isinstance(key, str):
        return DataKey(key, sources.NO_DIGEST)
    creation = None if key.creation is None else sources.moment(key.creation, local)
    return DataKey(key.path, key.digest, creation, key.metadata)


def _version(entry: Any) -> str:
    """Return the first Sumatra that wrote records such as *entry*, as far as the entry shows that."""
    if not isinstance(entry, dict):
        return ""
    if "data_key" in entry:
        return "0.3" if "script_arguments" in entry else "0.2"
    if "repeats" not in entry:
        repository = entry.get("repository")
        return "0.5" if isinstance(repository, dict) and "upstream" in repository else "0.4"
    timestamp = entry.get("timestamp")
    if isinstance(timestamp, str) and len(timestamp) > len("YYYY-MM-DD HH:MM:SS"):  # it has an offset
        return "0.8"
    keys = [entry.get("input_data"), entry.get("output_data")]
    data = [key for each in keys if isinstance(each, list) for key in each if isinstance(key, dict)]
    return "0.6" if data and not any("creation" in key for key in data) else "0.7"


SOURCE = LegacySource("export", "an export", lambda path: (path, path.with_name("project_export.json")), load)
