"""Convert records to and from the JSON (version 4) of a Sumatra Server.

The server stores what it is sent unchanged in the columns of Sumatra's Django schema. So a body has
what those columns hold: parameters of launch modes and metadata as text.
"""

from __future__ import annotations

import json
import math
import re
from contextlib import suppress
from datetime import datetime, timezone
from hashlib import blake2b
from typing import Any

from smtd.errors import AnotherRecord, RecordUnusable
from smtd.records import documents, literal
from smtd.records.parameters import content
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
    in_words,
    is_plain,
    set_plain,
)
from smtd.stores.django import rows
from smtd.stores.django.mapping import RECORD_COLUMNS, RELATIONS
from smtd.stores.http import address

#: How servers write a time. Without a zone it is UTC, as Sumatra 0.8.1 reads it.
_TIMES = tuple(f"%Y-%m-%d{between}%H:%M:%S{rest}" for rest in ("%z", "", ".%f%z", ".%f") for between in " T")

#: The forms that nearly all servers use.
_USUAL = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{6})?(\+00:?00)?\Z", re.ASCII)

#: Fields that a PUT on an existing record changes.
MUTABLE_FIELDS = ("reason", "outcome", "tags")


class Altered(RecordUnusable):
    """The server returned a record with unreadable parameters: surely not the record that was sent.

    `shown` is that record, with those parameters.
    """

    def __init__(self, reason: str, shown: Record) -> None:
        super().__init__(reason)
        self.shown = shown


def check(record: Record) -> None:
    """Raise RecordUnusable, with the reason and the remedy, if the server cannot keep *record*.

    Sumatra's own client must be able to read it, too: a single record that it cannot read stops it from
    listing the whole project.
    """
    address.check_label(record.label)
    if not all(platform.ip_addr for platform in record.platforms):
        raise RecordUnusable(
            "a Sumatra Server needs the address of every machine of the run, and one has none; sync it"
            " with a file or a database"
        )
    kind, text = record.parameters.type, record.parameters.content
    if kind in ("NoneType", "str") or (kind == "dict" and text.strip() != "{}"):
        raise RecordUnusable(
            f"Sumatra cannot read parameters of type {kind} from a server; sync it with a file or a database"
        )


def body(record: Record) -> bytes:
    """Return the body of a PUT that creates *record*. Raises RecordUnusable if the server cannot keep it."""
    check(record)
    try:
        columns = rows.columns(record)
    except BAD_VALUE as exc:
        raise bad_value(exc) from exc
    scalars = dict(zip(RECORD_COLUMNS, columns.scalars, strict=True))
    if record.duration is not None and not math.isfinite(record.duration):
        if not math.isnan(record.duration):
            raise RecordUnusable("JSON has no infinite duration; sync it with a file or a database")
        scalars["duration"] = None  # a database stores NaN as NULL, too
    document = scalars | {field: _related(field, getattr(columns, field)) for field in RELATIONS}
    document |= {"timestamp": _zoned(scalars["timestamp"]), "tags": columns.tags}
    # As UTF-8: with escapes, a text that is not in Latin letters is three times as large.
    try:
        return json.dumps(document, allow_nan=False, ensure_ascii=False).encode()
    except UnicodeEncodeError as exc:
        raise RecordUnusable("a text in it is not Unicode; only a shelf can hold it") from exc


