"""A pickled record, loaded inertly, as a Record.

What Sumatra 0.8.1 pickles is listed in docs/formats.md ("Shelves"); whatever else is found is
kept whole in `Record.opaque`.
"""

from __future__ import annotations

import datetime
import marshal
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from smtd.errors import RecordUnusable
from smtd.records.literal import Call
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
    mark_plain,
)
from smtd.stores.shelf import inert
from smtd.stores.shelf.inert import Inert, Ref

UTC = datetime.timezone.utc


class Beyond(Exception):
    """A value that the modelled field cannot express."""


class _Partly(Exception):
    """A value that the modelled field expresses but for what only a shelf can hold."""

    def __init__(self, value: Any) -> None:
        self.value = value


def attributes(pickled: Any) -> dict[str, Any]:
    """Return the attributes of a pickled record. Raises RecordUnusable if it is none."""
    if not isinstance(pickled, Inert) or not isinstance(pickled.state, dict):
        raise RecordUnusable("it is not a pickled record")
    if type(pickled).ref != Ref("sumatra.records", "Record"):
        raise RecordUnusable(f"it is a {'.'.join(type(pickled).ref)}, not a record of Sumatra 0.8")
    return pickled.state


def record(label: str, pickled: Any) -> Record:
    """Return the record that *pickled* describes. Raises RecordUnusable if it is none."""
    state = attributes(pickled)
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
        except _Partly as exc:
            values[name] = exc.value
            opaque[name] = _pickled(value, expressed=True)
        except Beyond:
            values[name] = _placeholder(name, value)
            opaque[name] = _pickled(value)
    missing = [name for name in _NEEDED if name not in values]
    if missing:
        raise RecordUnusable(f"it lacks {', '.join(missing)}")
    made = Record(label=label, opaque=opaque, **values)
    return mark_plain(made) if is_plain(label) else made


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
    kind = _class_name(value) if isinstance(value, Inert) else type(value).__name__
    if name == "parameters":
        return Parameters(kind, "")
    if name in ("launch_mode", "datastore", "input_datastore"):
        return Component(kind, {})
    if name in ("input_data", "output_data", "dependencies", "platforms"):
        return ()
    if name == "tags":
        return frozenset()
    return None


def _class_name(value: Inert) -> str:
    return type(value).ref.name


def _state(value: Any, known: frozenset[str]) -> tuple[dict[str, Any], bool]:
    """Return the attributes of an object, and whether there are more than *known*."""
    if not isinstance(value, Inert) or not isinstance(value.state, dict) or value.args or value.pairs:
        raise Beyond
    return value.state, not known.issuperset(value.state)


def _text(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and (value.isascii() or is_plain(value))):
        return value
    raise Beyond


def _timestamp(value: Any) -> datetime.datetime:
    if not isinstance(value, datetime.datetime):
        raise RecordUnusable("its timestamp is not a time")
    if value.tzinfo is None:
        raise RecordUnusable(
            "its timestamp has no time zone, so a Sumatra before 0.8 wrote it; smtd reads shelves of 0.8.1"
        )
    return value.astimezone(UTC)


def _creation(value: Any) -> datetime.datetime | None:
    if value is None:
        return None
    if not isinstance(value, datetime.datetime):
        raise Beyond
    # Every part of Sumatra 0.8 that is given a time without a zone takes it as UTC.
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _duration(value: Any) -> float | None:
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return None if value is None else float(value)
    raise Beyond


def _tags(value: Any) -> frozenset[str]:
    if not isinstance(value, (set, frozenset, list, tuple)) or not all(isinstance(tag, str) for tag in value):
        raise Beyond
    if not is_plain(list(value)):
        raise Beyond
    return frozenset(value)


def _flat(kind: Callable[..., Any], names: tuple[str, ...]) -> Callable[[Any], Any]:
    """Return a reader of objects whose attributes *names* are all texts."""
    known = frozenset(names)

    def read(value: Any) -> Any:
        state, more = _state(value, known)
        found = kind(**{name: _text(state[name]) for name in names if name in state})
        if more:
            raise _Partly(found)
        return found

    return read


_executable = _flat(Executable, ("path", "name", "version", "options"))
_platform = _flat(Platform, Platform.__struct_fields__)


