"""A record that Sumatra before 0.8 pickled, as 0.8.1 would have pickled it.

Each part is brought from whatever form it has into that of 0.8.1, since later Sumatras pickled
records of earlier ones again and mixed their forms. What a part lacks it gets as Sumatra 0.8.1
takes it from old JSON (sumatra/recordstore/serialization.py, build_record); what 0.8.1 has no
place for stays in the part, and so in `Record.opaque`. The differences are listed in
docs/formats.md ("Shelves of older Sumatras").
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
from smtd.stores.shelf.modern import modern
from smtd.stores.shelf.values import plain

UTC = datetime.timezone.utc


def renewed(pickled: Inert, zone: ZoneInfo | None) -> Inert:
    """Return the record in the form of Sumatra 0.8.1; its times were local, in *zone* (None: here).

    *pickled* has a form older than that (`forms.form`), and stays as it is. Raises RecordUnusable
    if it holds what cannot be brought into that form, or an object that 0.8.1 could not load.
    """
    state: dict[str, Any] = _in_utc(modern(pickled, {}), zone).state
    state = {name: _RENEWERS[name](value) if name in _RENEWERS else value for name, value in state.items()}
    state.setdefault("input_datastore", _new("FileSystemDataStore", {"root": "/"}))
    if "output_data" not in state:
        state["output_data"] = _data(state.pop("data_key", None))
    _keep_mpi_info(state)
    for ref, _ in inert.named(state):
        if ref.module.split(".")[0] == "sumatra" and ref not in _KNOWN:
            raise RecordUnusable(f"it holds a {'.'.join(ref)}, which Sumatra 0.8.1 does not have")
    return inert.new("sumatra.records", "Record", state)


def _in_utc(record: Inert, zone: ZoneInfo | None) -> Inert:
    """Return the record with its times in UTC: when it began, and when its data were made."""
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
    """Return a local time in UTC; of a time that the clock showed twice it is the first."""
    try:
        moment: datetime.datetime = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    except (ValueError, OverflowError, OSError, AttributeError, TypeError) as exc:
        raise RecordUnusable(f"its time {local} cannot be converted to UTC") from exc
    return moment


def _state(value: Any) -> dict[str, Any]:
    """Return the attributes of an object that has nothing else; of all else, none."""
    if not isinstance(value, Inert) or value.args or value.pairs or value.elements:
        return {}
    return value.state if isinstance(value.state, dict) else {}


def _with(value: Inert, state: dict[str, Any]) -> Inert:
    """Return an object of the same class with other attributes."""
    return inert.new(type(value).ref.module, type(value).ref.name, state)


def _executable(value: Any) -> Any:
    """Until 0.3 the name of a program was that of its class, or of its file."""
    state = _state(value)
    if not state:
        return value
    name = _NAMES.get(type(value).ref.name) or posixpath.basename(str(state.get("path") or ""))
    return _with(value, {"options": "", "name": name, **state})


_NAMES = {cls: name for name, cls in sumatra_classes.EXECUTABLES.items()}


def _repository(value: Any) -> Any:
    """Until 0.2 a repository had its working copy, which as a rule is where the repository is."""
    state = {"upstream": None, **_state(value)}
    if "url" not in state:
        return value
    if "wc" in state and _says_nothing(state["wc"], state["url"]):
        del state["wc"]
    return _with(value, state)


def _says_nothing(copy: Any, url: Any) -> bool:
    """Say whether a working copy is none, or knows only its repository, in the same place."""
    state = _state(copy)
    return copy is None or (state.keys() == {"path", "repository"} and state["path"] == url)


def _launch_mode(value: Any) -> Any:
    """Until 0.5 a launch mode had no options, until 0.4 no directory: Sumatra lets them be None."""
    if not isinstance(value, Inert) or type(value).ref not in _LAUNCH_MODES:
        return value
    return _with(value, {"working_directory": None, "options": None, **_state(value)})


_LAUNCH_MODES = {Ref(module, name) for name, module in sumatra_classes.LAUNCH_MODES.items()}


def _keep_mpi_info(state: dict[str, Any]) -> None:
    """Make what 0.2 kept in its launch modes an attribute of the record, unless it is empty."""
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
    """Until 0.3 data were known by their paths only, in a list or as the text of one."""
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
    """Until 0.7 the values of a set were `values`; a ConfigParser is rebuilt from its sections."""
    state = dict(_state(value))
    if not state:
        return value
    if type(value).ref == Ref("sumatra.parameters", "ConfigParserParameterSet"):
        return _configuration(state)
    if "values" in state and "_values" not in state:
        state["_values"] = state.pop("values")
    return _with(value, state) if "_values" in state else value


def _configuration(state: dict[str, Any]) -> Any:
    """Python 2's own insides are not those of Python 3; each section there also held its name."""
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


_RENEWERS: dict[str, Callable[[Any], Any]] = {
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


#: What a pickle may name of Sumatra: one name more, and 0.8.1 could not list the whole project.
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
