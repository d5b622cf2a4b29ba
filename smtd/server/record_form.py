"""A record as the JSON that Sumatra's clients send and receive (`record2dict` in sumatra/formatting).

The server sends times in UTC without a zone: Sumatra 0.7 reads nothing else, and 0.8 takes them for UTC. It
sends parameters of launch modes and data stores, and metadata, as objects, and accepts them as text, too:
smtd's own client sends what the columns of a Sumatra Server hold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from smtd.errors import RecordUnusable
from smtd.records import documents, literal
from smtd.records.record import BAD_VALUE, Key, Record, in_words, set_plain
from smtd.server.record_update import ANNOTATIONS, Annotations
from smtd.stores.http import exact_form, form

#: The most parts of a JSON document: a part of a few bytes takes fifty times as many in memory.
MOST_PARTS = 1_000_000
#: A body of at most this many bytes cannot have too many parts.
SMALL = 2 * MOST_PARTS
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)

_ROOT_DATASTORE = {"type": "FileSystemDataStore", "parameters": {"root": "/"}}
#: Fields that clients of older versions leave out, and their values (`build_record` in sumatra/recordstore).
_DEFAULTS: Mapping[str, Any] = {
    "reason": "",
    "outcome": "",
    "main_file": "",
    "version": "",
    "diff": "",
    "user": "",
    "duration": None,
    "script_arguments": "",
    "stdout_stderr": "",
    "repeats": None,
    "tags": [],
    "input_data": [],
    "output_data": [],
    "dependencies": [],
    "platforms": [],
    "input_datastore": _ROOT_DATASTORE,
}
_DEFAULTS_IN: Mapping[str, Mapping[str, Any]] = {
    "executable": {"version": "", "options": ""},
    "repository": {"upstream": None},
    "input_data": {"creation": None, "metadata": {}},
    "output_data": {"creation": None, "metadata": {}},
    "dependencies": {"diff": "", "source": None},
}


class BadDocument(ValueError):
    """A body is not what it should be; the text says why, in a sentence for the user."""


def parsed(body: bytes) -> dict[str, Any]:
    """Return the JSON object in *body*. Raises BadDocument."""
    check_parts(body)
    try:
        found = documents.read(body, doubled=documents.refuse)
    except BAD_VALUE as exc:
        raise BadDocument(f"the body is not JSON that can be used: {form.why_not(exc)}") from exc
    if not isinstance(found, dict):
        raise BadDocument("the body is not a JSON object")
    return found


def check_parts(body: bytes) -> None:
    """Raise BadDocument if *body*, one JSON document or one on each line, has too many parts."""
    if len(body) > SMALL and _count_parts(body) > MOST_PARTS:
        raise BadDocument(f"the body has more than {MOST_PARTS:,} parts")


def _count_parts(body: bytes) -> int:
    """Return about how many parts *body* has, or 0 if a quick count finds at most MOST_PARTS."""
    if sum(map(body.count, (b",", b"[", b"{"))) <= MOST_PARTS:
        return 0
    bare = _STRINGS.sub(b"", body)
    return sum(map(bare.count, (b",", b"[", b"{")))


def parsed_put(body: bytes, key: Key) -> Record | Annotations:
    """Return the record, or only the annotations, in the *body* of a PUT on *key*.

    Raises BadDocument, and RecordUnusable for a record with values that cannot be interpreted.
    """
    document = parsed(body)
    try:
        if document and document.keys() <= ANNOTATIONS:
            return _annotations(document)
        return whole(document, key)
    except RecordUnusable:
        raise
    except BAD_VALUE as exc:
        raise BadDocument(f"the body is not a record: {form.why_not(exc)}") from exc


def whole(document: dict[str, Any], key: Key) -> Record:
    """Return the record in *document*, which a client sent for *key*; it may lack fields as in old versions.

    Raises one of BAD_VALUE for any other document (`form.why_not` says why), and RecordUnusable.
    """
    return set_plain(form.record_of(_completed(document, key)))


def _annotations(document: dict[str, Any]) -> Annotations:
    values = {
        name: "" if document[name] is None else document[name]
        for name in ("reason", "outcome")
        if name in document
    }
    tags = {"tags": document["tags"]} if "tags" in document else {}
    if tags and not isinstance(document["tags"], list):
        raise TypeError("its tags are not a list")
    # Through JSON bytes, so that anything but valid Unicode text is refused.
    return msgspec.convert(msgspec.json.decode(msgspec.json.encode({**values, **tags})), Annotations)


def _completed(document: dict[str, Any], key: Key) -> dict[str, Any]:
    """Return *document* with all fields and metadata as objects. Raises ValueError if it is not of *key*."""
    document = {**_DEFAULTS, "label": key.label, **document}
    for name, of in (("label", key.label), ("project_id", key.project)):
        if name in document and document[name] != of:
            raise ValueError(f"its {name.removesuffix('_id')} differs from the one in the URL")
    for name, absent in _DEFAULTS_IN.items():
        part = document[name]
        document[name] = (
            [{**absent, **each} for each in part] if isinstance(part, list) else {**absent, **part}
        )
    for name in ("input_data", "output_data"):
        for each in document[name]:
            each["metadata"] = _parsed_text(each["metadata"])
    return document


def _parsed_text(value: Any) -> Any:
    """Return *value*; if it is text, the object that it expresses as JSON or as a Python literal."""
    if not isinstance(value, str):
        return value
    try:
        return documents.read(value.encode(), doubled=documents.refuse)
    except ValueError:
        return literal.read(value)


def document(record: Record, project: str, *, precise: bool = False) -> dict[str, Any]:
    """Return *record* of *project* as clients receive it; if *precise*, with microseconds."""
    found = exact_form.document(record)
    found |= {name: found[name] or "" for name in _TEXT_FIELDS} | {"project_id": project}
    if precise:
        return found
    found |= {"timestamp": _second(record.timestamp), "duration": record.duration}
    for name in ("input_data", "output_data"):
        for shown in found[name]:
            shown["creation"] = None if shown["creation"] is None else shown["creation"].partition(".")[0]
    return found


_TEXT_FIELDS = (
    *("reason", "main_file", "version", "outcome"),
    *("script_arguments", "diff", "user", "stdout_stderr"),
)


def _second(value: datetime) -> str:
    return value.replace(microsecond=0, tzinfo=None).isoformat(" ")


def encoded(document: object) -> bytes:
    """Return *document* as JSON. Raises RecordUnusable for a value that JSON cannot express."""
    try:
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as exc:
        raise RecordUnusable(f"it has a value that JSON cannot express ({in_words(exc) or exc})") from exc
