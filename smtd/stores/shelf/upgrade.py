"""Convert a record that Sumatra before 0.8 pickled into what 0.8.1 would have pickled.

Each part is converted on its own, whatever its form, because later Sumatras pickled records of earlier ones
again and mixed their forms. A part that lacks something gets what Sumatra 0.8.1 adds when it reads old JSON
(sumatra/recordstore/serialization.py, build_record). What 0.8.1 has no place for stays in the part, and so
in `Record.opaque`. The differences are listed in docs/formats.md ("Shelves of older Sumatras").
"""

from __future__ import annotations

import datetime
import posixpath
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from smtd.errors import RecordUnusable
from smtd.records import sumatra_classes
from smtd.stores.legacy import sources
from smtd.stores.shelf import inert, sets, writing
from smtd.stores.shelf.forms import is_naive
from smtd.stores.shelf.inert import Inert, Ref
from smtd.stores.shelf.python2_pickles import as_python3
from smtd.stores.shelf.values import plain

UTC = datetime.timezone.utc


def upgraded(pickled: Inert, zone: ZoneInfo | None) -> Inert:
    """Return the record in the form of Sumatra 0.8.1; its times are local in *zone* (None: this machine's).

    *pickled* has an older form (`forms.form`), and is not changed. Raises RecordUnusable if it holds
    something that cannot be converted, or an object that 0.8.1 could not load.
    """
    state: dict[str, Any] = _in_utc(as_python3(pickled, {}), zone).state
    state = {name: _UPGRADERS[name](value) if name in _UPGRADERS else value for name, value in state.items()}
    state.setdefault("input_datastore", _new("FileSystemDataStore", {"root": "/"}))
    if "output_data" not in state:
        state["output_data"] = _data(state.pop("data_key", None))
    _keep_mpi_info(state)
    for ref, _ in inert.globals_used(state):
        if ref.module.split(".")[0] == "sumatra" and ref not in _KNOWN:
            raise RecordUnusable(f"it holds a {'.'.join(ref)}, which Sumatra 0.8.1 does not have")
    return inert.new("sumatra.records", "Record", state)


def _in_utc(record: Inert, zone: ZoneInfo | None) -> Inert:
    """Return the record with its times in UTC: its timestamp, and when its data were created."""
    state = dict(record.state)
    state["timestamp"] = _moment(state["timestamp"], zone)
    for name in ("input_data", "output_data"):
        if isinstance(keys := state.get(name), list):
            state[name] = [_created(key, zone) for key in keys]
    return _with(record, state)


def _created(key: Any, zone: ZoneInfo | None) -> Any:
    creation = _state(key).get("creation")
    return _with(key, {**_state(key), "creation": _moment(creation, zone)}) if is_naive(creation) else key


def _moment(local: Any, zone: ZoneInfo | None) -> datetime.datetime:
    """Return a local time in UTC; a time that the clock showed twice counts as the first one."""
    try:
        moment: datetime.datetime = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    except (ValueError, OverflowError, OSError, AttributeError, TypeError) as exc:
        raise RecordUnusable(f"its time {local} cannot be converted to UTC") from exc
    return moment


def _state(value: Any) -> dict[str, Any]:
    """Return the attributes of an object that has nothing but attributes; of any other value, none."""
    if not isinstance(value, Inert) or value.args or value.pairs or value.elements:
        return {}
    return value.state if isinstance(value.state, dict) else {}


def _with(value: Inert, state: dict[str, Any]) -> Inert:
    """Return an object of the same class with other attributes."""
    return inert.new(type(value).ref.module, type(value).ref.name, state)


def _executable(value: Any) -> Any:
    """Add the name of the program: until 0.3 it was that of its class, or of its file."""
    state = _state(value)
    if not state:
        return value
    name = _NAMES.get(type(value).ref.name) or posixpath.basename(str(state.get("path") or ""))
    return _with(value, {"options": "", "name": name, **state})


_NAMES = {cls: name for name, cls in sumatra_classes.EXECUTABLES.items()}


def _repository(value: Any) -> Any:
    """Add the upstream; remove the working copy that a repository had until 0.2, if it says no more."""
    state = {"upstream": None, **_state(value)}
    if "url" not in state:
        return value
    if "wc" in state and _says_nothing(state["wc"], state["url"]):
        del state["wc"]
    return _with(value, state)