def _repository(value: Any) -> Repository:
    state, more = _state(value, frozenset(("url", "upstream")))
    found = Repository(_class_name(value), _text(state.get("url")), _text(state.get("upstream")))
    if more:
        raise _Partly(found)
    return found


def _component(value: Any) -> Component:
    if not isinstance(value, Inert) or not isinstance(value.state, dict) or value.args:
        raise Beyond
    return Component(_class_name(value), _writable(value.state))


_DEPENDENCY = ("name", "path", "version", "diff", "source")


def _dependency(value: Any) -> Dependency:
    state, more = _state(value, frozenset(_DEPENDENCY))
    package, _, language = type(value).ref.module.rpartition(".")
    if package != "sumatra.dependency_finder":
        raise Beyond
    texts = {name: _text(state.get(name)) for name in _DEPENDENCY}
    found = Dependency(module=language, **texts)
    if more:
        raise _Partly(found)
    return found


def _data_key(value: Any) -> DataKey:
    state, more = _state(value, frozenset(("path", "digest", "creation", "metadata")))
    path, digest, metadata = state.get("path"), state.get("digest"), state.get("metadata")
    if isinstance(metadata, Inert):
        metadata = _plain(metadata)
    path, digest = _text(path), _text(digest)
    if path is None or digest is None or not isinstance(metadata, dict):
        raise Beyond
    named = {content.name(key): item for key, item in metadata.items()}
    found = DataKey(path, digest, _creation(state.get("creation")), _writable(named))
    if more or named.keys() != metadata.keys():
        raise _Partly(found)
    return found


