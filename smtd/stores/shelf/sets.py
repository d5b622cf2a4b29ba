"""Convert pickled sets of parameters into their text.

The classes of Sumatra 0.8.1 are listed in docs/formats.md ("Shelves").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from smtd.errors import RecordUnusable
from smtd.records.parameters import content
from smtd.records.record import Parameters, is_plain
from smtd.stores.shelf.inert import Inert, Ref
from smtd.stores.shelf.values import PartlyModelled, Unmodelled, class_name, object_state, plain


def parameters(value: Any) -> Parameters:
    """Return the set of parameters *value*. Raises Unmodelled or PartlyModelled."""
    if isinstance(value, Inert):
        reader = _READERS.get(type(value).ref)
        if reader is None:
            raise Unmodelled
        values, comments, more = reader(value)
        name = class_name(value)
    else:
        values, comments, more, name = plain(value), {}, False, type(value).__name__
        if name not in ("dict", "NoneType", "str"):
            raise Unmodelled
    try:
        found = content.write(name, values, comments)
    except RecordUnusable as exc:
        raise Unmodelled from exc
    if not is_plain(found.content):
        raise Unmodelled
    if more:
        raise PartlyModelled(found)
    return found


def _simple(value: Inert) -> tuple[Any, dict[str, str], bool]:
    state, more = object_state(value, frozenset(("_values", "types", "comments")))
    comments = plain(state.get("comments") or {})
    return plain(state.get("_values")), comments, more


def _document(value: Inert) -> tuple[Any, dict[str, str], bool]:
    state, more = object_state(value, frozenset(("_values",)))
    if "_values" not in state:
        raise Unmodelled
    return plain(state["_values"]), {}, more


def _nested(value: Inert) -> tuple[Any, dict[str, str], bool]:
    return plain(value), {}, False


def _config(value: Inert) -> tuple[Any, dict[str, str], bool]:
    if not isinstance(value.state, dict):
        raise Unmodelled
    defaults, sections = plain(value.state.get("_defaults") or {}), plain(value.state.get("_sections"))
    if not isinstance(sections, dict) or not isinstance(defaults, dict):
        raise Unmodelled
    return ({"DEFAULT": defaults} if defaults else {}) | sections, {}, "source_file" in value.state


_READERS: dict[Ref, Callable[[Inert], tuple[Any, dict[str, str], bool]]] = {
    Ref("sumatra.parameters", "SimpleParameterSet"): _simple,
    Ref("sumatra.parameters", "JSONParameterSet"): _document,
    Ref("sumatra.parameters", "YAMLParameterSet"): _document,
    Ref("sumatra.parameters", "NTParameterSet"): _nested,
    Ref("sumatra.parameters", "ConfigParserParameterSet"): _config,
}
#: The classes of sets that Sumatra 0.8.1 has.
CLASSES = frozenset(_READERS)
