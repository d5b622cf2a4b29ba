"""NTParameterSet: nested dictionaries with ranges and distributions (package `parameters`)."""

from __future__ import annotations

import math
from typing import Any

from smtd.errors import RecordUnusable
from smtd.records import literal
from smtd.records.literal import Call


def read(content: str) -> dict[str, Any]:
    """Return the nested values. Raises RecordUnusable for text that is no such set."""
    values = literal.read(content, names=True)
    if not isinstance(values, dict):
        raise RecordUnusable("an NTParameterSet that is not a dictionary")
    return values


def write(values: dict[str, Any]) -> str:
    """Return the text of a set. Raises RecordUnusable for a value that has no literal."""
    return literal.write(values)


def gamma(call: Call) -> tuple[float, float]:
    """Return `a` and `b` of a GammaDist however it was written (parameters/random.py)."""
    words = dict(zip(("mean", "std"), call.arguments, strict=False)) | dict(call.keywords)
    mean = words.get("mean", words.get("m"))
    std = words.get("std", words.get("s"))
    if mean is None and std is None:
        return float(words.get("a", 1.0)), float(words.get("b", 1.0))
    mean, std = float(mean or 0.0), float(1.0 if std is None else std)
    if not mean or not std:
        raise RecordUnusable(f"{literal.write(call)} has no shape and scale")
    a = mean**2 / std**2
    return a, mean / a


def meaning(value: Any) -> Any:
    """Return *value* with every distribution in one form.

    Sumatra writes the mean and deviation of a GammaDist with six decimals, so no more of
    them counts.
    """
    if isinstance(value, Call):
        try:
            return _distribution(value)
        except (TypeError, ValueError, ArithmeticError, KeyError) as exc:
            raise RecordUnusable(f"{value.name} has no such arguments ({exc})") from exc
    if isinstance(value, dict):
        return {name: meaning(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [meaning(item) for item in value]
    return value


_ORDER: dict[str, dict[str, Any]] = {
    "NormalDist": {"mean": 0.0, "std": 1.0},
    "UniformDist": {"min": 0.0, "max": 1.0},
    "ref": {"reference": None},
    "ParameterRange": {"value": None, "units": None, "name": "", "shuffle": False},
}


def _distribution(call: Call) -> dict[str, Any]:
    if call.name == "GammaDist":
        a, b = gamma(call)
        return {"\0call": [call.name, f"{a * b:f}", f"{b * math.sqrt(a):f}"]}
    words = _ORDER[call.name] | dict(zip(_ORDER[call.name], call.arguments, strict=False))
    words |= dict(call.keywords)
    if call.name == "ParameterRange":
        return {"\0call": [call.name, meaning(words["value"]), words["units"]]}
    if call.name == "ref":
        return {"\0call": [call.name, words["reference"]]}
    return {"\0call": [call.name, *(float(words[word]) for word in _ORDER[call.name])]}