def shared(record: Record) -> frozenset[bytes]:
    """Return digests of the rows that *record* shares with others: the server finds or creates them."""
    columns = rows.columns(record)
    return frozenset(
        blake2b(f"{table} {values!r}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
        for table, values in (
            ("executable", columns.executable),
            ("repository", columns.repository),
            ("parameters", columns.parameters),
            ("launch mode", columns.launch_mode),
            ("data store", columns.datastore),
            ("data store", columns.input_datastore),
        )
    )


def changes(record: Record) -> bytes:
    """Return the body of a PUT that sets the changeable fields of an existing record to those of *record*."""
    document = {
        "reason": record.reason or "",
        "outcome": record.outcome or "",
        "tags": sorted(tag for tag in record.tags if tag),
    }
    return json.dumps(document).encode()


def _related(field: str, rows: list[tuple[Any, ...]] | tuple[Any, ...] | None) -> Any:
    """Return the value in a document of a *field* that is stored in rows of another table."""
    if isinstance(rows, list):
        return [_related(field, row) for row in rows]
    if rows is None:
        return {}
    values = dict(zip(RELATIONS[field].columns, rows, strict=True))
    if values.get("creation") is not None:
        values["creation"] = _zoned(values["creation"])
    return values


def _zoned(moment: str) -> str:
    if moment < "1000":
        raise RecordUnusable(
            "a Sumatra Server cannot show a time before the year 1000 in a readable form;"
            " sync it with a file or a database"
        )
    return f"{moment}+0000"


def read(data: bytes, key: Key) -> Record:
    """Return the record in *data*, which the server returned for *key*.

    Raises AnotherRecord if *data* has another key, RecordUnusable if it is not a record.
    """
    try:
        document = documents.read(data, doubled=documents.refuse)
        _check_name(document, key)
        record = record_of(document)
    except BAD_VALUE as exc:
        raise RecordUnusable(
            f"the server's answer is not a record: {why_not(exc)}; correct the record there, or delete"
            " it there"
        ) from exc
    return set_plain(record)


def why_not(exc: BaseException) -> str:
    """Return in words why a document is not what it should be: *exc* is one of BAD_VALUE."""
    return f"it lacks {exc}" if isinstance(exc, KeyError) else in_words(exc) or str(exc)[:200]


def _check_name(document: dict[str, Any], key: Key) -> None:
    """Raise AnotherRecord if *document* has another project or label than *key*."""
    said = document.get("project_id", key.project), document["label"]
    if said != key:
        project, label = (literal.shortened(str(name)).strip("'") for name in said)
        raise AnotherRecord(
            f"the server returned a document of {project}/{label} when asked for {key}; look for a cache or"
            " a proxy in front of it that mixes up its answers"
        )


def record_of(document: dict[str, Any]) -> Record:
    """Return the record in *document*, which must have all fields, and metadata as objects.

    Raises one of BAD_VALUE for any other document, and Altered for parameters that cannot be read.
    """
    executable, repository = document["executable"], document["repository"]
    made = Record(
        label=_text(document["label"]) or "",
        timestamp=_moment(document["timestamp"]),
        reason=_text(document["reason"]),
        duration=_duration(document["duration"]),
        executable=Executable(*(_text(executable[name]) for name in RELATIONS["executable"].columns)),
        repository=Repository(
            _text(repository["type"]) or "", _text(repository["url"]), _text(repository["upstream"])
        ),
        main_file=_text(document["main_file"]),
        version=_text(document["version"]),
        parameters=Parameters(
            _text(document["parameters"]["type"]) or "", _text(document["parameters"]["content"]) or ""
        ),
        input_data=tuple(_read_key(key) for key in document["input_data"]),
        script_arguments=_text(document["script_arguments"]),
        launch_mode=_component(document["launch_mode"]),
        datastore=_component(document["datastore"]),
        input_datastore=_component(document["input_datastore"]),
        outcome=_text(document["outcome"]),
        output_data=tuple(_read_key(key) for key in document["output_data"]),
        tags=frozenset(_text(tag) or "" for tag in document["tags"]),
        diff=_text(document["diff"]),
        user=_text(document["user"]),
        dependencies=tuple(
            Dependency(*(_text(each[name]) for name in RELATIONS["dependencies"].columns))  # type: ignore[arg-type]
            for each in document["dependencies"]
        ),
        platforms=tuple(
            Platform(*(_text(each[name]) for name in RELATIONS["platforms"].columns))
            for each in document["platforms"]
        ),
        stdout_stderr=_text(document["stdout_stderr"]),
        repeats=_text(document["repeats"]),
    )
    try:
        content.check(made.parameters)
    except RecordUnusable as exc:
        raise Altered(str(exc), made) from exc
    return made


def _text(value: Any) -> str | None:
    if value is not None and not (isinstance(value, str) and is_plain(value)):
        raise TypeError(f"{literal.shortened(str(value))} is not text")
    return value


#: Durations for which JSON has no number, as smtd's own server writes them.
_BEYOND_JSON = {str(value): value for value in (math.inf, -math.inf, math.nan)}


def _duration(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, str) and value in _BEYOND_JSON:
        return _BEYOND_JSON[value]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{literal.shortened(str(value))} is not a number")
    if math.isinf(value):
        raise ValueError("its duration is infinite")
    return float(value)


def _moment(text: Any) -> datetime:
    if isinstance(text, str) and _USUAL.match(text):
        with suppress(ValueError):  # ten times as fast, but it takes other forms, too
            moment = datetime.fromisoformat(text)
            return (
                moment.replace(tzinfo=timezone.utc)
                if moment.tzinfo is None
                else moment.astimezone(timezone.utc)
            )
    for form in _TIMES:
        try:
            moment = datetime.strptime(text, form)
            if moment.tzinfo is None:
                return moment.replace(tzinfo=timezone.utc)
            return moment.astimezone(timezone.utc)
        except (ValueError, OverflowError):
            continue
    raise ValueError(f"{literal.shortened(str(text))} is not a time")


def _component(value: dict[str, Any]) -> Component:
    state = value["parameters"]
    if isinstance(state, str):
        state = literal.read(state)
    _check_values("the parameters of a launch mode or data store", state)
    return Component(_text(value["type"]) or "", state)


def _check_values(what: str, values: Any) -> None:
    """Raise TypeError unless *values* are a dictionary, RecordUnusable for a value that no store keeps."""
    if not isinstance(values, dict):
        raise TypeError(f"this is not a dictionary: {what}")
    if not is_plain(values):
        raise RecordUnusable(f"a whole number of more than 64 bits, or text that is not Unicode: {what}")


def _read_key(value: dict[str, Any]) -> DataKey:
    metadata, creation = value["metadata"], value["creation"]
    _check_values("the metadata of a file", metadata)
    path, digest = _text(value["path"]), _text(value["digest"])
    return DataKey(path or "", digest or "", None if creation is None else _moment(creation), metadata)
