"""Convert a Record into the pickled record that Sumatra 0.8.1 loads."""

from __future__ import annotations

import configparser
import datetime
from collections.abc import Callable
from typing import Any

from msgspec.structs import asdict

from smtd.errors import RecordUnusable
from smtd.records import canonical, sumatra_classes
from smtd.records.literal import Call
from smtd.records.parameters import content, nested, simple
from smtd.records.record import (
    FIELDS,
    Component,
    DataKey,
    Dependency,
    Executable,
    Parameters,
    Platform,
    Record,
    Repository,
)
from smtd.stores.shelf import inert, pickle_safety, reading
from smtd.stores.shelf.inert import Inert, Ref


def build(record: Record) -> Inert:
    """Return a new pickled record. Raises RecordUnusable if Sumatra could not load it."""
    state: dict[str, Any] = {"label": record.label, "on_changed": "error"}
    state.update((field, _attribute(record, field)) for field in FIELDS)
    state.update(_extras(record))
    return inert.new("sumatra.records", "Record", state)


def update(pickled: Inert, record: Record) -> None:
    """Change *pickled* so that it equals *record*; attributes that are equal already stay as they are.

    Raises RecordUnusable, and changes nothing, if Sumatra could not load it.
    """
    state = reading.attributes(pickled)
    before = reading.record(record.label, pickled)
    changed = [field for field in FIELDS if not canonical.same(before, record, field)]
    # All or nothing: if one attribute cannot be converted, *pickled* stays as it was.
    state.update({field: _attribute(record, field) for field in changed} | _extras(record))


def _extras(record: Record) -> dict[str, Any]:
    """Return the attributes that only a shelf has."""
    kept = {name: pickled for name, pickled in record.opaque.items() if name not in FIELDS}
    return {name: pickle_safety.checked(inert.load(pickled.data)) for name, pickled in kept.items()}


def _attribute(record: Record, field: str) -> Any:
    if (pickled := record.opaque.get(field)) is not None:
        return pickle_safety.checked(inert.load(pickled.data))
    value = getattr(record, field)
    make = _MAKERS.get(field)
    return value if make is None or value is None else make(value)


def _module(modules: dict[str, str], name: str, what: str) -> str:
    try:
        return modules[name]
    except KeyError:
        raise RecordUnusable(f"a shelf of Sumatra 0.8.1 has no {what} {name!r}") from None


def _executable(value: Executable) -> Inert:
    name = sumatra_classes.EXECUTABLES.get(value.name or "", "Executable")
    return inert.new("sumatra.programs", name, asdict(value))


def _repository(value: Repository) -> Inert:
    module = _module(sumatra_classes.REPOSITORIES, value.type, "repository")
    return inert.new(module, value.type, {"url": value.url, "upstream": value.upstream})


def _component(modules: dict[str, str], what: str) -> Callable[[Component], Inert]:
    def make(value: Component) -> Inert:
        return inert.new(_module(modules, value.type, what), value.type, dict(value.parameters))

    return make


def _data_key(value: DataKey) -> Inert:
    return inert.new("sumatra.datastore.base", "DataKey", asdict(value) | {"metadata": dict(value.metadata)})


def _dependency(value: Dependency) -> Inert:
    state = asdict(value)
    return inert.new(_module(sumatra_classes.LANGUAGES, state.pop("module"), "language"), "Dependency", state)


def _platform(value: Platform) -> Inert:
    return inert.new("sumatra.launch", "PlatformInformation", asdict(value))


def _all(make: Callable[[Any], Inert]) -> Callable[[tuple[Any, ...]], list[Inert]]:
    return lambda values: [make(value) for value in values]


def _parameters(value: Parameters) -> Any:
    values = content.read(value)
    if value.type in ("dict", "NoneType", "str"):
        return values
    if value.type not in content.TYPES:
        raise RecordUnusable(f"a shelf of Sumatra 0.8.1 has no parameters of type {value.type!r}")
    if value.type == "SimpleParameterSet":
        return _simple(values, simple.comments(value.content))
    return _SETS[value.type](value.type, values)


