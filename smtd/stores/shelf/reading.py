"""Convert a pickled record, loaded inertly, into a Record.

What Sumatra 0.8.1 pickles is listed in docs/formats.md ("Shelves"); everything else in a record is
kept whole in `Record.opaque`. Records of older Sumatras are converted into that form first (`upgrade`).
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from smtd.errors import AnotherRecord, RecordUnusable
from smtd.records import literal
from smtd.records.parameters import content
from smtd.records.record import (
    FIELDS,
    Component,
    DataKey,
    Dependency,
    Executable,
    Parameters,
    Pickled,
    Platform,
    Record,
    Repository,
    is_plain,
    set_plain,
)
from smtd.stores.shelf import inert, sets
from smtd.stores.shelf.inert import Inert, Ref
from smtd.stores.shelf.values import PartlyModelled, Unmodelled, class_name, object_state, plain, writable

UTC = datetime.timezone.utc


def attributes(pickled: Any) -> dict[str, Any]:
    """Return the attributes of a pickled record. Raises RecordUnusable if *pickled* is not a record."""
    if not isinstance(pickled, Inert) or not isinstance(pickled.state, dict):
        raise RecordUnusable("it is not a pickled record")
    if type(pickled).ref != Ref("sumatra.records", "Record"):
        raise RecordUnusable(f"it is a {'.'.join(type(pickled).ref)}, not a record of Sumatra 0.8")
    return pickled.state


def record(label: str, pickled: Any) -> Record:
    """Return the record that *pickled* describes, which the shelf has under *label*.

    Raises RecordUnusable if it is not a record, AnotherRecord if it has another label.
    """
    state = attributes(pickled)
    if state.get("label", label) != label:
        said = literal.shortened(str(state["label"]))
        raise AnotherRecord(
            f"the shelf has a record named {said} under this label; delete it there, or correct it"
        )
    values: dict[str, Any] = {}
    opaque: dict[str, Pickled] = {}
    for name, value in state.items():
        if name == "label":
            continue
        if name not in FIELDS:
            opaque[name] = _pickled(value)
            continue
        try:
            values[name] = None if value is None and name in _MAY_BE_NONE else _FIELDS[name](value)
        except PartlyModelled as exc:
            values[name] = exc.value
            opaque[name] = _pickled(value, expressed=True)
        except Unmodelled:
            values[name] = _placeholder(name, value)
            opaque[name] = _pickled(value)
    missing = [name for name in _NEEDED if name not in values]
    if missing:
        raise RecordUnusable(f"it lacks {', '.join(missing)}")
    made = Record(label=label, opaque=opaque, **values)
    return set_plain(made) if is_plain(label) else made


_NEEDED = (
    "timestamp",
    "executable",
    "repository",
    "parameters",
    "launch_mode",
    "datastore",
    "input_datastore",
)


_MAY_BE_NONE = frozenset(("executable", "repository"))


def _pickled(value: Any, *, expressed: bool = False) -> Pickled:
    if isinstance(value, str):
        return _pickled_text(value)
    return Pickled(inert.digest(value), inert.dump(value), expressed)


@lru_cache(maxsize=256)
def _pickled_text(text: str) -> Pickled:
    return Pickled(inert.digest(text), inert.dump(text))


def _placeholder(name: str, value: Any) -> Any:
    kind = class_name(value) if isinstance(value, Inert) else type(value).__name__
    if name == "parameters":
        return Parameters(kind, "")
    if name in ("launch_mode", "datastore", "input_datastore"):
        return Component(kind, {})
    if name in ("input_data", "output_data", "dependencies", "platforms"):
        return ()
    if name == "tags":
        return frozenset()
    return None


def _text(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and (value.isascii() or is_plain(value))):
        return value
    raise Unmodelled


def _timestamp(value: Any) -> datetime.datetime:
    if not isinstance(value, datetime.datetime):
        raise RecordUnusable("its timestamp is not a time")
    if value.tzinfo is None:
        raise RecordUnusable("its timestamp has no time zone")
    return value.astimezone(UTC)


def _creation(value: Any) -> datetime.datetime | None:
    if value is None:
        return None
    if not isinstance(value, datetime.datetime):
        raise Unmodelled
    # Every part of Sumatra 0.8 reads a time without a zone as UTC.
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _duration(value: Any) -> float | None:
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return None if value is None else float(value)
    raise Unmodelled


def _tags(value: Any) -> frozenset[str]:
    if not isinstance(value, (set, frozenset, list, tuple)) or not all(isinstance(tag, str) for tag in value):
        raise Unmodelled
    if not is_plain(list(value)):
        raise Unmodelled
    return frozenset(value)


def _flat(kind: Callable[..., Any], names: tuple[str, ...]) -> Callable[[Any], Any]:
    """Return a reader of objects whose attributes *names* are all texts."""
    known = frozenset(names)

    def read(value: Any) -> Any:
        state, more = object_state(value, known)
        found = kind(**{name: _text(state[name]) for name in names if name in state})
        if more:
            raise PartlyModelled(found)
        return found

    return read


_executable = _flat(Executable, ("path", "name", "version", "options"))
_platform = _flat(Platform, Platform.__struct_fields__)


def _repository(value: Any) -> Repository:
    state, more = object_state(value, frozenset(("url", "upstream")))
    found = Repository(class_name(value), _text(state.get("url")), _text(state.get("upstream")))
    if more:
        raise PartlyModelled(found)
    return found


def _component(value: Any) -> Component:
    if not isinstance(value, Inert) or not isinstance(value.state, dict) or value.args:
        raise Unmodelled
    return Component(class_name(value), writable(value.state))


_DEPENDENCY = ("name", "path", "version", "diff", "source")


def _dependency(value: Any) -> Dependency:
    state, more = object_state(value, frozenset(_DEPENDENCY))
    package, _, language = type(value).ref.module.rpartition(".")
    if package != "sumatra.dependency_finder":
        raise Unmodelled
    texts = {name: _text(state.get(name)) for name in _DEPENDENCY}
    found = Dependency(module=language, **texts)
    if more:
        raise PartlyModelled(found)
    return found


def _data_key(value: Any) -> DataKey:
    state, more = object_state(value, frozenset(("path", "digest", "creation", "metadata")))
    path, digest, metadata = state.get("path"), state.get("digest"), state.get("metadata")
    if isinstance(metadata, Inert):
        metadata = plain(metadata)
    path, digest = _text(path), _text(digest)
    if path is None or digest is None or not isinstance(metadata, dict):
        raise Unmodelled
    named = {content.name(key): item for key, item in metadata.items()}
    found = DataKey(path, digest, _creation(state.get("creation")), writable(named))
    if more or named.keys() != metadata.keys():
        raise PartlyModelled(found)
    return found


def _list_of(read: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    def read_all(values: Any) -> tuple[Any, ...]:
        if not isinstance(values, (list, tuple)):
            raise Unmodelled
        found, whole = [], True
        for value in values:
            try:
                found.append(read(value))
            except PartlyModelled as exc:
                found.append(exc.value)
                whole = False
        if not whole:
            raise PartlyModelled(tuple(found))
        return tuple(found)

    return read_all


_FIELDS: dict[str, Callable[[Any], Any]] = dict.fromkeys(FIELDS, _text) | {
    "timestamp": _timestamp,
    "duration": _duration,
    "executable": _executable,
    "repository": _repository,
    "parameters": sets.parameters,
    "input_data": _list_of(_data_key),
    "output_data": _list_of(_data_key),
    "launch_mode": _component,
    "datastore": _component,
    "input_datastore": _component,
    "tags": _tags,
    "dependencies": _list_of(_dependency),
    "platforms": _list_of(_platform),
}