def _says_nothing(copy: Any, url: Any) -> bool:
    """Say whether *copy* is None, or a working copy with only a repository, at the same place as that."""
    state = _state(copy)
    return copy is None or (state.keys() == {"path", "repository"} and state["path"] == url)


def _launch_mode(value: Any) -> Any:
    """Add what a launch mode lacked, as None: the options until 0.5, the working directory until 0.4."""
    if not isinstance(value, Inert) or type(value).ref not in _LAUNCH_MODES:
        return value
    return _with(value, {"working_directory": None, "options": None, **_state(value)})


_LAUNCH_MODES = {Ref(module, name) for name, module in sumatra_classes.LAUNCH_MODES.items()}


def _keep_mpi_info(state: dict[str, Any]) -> None:
    """Move the `mpi_info` that 0.2 had in its launch modes to the record, unless it is empty."""
    found = _state(state.get("launch_mode"))
    if "mpi_info" in found and (info := found.pop("mpi_info")):
        state["mpi_info"] = info


def _data_store(value: Any) -> Any:
    state = dict(_state(value))
    if "_root" in state:
        state["root"] = state.pop("_root")
    name = type(value).ref.name if state else ""
    return _new(name, state) if name in sumatra_classes.DATA_STORES else value


def _new(data_store: str, state: dict[str, Any]) -> Inert:
    return inert.new(sumatra_classes.DATA_STORES[data_store], data_store, state)


def _data(value: Any) -> Any:
    """Convert a list of data: until 0.3 it had only paths, in a list or in the text of one."""
    paths = [] if value is None else value
    if isinstance(paths, str):
        paths = sources.paths(paths)
    return [_data_key(path) for path in paths] if isinstance(paths, list) else value


def _data_key(value: Any) -> Any:
    if isinstance(value, str):
        value = inert.new("sumatra.datastore.base", "DataKey", {"path": value, "digest": sources.NO_DIGEST})
    state = _state(value)
    return _with(value, {"creation": None, "metadata": {}, **state}) if "path" in state else value


def _dependencies(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return [
        _with(each, {"diff": "", "source": None, **_state(each)}) if _state(each) else each for each in value
    ]


def _parameters(value: Any) -> Any:
    """Rename `values`, as until 0.7 the values of a set were called; rebuild a ConfigParser."""
    state = dict(_state(value))
    if not state:
        return value
    if type(value).ref == Ref("sumatra.parameters", "ConfigParserParameterSet"):
        return _configuration(state)
    if "values" in state and "_values" not in state:
        state["_values"] = state.pop("values")
    return _with(value, state) if "_values" in state else value


def _configuration(state: dict[str, Any]) -> Any:
    """Rebuild a ConfigParser from its sections: Python 2 has other attributes, and a name in each section."""
    sections = {
        name: {word: text for word, text in options.items() if (word, text) != ("__name__", name)}
        for name, options in plain(state.get("_sections") or {}).items()
    }
    defaults = plain(state.get("_defaults") or {})
    made = writing.configuration(
        "ConfigParserParameterSet", ({"DEFAULT": defaults} if defaults else {}) | sections
    )
    if "source_file" in state:
        made.state["source_file"] = state["source_file"]
    return made


_UPGRADERS: dict[str, Callable[[Any], Any]] = {
    "executable": _executable,
    "repository": _repository,
    "launch_mode": _launch_mode,
    "datastore": _data_store,
    "input_datastore": _data_store,
    "input_data": _data,
    "output_data": _data,
    "dependencies": _dependencies,
    "parameters": _parameters,
}


#: The classes of Sumatra that a pickle may name: with any other, 0.8.1 could not list the whole project.
_KNOWN = {
    *(Ref("sumatra.programs", name) for name in ("Executable", *_NAMES)),
    *(Ref(module, name) for name, module in sumatra_classes.REPOSITORIES.items()),
    *(Ref(m, name.replace("Repository", "WorkingCopy")) for name, m in sumatra_classes.REPOSITORIES.items()),
    *_LAUNCH_MODES,
    *(Ref(module, name) for name, module in sumatra_classes.DATA_STORES.items()),
    *(Ref(module, "Dependency") for module in sumatra_classes.LANGUAGES.values()),
    Ref("sumatra.datastore.base", "DataKey"),
    Ref("sumatra.launch", "PlatformInformation"),
    *sets.CLASSES,
}
