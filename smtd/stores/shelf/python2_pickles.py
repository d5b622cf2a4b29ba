"""Convert what older Pythons and their libraries pickled into what Python 3 would have pickled.

Sumatra before 0.8 ran on Python 2: its pickles create every object with `copy_reg._reconstructor`,
dates from bytes that are text there, and ordered dictionaries from lists. The built-in classes have
other names in them (docs/formats.md, "Shelves of older Sumatras").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from smtd.stores.shelf import inert
from smtd.stores.shelf.forms import RECONSTRUCTOR
from smtd.stores.shelf.inert import Inert, Ref, StandIn

#: Modules that have another name now. NeuroTools' parameters became the package `parameters`.
_MODULES = {
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
    "sumatra.external.NeuroTools.parameters": "parameters",
}
_CLASSES = {"unicode": "str", "long": "int", "basestring": "str", "xrange": "range"}
#: Python 3's built-in classes on Python 2, by the package `future`: `future.types.newstr.newstr`.
_FUTURE = "future.types.new"
_TIMES = frozenset(Ref("datetime", name) for name in ("datetime", "date", "time"))
_ORDERED = Ref("collections", "OrderedDict")
_OBJECT = Ref("builtins", "object")


def as_python3(value: Any, known: dict[int, Any]) -> Any:
    """Return *value* as Python 3 would have pickled it; *known* has what was converted already, by identity.

    *value* itself is not changed. Raises RecursionError if it is nested too deeply.
    """
    convert = _CONVERTERS.get(type(value))
    if convert is None:
        if isinstance(value, StandIn):
            return _class(value)
        if not isinstance(value, Inert):
            return value
        convert = _object
    found = known.get(id(value), _UNKNOWN)
    return convert(value, known) if found is _UNKNOWN else found


_UNKNOWN = object()


def _dict(value: dict[Any, Any], known: dict[int, Any]) -> Any:
    made: dict[Any, Any] = {}
    known[id(value)] = made
    made.update((as_python3(key, known), as_python3(item, known)) for key, item in value.items())
    return made


def _list(value: list[Any], known: dict[int, Any]) -> Any:
    made: list[Any] = []
    known[id(value)] = made
    made.extend(as_python3(item, known) for item in value)
    return made


def _fixed(value: Any, known: dict[int, Any]) -> Any:
    """Convert a tuple or a set, which is created whole: it cannot directly contain itself."""
    made = known[id(value)] = type(value)([as_python3(item, known) for item in value])
    return made


_CONVERTERS: dict[type, Callable[[Any, dict[int, Any]], Any]] = {
    dict: _dict,
    list: _list,
    tuple: _fixed,
    set: _fixed,
    frozenset: _fixed,
}


def _class(value: StandIn) -> Any:
    return inert.stand_in(_renamed(value.ref))


def _renamed(ref: Ref) -> Ref:
    if ref.module.startswith(_FUTURE):
        return Ref("builtins", ref.name.removeprefix("new"))
    module = _MODULES.get(ref.module, ref.module)
    return Ref(module, _CLASSES.get(ref.name, ref.name) if module == "builtins" else ref.name)


def _object(value: Inert, known: dict[int, Any]) -> Any:
    ref = type(value).ref
    if ref == RECONSTRUCTOR and len(value.args) == 3 and isinstance(value.args[0], StandIn):
        return _reconstructed(value, known)
    if ref.module.startswith(_FUTURE) and len(value.args) == 1:
        return _plain(value, value.args[0], known)
    if ref in _TIMES and value.args and isinstance(value.args[0], str):
        return _time(value, known)
    if ref == _ORDERED and len(value.args) == 1 and not value.pairs:
        return _ordered(value, known)
    return _copied(value, _renamed(ref), value.args, known)


def _reconstructed(value: Inert, known: dict[int, Any]) -> Any:
    """Return the object that `_reconstructor(class, base, value of the base)` creates."""
    cls, base, content = value.args
    if cls.ref.module.startswith(_FUTURE):
        return _plain(value, content, known)
    made = _copied(value, _renamed(cls.ref), (), known, called=False)
    kind = _renamed(base.ref) if isinstance(base, StandIn) else _OBJECT
    if isinstance(content, dict):
        made.pairs = as_python3(content, known)
    elif isinstance(content, list):
        made.elements = as_python3(content, known)
    elif kind != _OBJECT:
        made.args = (as_python3(content, known),)
    return made


def _plain(value: Inert, content: Any, known: dict[int, Any]) -> Any:
    """Return the value of a built-in class that `future` wrapped."""
    made = known[id(value)] = as_python3(content, known)
    return made


def _time(value: Inert, known: dict[int, Any]) -> Any:
    """Return a date or time; its bytes were decoded with all other text of the pickle."""
    first, *rest = value.args
    arguments = (first.encode("utf-8", "surrogateescape"), *(as_python3(item, known) for item in rest))
    made = known[id(value)] = type(value)(*arguments)
    return made


def _ordered(value: Inert, known: dict[int, Any]) -> Any:
    made = _copied(value, _ORDERED, (), known)
    made.pairs = dict(as_python3(value.args[0], known))
    return made


def _copied(
    value: Inert, ref: Ref, args: tuple[Any, ...], known: dict[int, Any], *, called: bool | None = None
) -> Inert:
    made = known[id(value)] = inert.new(*ref)
    made.called = value.called if called is None else called
    made.args = as_python3(args, known)
    made.kwargs = as_python3(value.kwargs, known)
    made.state = as_python3(value.state, known)
    made.pairs = as_python3(value.pairs, known)
    made.elements = as_python3(value.elements, known)
    return made