def _list_of(read: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    def read_all(values: Any) -> tuple[Any, ...]:
        if not isinstance(values, (list, tuple)):
            raise Beyond
        found, whole = [], True
        for value in values:
            try:
                found.append(read(value))
            except _Partly as exc:
                found.append(exc.value)
                whole = False
        if not whole:
            raise _Partly(tuple(found))
        return tuple(found)

    return read_all


def _parameters(value: Any) -> Parameters:
    if isinstance(value, Inert):
        reader = _SETS.get(type(value).ref)
        if reader is None:
            raise Beyond
        values, comments, more = reader(value)
        name = _class_name(value)
    else:
        values, comments, more, name = _plain(value), {}, False, type(value).__name__
        if name not in ("dict", "NoneType", "str"):
            raise Beyond
    try:
        found = content.write(name, values, comments)
    except RecordUnusable as exc:
        raise Beyond from exc
    if not is_plain(found.content):
        raise Beyond
    if more:
        raise _Partly(found)
    return found


def _simple(value: Inert) -> tuple[Any, dict[str, str], bool]:
    state, more = _state(value, frozenset(("_values", "types", "comments")))
    comments = _plain(state.get("comments") or {})
    return _plain(state.get("_values")), comments, more


def _document(value: Inert) -> tuple[Any, dict[str, str], bool]:
    state, more = _state(value, frozenset(("_values",)))
    if "_values" not in state:
        raise Beyond
    return _plain(state["_values"]), {}, more


def _nested(value: Inert) -> tuple[Any, dict[str, str], bool]:
    return _plain(value), {}, False


def _range(state: dict[str, Any]) -> Call:
    words = {"units": _plain(state.get("units")), "name": _plain(state.get("name"))}
    keywords = tuple((word, value) for word, value in words.items() if value)
    return Call("ParameterRange", (_plain(state["_values"]),), keywords)


def _reference(state: dict[str, Any]) -> Call:
    if state.get("operations") or not isinstance(state.get("reference_path"), str):
        raise Beyond
    return Call("ref", (state["reference_path"],), ())


def _distribution(name: str) -> Callable[[dict[str, Any]], Call]:
    def read(state: dict[str, Any]) -> Call:
        if state.get("return_type", _FLOAT) is not _FLOAT:
            raise Beyond
        keywords = dict(_plain(state["params"]))
        if state.get("repr_mode", "ms") != "ms":
            keywords["repr_mode"] = _plain(state["repr_mode"])
        return Call(name, (), tuple(keywords.items()))

    return read


_FLOAT = inert.stand_in(Ref("builtins", "float"))
_DISTRIBUTIONS: dict[Ref, Callable[[dict[str, Any]], Call]] = {
    Ref("parameters", "ParameterRange"): _range,
    Ref("parameters", "ParameterReference"): _reference,
    Ref("parameters.random", "GammaDist"): _distribution("GammaDist"),
    Ref("parameters.random", "UniformDist"): _distribution("UniformDist"),
    Ref("parameters.random", "NormalDist"): _distribution("NormalDist"),
}


def _config(value: Inert) -> tuple[Any, dict[str, str], bool]:
    if not isinstance(value.state, dict):
        raise Beyond
    defaults, sections = _plain(value.state.get("_defaults") or {}), _plain(value.state.get("_sections"))
    if not isinstance(sections, dict) or not isinstance(defaults, dict):
        raise Beyond
    return ({"DEFAULT": defaults} if defaults else {}) | sections, {}, "source_file" in value.state


_SETS: dict[Ref, Callable[[Inert], tuple[Any, dict[str, str], bool]]] = {
    Ref("sumatra.parameters", "SimpleParameterSet"): _simple,
    Ref("sumatra.parameters", "JSONParameterSet"): _document,
    Ref("sumatra.parameters", "YAMLParameterSet"): _document,
    Ref("sumatra.parameters", "NTParameterSet"): _nested,
    Ref("sumatra.parameters", "ConfigParserParameterSet"): _config,
}

_ATOMS = (str, int, float, bool, type(None), bytes, datetime.date, datetime.time)
_NESTED = frozenset(("NTParameterSet", "ParameterSet", "ParameterSpace"))
#: More values than this in one attribute are an attack (a pickle can share a list a million times).
_MOST_VALUES = 200_000


def _plain(value: Any) -> Any:
    """Return *value* without Inert objects. Raises Beyond if it has no plain form."""
    return _walk(value, [_MOST_VALUES])


def _writable(value: Any) -> Any:
    """Return *value* as `_plain` does. Raises Beyond also for what no text or number can say.

    The same flat dictionaries (a data store, the metadata of a file) come with one record after
    another: their marshalled bytes tell types and order exactly. What is not flat may be without
    bounds when it is written out.
    """
    if type(value) is not dict or not _is_flat(value):
        return _walked(value)
    written = marshal.dumps(value, 2)
    found = _known.get(written)
    if found is None:
        found = _walked(value)
        if len(written) <= _SMALL and len(_known) < _MOST_KNOWN:
            _known[written] = found
    return found


def _is_flat(value: dict[Any, Any]) -> bool:
    return _NAME.issuperset(map(type, value)) and _FLAT.issuperset(map(type, value.values()))


_known: dict[bytes, Any] = {}
_SMALL, _MOST_KNOWN = 400, 2000
_NAME = frozenset((str,))
_FLAT = frozenset((str, int, float, bool, type(None)))


def _walked(value: Any) -> Any:
    found = _plain(value)
    if not is_plain(found):
        raise Beyond
    return found


def _walk(value: Any, budget: list[int]) -> Any:
    budget[0] -= 1
    if budget[0] < 0:
        raise Beyond
    if isinstance(value, _ATOMS):
        return value
    if isinstance(value, dict):
        return {_walk(key, budget): _walk(item, budget) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_walk(item, budget) for item in value)
    if isinstance(value, Inert):
        return _walk_object(value, budget)
    raise Beyond


def _walk_object(value: Inert, budget: list[int]) -> Any:
    """Return an ordered dictionary, or a part of an NTParameterSet, as plain values."""
    ref = type(value).ref
    if ref == Ref("collections", "OrderedDict"):
        return _walk(value.pairs or {}, budget)
    if ref.name in _NESTED and ref.module in ("sumatra.parameters", "parameters"):
        # The state is the set itself (parameters/__init__.py, __getstate__).
        if value.state is not None and value.state is not value:
            raise Beyond
        return _walk(value.pairs or {}, budget)
    maker = _DISTRIBUTIONS.get(ref)
    if maker is None or not isinstance(value.state, dict):
        raise Beyond
    return maker(value.state)


_FIELDS: dict[str, Callable[[Any], Any]] = dict.fromkeys(FIELDS, _text) | {
    "timestamp": _timestamp,
    "duration": _duration,
    "executable": _executable,
    "repository": _repository,
    "parameters": _parameters,
    "input_data": _list_of(_data_key),
    "output_data": _list_of(_data_key),
    "launch_mode": _component,
    "datastore": _component,
    "input_datastore": _component,
    "tags": _tags,
    "dependencies": _list_of(_dependency),
    "platforms": _list_of(_platform),
}
