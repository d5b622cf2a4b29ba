"""Find out from the content of a record which version of Sumatra pickled it.

The differences are listed in docs/formats.md ("Shelves of older Sumatras"). This runs for every
record of every shelf, so for a record of 0.8 a check of its timestamp suffices.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

from smtd.stores.shelf.inert import Inert, Ref, StandIn

#: The form that smtd writes, and the form of a version that had no projects.
CURRENT, WITHOUT_PROJECTS = "0.8", "0.1"

_RECORD = Ref("sumatra.records", "Record")
_RECORD_WITHOUT_PROJECT = Ref("sumatra.records", "SimRecord")
_DATETIME = Ref("datetime", "datetime")
#: How Python 2 restores an object: from its class, the built-in base of that class, and a value of the base.
RECONSTRUCTOR = Ref("copy_reg", "_reconstructor")


def form(pickled: Any) -> str:
    """Return the version of Sumatra whose form the record has; CURRENT also if it is not a record."""
    if not isinstance(pickled, Inert) or not isinstance(pickled.state, dict):
        return CURRENT
    timestamp = pickled.state.get("timestamp")
    if isinstance(timestamp, datetime.datetime) and timestamp.tzinfo is not None:
        return CURRENT
    described = class_of(pickled)
    if described == _RECORD_WITHOUT_PROJECT:
        return WITHOUT_PROJECTS
    if described != _RECORD or not is_naive(timestamp):
        return CURRENT
    return _version(pickled.state)


def oldest(forms: Iterable[str]) -> str:
    """Return the oldest of *forms* other than CURRENT and WITHOUT_PROJECTS; empty if there is none."""
    return min((each for each in forms if each not in (CURRENT, WITHOUT_PROJECTS)), default="")


def class_of(value: Inert) -> Ref:
    """Return the class of an object, also of one that Python 2 pickled."""
    ref = type(value).ref
    if ref == RECONSTRUCTOR and value.args and isinstance(value.args[0], StandIn):
        return value.args[0].ref
    return ref


def is_naive(value: Any) -> bool:
    """Say whether *value* is a time without a zone, also one that Python 2 pickled, as ten bytes."""
    if isinstance(value, Inert):
        return type(value).ref == _DATETIME and value.called and len(value.args) == 1
    return isinstance(value, datetime.datetime) and value.tzinfo is None


def _version(state: dict[str, Any]) -> str:
    """Return the version before 0.8 whose records have the attributes of *state*."""
    repository = _attributes(state.get("repository"))
    if "wc" in repository or "script_arguments" not in state:
        return "0.2"
    if "input_datastore" not in state:
        return "0.3"
    if repository and "upstream" not in repository:
        return "0.4"
    if "repeats" not in state:
        return "0.5"
    keys = [key for name in ("input_data", "output_data") for key in _items(state.get(name))]
    if any("creation" not in _attributes(key) for key in keys):
        return "0.6"
    return "0.7"


def _attributes(value: Any) -> dict[str, Any]:
    return value.state if isinstance(value, Inert) and isinstance(value.state, dict) else {}


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
