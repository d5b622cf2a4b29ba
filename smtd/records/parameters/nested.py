"""NTParameterSet: nested dictionaries with ranges and distributions (package `parameters`)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from smtd.errors import RecordUnusable
from smtd.records import literal
from smtd.records.literal import Call


def read(content: str) -> dict[str, Any]:
    """Return the nested values. Raises RecordUnusable for text that is not such a set."""
    values = literal.read(content, names=True)
    if not isinstance(values, dict):
        raise RecordUnusable("an NTParameterSet that is not a dictionary")
    return values


def arguments(call: Call) -> dict[str, Any]:
    """Return the arguments by name, as the constructor of the package `parameters` 0.2.1 accepts them.

    Raises RecordUnusable for arguments that it would not accept.
    """
    try:
        words: dict[str, Any] = _CONSTRUCTORS[call.name](*call.arguments, **dict(call.keywords))
    except TypeError as exc:
        why = str(exc).partition("() ")[2]
        raise RecordUnusable(f"{literal.write(call)} cannot be made: it {why}") from exc
    words |= words.pop("others", {})
    if call.name == "ParameterRange":
        _check_range(call, words)
    return words


def _check_range(call: Call, words: dict[str, Any]) -> None:
    """Raise RecordUnusable for a value that cannot be iterated, or shuffled."""
    kinds = (list,) if words["shuffle"] else (list, tuple, dict, set)
    if not isinstance(words["value"], kinds) or isinstance(words["value"], Call) or not words["value"]:
        raise RecordUnusable(f"{literal.write(call)} cannot be made: it has no values to go through")


#: Each returns its arguments by name. (`inspect.signature` would work, but takes long to import.)
_CONSTRUCTORS: dict[str, Callable[..., dict[str, Any]]] = {
    "ParameterRange": lambda value, units=None, name="", shuffle=False: locals(),
    "ref": lambda reference: locals(),
    "NormalDist": lambda mean=0.0, std=1.0: locals(),
    "UniformDist": lambda min=0.0, max=1.0: locals(),
    "GammaDist": lambda mean=None, std=None, repr_mode="ms", **others: locals(),
}


def gamma(call: Call) -> tuple[float, float]:
    """Return `a` and `b` of a GammaDist however it was written (parameters/random.py)."""
    words = arguments(call)
    mean = words.get("m") if words["mean"] is None else words["mean"]
    std = words.get("s") if words["std"] is None else words["std"]
    if mean is None and std is None:
        return _number(words.get("a", 1.0)), _number(words.get("b", 1.0))
    mean, std = _number(0.0 if mean is None else mean), _number(1.0 if std is None else std)
    if not mean or not std:
        raise RecordUnusable(f"{literal.write(call)} has no shape and scale")
    a = mean**2 / std**2
    return a, mean / a


def _number(value: Any) -> float:
    if not isinstance(value, (int, float)):
        raise TypeError(f"{value!r} is not a number")
    return float(value)


def meaning(value: Any) -> Any:
    """Return *value* with every distribution in one form.

    Sumatra writes the mean and deviation of a GammaDist with six decimals, so only six count.
    """
    if isinstance(value, Call):
        try:
            return {"\0call": [value.name, *_comparable_arguments(value)]}
        except (TypeError, ValueError, ArithmeticError) as exc:
            raise RecordUnusable(f"{value.name} has no such arguments ({exc})") from exc
    if isinstance(value, dict):
        return {name: meaning(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [meaning(item) for item in value]
    return value


def _comparable_arguments(call: Call) -> list[Any]:
    if call.name == "GammaDist":
        a, b = gamma(call)
        return [f"{a * b:f}", f"{b * math.sqrt(a):f}"]
    words = arguments(call)
    if call.name == "ParameterRange":
        return [meaning(words["value"]), words["units"] or None]
    if call.name == "ref":
        return [words["reference"]]
    return [_number(value) for value in words.values()]
