"""Convert values in a pickle into plain values: for a field, for metadata, for a set of parameters.

A value without a plain form raises an exception; the caller keeps it pickled (`Record.opaque`).
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

from smtd.records.literal import Call
from smtd.records.memo import Memo
from smtd.records.record import is_plain
from smtd.stores.shelf import inert
from smtd.stores.shelf.inert import Inert, Ref


class Unmodelled(Exception):
    """A value that the modelled field cannot express."""


class PartlyModelled(Exception):
    """A value that the modelled field can express only in part; the rest only a shelf can hold."""

    def __init__(self, value: Any) -> None:
        self.value = value


def class_name(value: Inert) -> str:
    """Return the name of the object's class."""
    return type(value).ref.name


def object_state(value: Any, known: frozenset[str]) -> tuple[dict[str, Any], bool]:
    """Return the attributes of an object, and whether there are more than *known*."""
    if not isinstance(value, Inert) or not isinstance(value.state, dict) or value.args or value.pairs:
        raise Unmodelled
    return value.state, not known.issuperset(value.state)


_ATOMS = (str, int, float, bool, type(None), bytes, datetime.date, datetime.time)
_NESTED = frozenset(("NTParameterSet", "ParameterSet", "ParameterSpace"))
#: An attribute with more values than this is an attack (a pickle can share a list a million times).
_MOST_VALUES = 200_000


def plain(value: Any) -> Any:
    """Return *value* without Inert objects. Raises Unmodelled if it has no plain form."""
    return _walk(value, [_MOST_VALUES])


def writable(value: Any) -> Any:
    """Return *value* as `plain` does. Raises Unmodelled also if it cannot be written as text and numbers."""
    # Only a flat value is cached: another one may be huge when it is written out.
    return _memo(value) if type(value) is dict and _is_flat(value) else _walked(value)


def _is_flat(value: dict[Any, Any]) -> bool:
    return _NAME.issuperset(map(type, value)) and _FLAT.issuperset(map(type, value.values()))


_NAME = frozenset((str,))
_FLAT = frozenset((str, int, float, bool, type(None)))


def _walked(value: Any) -> Any:
    found = plain(value)
    if not is_plain(found):
        raise Unmodelled
    return found


_memo = Memo(_walked)


def _walk(value: Any, budget: list[int]) -> Any:
    budget[0] -= 1
    if budget[0] < 0:
        raise Unmodelled
    if isinstance(value, _ATOMS):
        return value
    if isinstance(value, dict):
        return {_walk(key, budget): _walk(item, budget) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_walk(item, budget) for item in value)
    if isinstance(value, Inert):
        return _walk_object(value, budget)
    raise Unmodelled


def _walk_object(value: Inert, budget: list[int]) -> Any:
    """Return an ordered dictionary, or a part of an NTParameterSet, as plain values."""
    ref = type(value).ref
    if ref == Ref("collections", "OrderedDict"):
        return _walk(value.pairs or {}, budget)
    if ref.name in _NESTED and ref.module in ("sumatra.parameters", "parameters"):
        # The state is the set itself (parameters/__init__.py, __getstate__).
        if value.state is not None and value.state is not value:
            raise Unmodelled
        return _walk(value.pairs or {}, budget)
    maker = _DISTRIBUTIONS.get(ref)
    if maker is None or not isinstance(value.state, dict):
        raise Unmodelled
    return maker(value.state)


def _range(state: dict[str, Any]) -> Call:
    words = {"units": plain(state.get("units")), "name": plain(state.get("name"))}
    keywords = tuple((word, value) for word, value in words.items() if value)
    return Call("ParameterRange", (plain(state["_values"]),), keywords)


def _reference(state: dict[str, Any]) -> Call:
    if state.get("operations") or not isinstance(state.get("reference_path"), str):
        raise Unmodelled
    return Call("ref", (state["reference_path"],), ())


def _distribution(name: str) -> Callable[[dict[str, Any]], Call]:
    def read(state: dict[str, Any]) -> Call:
        if state.get("return_type", _FLOAT) is not _FLOAT:
            raise Unmodelled
        keywords = dict(plain(state["params"]))
        if state.get("repr_mode", "ms") != "ms":
            keywords["repr_mode"] = plain(state["repr_mode"])
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
