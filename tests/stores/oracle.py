"""What pickles of older Sumatras say, read without smtd: by an unpickler of its own that knows no class.

Strings of Python 2 are read as bytes, and only then as UTF-8; smtd lets the unpickler decode them.
"""

from __future__ import annotations

import dbm.dumb
import io
import pickle
import posixpath
from datetime import date, datetime, timezone, tzinfo
from pathlib import Path
from typing import Any

from smtd.records import sumatra_classes
from smtd.records.literal import Call
from smtd.records.record import Component, DataKey, Dependency, Executable, Platform, Repository

UTC = timezone.utc
NAMES = {cls: name for name, cls in sumatra_classes.EXECUTABLES.items()}
NO_DIGEST = "0" * 40
#: What Sumatra 0.8.1 takes for what older JSON lacks (sumatra/recordstore/serialization.py).
DEFAULTS = {"script_arguments": "", "user": "", "stdout_stderr": "", "repeats": None}
LAUNCHED = {"working_directory": None, "options": None}


class Thing:
    """An object: its attributes, and its items if it is a dictionary."""

    module = ""

    def __init__(self, *args: Any) -> None:
        self.held: dict[str, Any] = {}
        self.items: dict[Any, Any] = {}

    def __new__(cls, *args: Any) -> Thing:
        made = super().__new__(cls)
        Thing.__init__(made)
        return made

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.held = {plain(name): value for name, value in state.items()}

    def __setitem__(self, name: Any, value: Any) -> None:
        self.items[name] = value


def _reconstructed(cls: Any, base: Any, content: Any) -> Any:
    if cls.__name__ == "newstr":
        return content
    made = cls()
    made.items = content or {}
    return made


_REAL = {
    ("datetime", "datetime"): datetime,
    ("datetime", "date"): date,
    ("__builtin__", "set"): set,
    ("builtins", "set"): set,
    ("collections", "OrderedDict"): dict,
    ("copy_reg", "_reconstructor"): _reconstructed,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return _REAL.get((module, name)) or type(name, (Thing,), {"module": module})


def records(shelf: Path) -> dict[str, dict[str, Any]]:
    """Return the attributes of each record in the one project of a shelf, by label."""
    with dbm.dumb.open(str(shelf), "r") as file:
        (value,) = (file[key] for key in file)
    project = _Unpickler(io.BytesIO(value), encoding="bytes", fix_imports=False).load()
    return {plain(label): record.held for label, record in project.items()}


def plain(value: Any) -> Any:
    """Return a value as text, numbers, lists, dictionaries and calls."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dict):
        return {plain(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, set)):
        return type(value)(map(plain, value))
    return _CALLS.get(type(value).__name__, _items)(value) if isinstance(value, Thing) else value


def _items(value: Thing) -> Any:
    return plain(value.items)


_CALLS = {
    "ParameterRange": lambda value: Call("ParameterRange", (value.held["_values"],), ()),
    "ParameterReference": lambda value: Call("ref", (value.held["reference_path"],), ()),
    "GammaDist": lambda value: Call("GammaDist", (), tuple(value.held["params"].items())),
}


def field(held: dict[str, Any], name: str, zone: tzinfo) -> Any:
    """Return what Sumatra 0.8.1 would understand of one attribute, but for its parameters."""
    if name == "timestamp":
        return held["timestamp"].replace(tzinfo=zone).astimezone(UTC)
    if name == "output_data" and name not in held:
        return [DataKey(path, NO_DIGEST) for path in eval(plain(held["data_key"]))]
    if name == "input_datastore" and name not in held:
        return Component("FileSystemDataStore", {"root": "/"})
    if name not in held:
        return DEFAULTS[name]
    value = held[name]
    if name in ("input_data", "output_data"):
        return [_data_key(key, zone) for key in value]
    if name in _PARTS:
        found = [
            _PARTS[name](each, plain(each.held)) for each in (value if isinstance(value, list) else [value])
        ]
        return found if isinstance(value, list) else found[0]
    return plain(value)


def _data_key(key: Any, zone: tzinfo) -> DataKey:
    if not isinstance(key, Thing):
        return DataKey(plain(key), NO_DIGEST)
    held = plain(key.held)
    creation = held.get("creation")
    moment = creation and creation.replace(tzinfo=zone).astimezone(UTC)
    return DataKey(held["path"], held["digest"], moment, held["metadata"])


def _executable(value: Thing, held: dict[str, Any]) -> Executable:
    name = held.get("name") or NAMES.get(type(value).__name__) or posixpath.basename(held["path"])
    return Executable(held["path"], name, held["version"], held.get("options", ""))


def _launch_mode(value: Thing, held: dict[str, Any]) -> Component:
    given = {name: item for name, item in held.items() if name != "mpi_info"}
    return Component(type(value).__name__, {**LAUNCHED, **given})


def _data_store(value: Thing, held: dict[str, Any]) -> Component:
    return Component(type(value).__name__, {name.lstrip("_"): item for name, item in held.items()})


def _dependency(value: Thing, held: dict[str, Any]) -> Dependency:
    known = {name: item for name, item in held.items() if name in Dependency.__struct_fields__}
    return Dependency(module=value.module.rpartition(".")[2], **known)


_PARTS = {
    "executable": _executable,
    "repository": lambda value, held: Repository(type(value).__name__, held["url"], held.get("upstream")),
    "launch_mode": _launch_mode,
    "datastore": _data_store,
    "input_datastore": _data_store,
    "dependencies": _dependency,
    "platforms": lambda value, held: Platform(**held),
}


def parameters(held: dict[str, Any]) -> tuple[str, Any]:
    """Return the type of the parameters and their values."""
    value = held["parameters"]
    if not isinstance(value, Thing):
        return type(value).__name__, plain(value)
    if "_sections" in value.held:
        sections = plain(value.held["_sections"])
        for options in sections.values():
            options.pop("__name__", None)
        return type(value).__name__, sections
    return type(value).__name__, plain(value.held.get("values", value.items))