def _simple(values: dict[str, Any], comments: dict[str, str]) -> Inert:
    types = {word: _type(value) for word, value in values.items()}
    return _set("SimpleParameterSet", {"_values": values, "types": types, "comments": comments})


def _type(value: Any) -> Any:
    if value is None:
        return inert.stand_in(Ref("builtins", "type"))(None)
    return inert.stand_in(Ref("builtins", type(value).__name__))


def _document(name: str, values: Any) -> Inert:
    return _set(name, {"_values": values})


def _set(name: str, state: dict[str, Any]) -> Inert:
    return inert.new("sumatra.parameters", name, state)


def _nested(name: str, values: dict[str, Any]) -> Inert:
    pairs = {word: _nested_value(value) for word, value in values.items()}
    return inert.new("sumatra.parameters", name, pairs=pairs)


def _nested_value(value: Any) -> Any:
    if isinstance(value, dict):
        pairs = {name: _nested_value(item) for name, item in value.items()}
        return inert.new("parameters", "ParameterSet", pairs=pairs)
    if isinstance(value, Call):
        return _CALLS[value.name](value)
    return value


def _range(call: Call) -> Inert:
    words = nested.arguments(call)
    values = list(words["value"])
    state = {
        "name": words["name"] or "",
        "value": values[0],
        "units": words["units"],
        "type": _type(values[0]),
        "_values": values,
        "_iter_values": iter(values),
    }
    return inert.new("parameters", "ParameterRange", state)


def _reference(call: Call) -> Inert:
    path = nested.arguments(call)["reference"]
    return inert.new("parameters", "ParameterReference", {"reference_path": path, "operations": []})


def _gamma(call: Call) -> Inert:
    a, b = nested.gamma(call)
    state = {
        "repr_mode": nested.arguments(call)["repr_mode"],
        "params": {"a": a, "b": b},
        "dist_name": "GammaDist",
    }
    return inert.new("parameters.random", "GammaDist", state)


def _two(name: str, **extra: Any) -> Callable[[Call], Inert]:
    def make(call: Call) -> Inert:
        state = {"params": nested.arguments(call), "dist_name": name, **extra}
        return inert.new("parameters.random", name, state)

    return make


_CALLS: dict[str, Callable[[Call], Inert]] = {
    "ParameterRange": _range,
    "ref": _reference,
    "GammaDist": _gamma,
    "NormalDist": _two("NormalDist"),
    "UniformDist": _two("UniformDist", return_type=inert.stand_in(Ref("builtins", "float"))),
}


def configuration(name: str, sections: dict[str, dict[str, str]]) -> Any:
    """Return a real ConfigParser under Sumatra's name, since its attributes differ between Pythons."""
    cls = inert.stand_in(Ref("sumatra.parameters", name), configparser.ConfigParser)
    parser = cls()
    parser.read_dict(sections)
    return inert.load(inert.dump(parser))


_SETS: dict[str, Callable[[str, Any], Any]] = {
    "JSONParameterSet": _document,
    "YAMLParameterSet": _document,
    "NTParameterSet": _nested,
    "ConfigParserParameterSet": configuration,
}

_MAKERS: dict[str, Callable[[Any], Any]] = {
    "timestamp": lambda value: value.astimezone(datetime.timezone.utc),
    "executable": _executable,
    "repository": _repository,
    "parameters": _parameters,
    "input_data": _all(_data_key),
    "output_data": _all(_data_key),
    "launch_mode": _component(sumatra_classes.LAUNCH_MODES, "launch mode"),
    "datastore": _component(sumatra_classes.DATA_STORES, "data store"),
    "input_datastore": _component(sumatra_classes.DATA_STORES, "data store"),
    "tags": set,
    "dependencies": _all(_dependency),
    "platforms": _all(_platform),
}
