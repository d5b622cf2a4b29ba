"""Convert rows of the Django schema into records, and records into rows, without I/O.

The meaning of each column is that of `models.py` in sumatra/recordstore/django_store (0.8.1).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from functools import lru_cache, partial
from typing import Any, NamedTuple

from smtd.errors import RecordUnusable
from smtd.records import literal
from smtd.records.memo import Memo
from smtd.records.parameters import content
from smtd.records.record import (
    BAD_VALUE,
    Component,
    DataKey,
    Dependency,
    Executable,
    Parameters,
    Platform,
    Record,
    Repository,
    bad_value,
    is_plain,
)
from smtd.stores.django import readable
from smtd.stores.django.mapping import RECORD_COLUMNS, REFERENCES, RELATIONS

#: The arguments that Sumatra passes to DataKey besides the metadata: a metadata key must not be named so.
_DATA_KEY_ARGUMENTS = frozenset(("self", "path", "digest", "creation"))


class Parts(NamedTuple):
    """The rows of one record in other tables."""

    tags: list[str]
    input_data: list[tuple[Any, ...]]
    output_data: list[tuple[Any, ...]]
    dependencies: list[tuple[Any, ...]]
    platforms: list[tuple[Any, ...]]


def record(row: Sequence[Any], parts: Parts) -> Record:
    """Return the record of one row and its parts.

    Raises RecordUnusable for a value that cannot be read as data: SQLite can store any.
    """
    try:
        return _record(row, parts)
    except BAD_VALUE as exc:
        raise bad_value(exc) from exc


def _record(row: Sequence[Any], parts: Parts) -> Record:
    values = dict(zip(RECORD_COLUMNS, row, strict=False))
    executable, repository, parameters, launch_mode, *datastores = (row[which] for which in _REFERENCES)
    _check_types(row, parts)
    values["timestamp"] = _moment(values["timestamp"])
    text = Parameters(*parameters)
    try:
        content.check(text)
    except RecordUnusable as exc:
        raise RecordUnusable(f"parameters: {exc}") from exc
    return Record(
        **values,
        executable=None if executable[0] is None else _executable(*executable),
        repository=None if repository[0] is None else Repository(*repository),
        parameters=text,
        launch_mode=_component("launch_mode", *launch_mode),
        datastore=_component("datastore", *datastores[0]),
        input_datastore=_component("input_datastore", *datastores[1]),
        input_data=tuple(_data_key(*key) for key in parts.input_data),
        output_data=tuple(_data_key(*key) for key in parts.output_data),
        tags=frozenset(parts.tags),
        dependencies=tuple(_dependency(*found) for found in parts.dependencies),
        platforms=tuple(_platform(*found) for found in parts.platforms),
    )


def _slices() -> Iterator[slice]:
    """Yield where in a row the columns of each of `REFERENCES` are, after those of the record."""
    start = len(RECORD_COLUMNS)
    for reference in REFERENCES:
        yield slice(start, start + len(reference.columns))
        start += len(reference.columns)


_REFERENCES = tuple(_slices())
#: Each of these rows must exist. NULL may be in columns of the first two (executable, repository), but not in
#: their first column, and not in the others.
_FIRST = [which.start for which in _REFERENCES[:2]]
_NEEDED = slice(_REFERENCES[2].start, None)

_DURATION = RECORD_COLUMNS.index("duration")
_PLATFORM = tuple(RELATIONS["platforms"].columns)


def _check_types(row: Sequence[Any], parts: Parts) -> None:
    """Raise RecordUnusable for a value of the wrong type: SQLite stores any value in any column."""
    duration = row[_DURATION]
    if not (duration is None or isinstance(duration, (int, float))):
        shown = "of bytes" if isinstance(duration, bytes) else literal.shortened(str(duration))
        raise RecordUnusable(f"its duration {shown} is not a number")
    texts = [*row[:_DURATION], *row[_DURATION + 1 :], *parts.tags]
    for others in parts[1:]:
        for part in others:
            texts += part
    try:
        text = "".join([value for value in texts if value is not None])
    except TypeError as exc:
        raise RecordUnusable("it has a value that is not text where only text may be") from exc
    if not (text.isascii() or is_plain(text)):
        raise RecordUnusable("it has a text that is not Unicode")
    if any(value is None for value in (*(row[first] for first in _FIRST), *row[_NEEDED])):
        raise RecordUnusable("a row that it refers to is missing")


def _moment(text: str) -> datetime:
    """Return the time in *text*; one without an offset is in UTC, as Django reads it."""
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=timezone.utc) if found.tzinfo is None else found.astimezone(timezone.utc)
    except (ValueError, TypeError, OverflowError) as exc:
        raise RecordUnusable(f"{literal.shortened(str(text))} is not a time") from exc


_executable = lru_cache(maxsize=1024)(Executable)
_dependency = lru_cache(maxsize=4096)(Dependency)
_platform = lru_cache(maxsize=1024)(Platform)


@lru_cache(maxsize=1024)
def _component(field: str, kind: str, parameters: str) -> Component:
    """Return a launch mode or data store; Sumatra evaluates the text as code, smtd only parses it."""
    try:
        state = literal.read(parameters)
    except literal.NotLiteral as exc:
        raise RecordUnusable(f"{field}: {exc}, and Sumatra would run it") from exc
    if not isinstance(state, dict):
        raise RecordUnusable(f"{field}: {literal.shortened(parameters)} is not a dictionary")
    return Component(kind, state)


def _data_key(path: str, digest: str, creation: str | None, metadata: str) -> DataKey:
    return DataKey(path, digest, None if creation is None else _moment(creation), _metadata(metadata))


@lru_cache(maxsize=1024)
def _metadata(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = literal.read(text)  # Sumatra before 0.7 wrote the dictionary's repr
    if not isinstance(found, dict):
        raise RecordUnusable(f"metadata: {literal.shortened(text)} is not a dictionary")
    return found


class Columns(NamedTuple):
    """A record as values for the tables, text as Django writes it."""

    scalars: tuple[Any, ...]  # in the order of RECORD_COLUMNS
    executable: tuple[Any, ...] | None
    repository: tuple[Any, ...] | None
    parameters: tuple[Any, ...]
    launch_mode: tuple[Any, ...]
    datastore: tuple[Any, ...]
    input_datastore: tuple[Any, ...]
    input_data: list[tuple[Any, ...]]
    output_data: list[tuple[Any, ...]]
    dependencies: list[tuple[Any, ...]]
    platforms: list[tuple[Any, ...]]
    tags: list[str]


def columns(record: Record) -> Columns:
    """Return *record* as values for the tables.

    Raises RecordUnusable for a record that the schema cannot hold, or that Sumatra could not
    read from it (one such record keeps it from listing the whole project).
    """
    record = readable.readable_form(record)
    scalars = {name: getattr(record, name) or "" for name in RECORD_COLUMNS}
    scalars |= {
        "timestamp": moment(record.timestamp),
        "duration": record.duration,
        "repeats": record.repeats,
    }
    executable, repository = record.executable, record.repository
    return Columns(
        scalars=tuple(scalars.values()),
        executable=None if executable is None else _executable_columns(executable),
        repository=None
        if repository is None
        else (repository.type, repository.url or "", repository.upstream or None),
        parameters=(record.parameters.type, record.parameters.content),
        launch_mode=_component_columns(record.launch_mode),
        datastore=_component_columns(record.datastore),
        input_datastore=_component_columns(record.input_datastore),
        input_data=_unique(map(_data_key_columns, record.input_data)),
        output_data=_unique(map(_data_key_columns, record.output_data)),
        dependencies=_unique(map(_dependency_columns, record.dependencies)),
        platforms=_unique(
            tuple(getattr(found, name) or "" for name in _PLATFORM) for found in record.platforms
        ),
        tags=sorted(tag for tag in record.tags if tag),
    )


def moment(value: datetime) -> str:
    """Return a time as Django writes it into SQLite: UTC, no fraction if it is zero."""
    utc = value if value.tzinfo is timezone.utc else value.astimezone(timezone.utc)
    return utc.isoformat(" ")[: -len("+00:00")]


def _executable_columns(value: Executable) -> tuple[Any, ...]:
    return (value.path or "", value.name or "", value.version or "", value.options or "")


_SIMPLE = (str, int, type(None))


def _component_columns(value: Component) -> tuple[Any, ...]:
    text = repr(value.parameters)
    if not all(type(each) in _SIMPLE for each in value.parameters.values()) or "file://" in text:
        text = literal.write(value.parameters)
    return (value.type, text)


_metadata_text = Memo(partial(json.dumps, sort_keys=True))


def _data_key_columns(key: DataKey) -> tuple[Any, ...]:
    if clash := _DATA_KEY_ARGUMENTS & key.metadata.keys():
        raise RecordUnusable(f"Sumatra cannot read metadata called {min(clash)!r}")
    try:
        metadata = _metadata_text(key.metadata)
    except (TypeError, ValueError) as exc:
        raise RecordUnusable(f"the metadata of {key.path!r} cannot be written: {exc}") from exc
    return (key.path, key.digest, None if key.creation is None else moment(key.creation), metadata)


def _dependency_columns(value: Dependency) -> tuple[Any, ...]:
    return (
        value.module,
        value.name or "",
        value.path or "",
        value.version or "",
        value.diff or "",
        value.source,
    )


def _unique(values: Any) -> list[tuple[Any, ...]]:
    return list(dict.fromkeys(values))
