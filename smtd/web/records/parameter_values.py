"""The parameters of a record, one by one: nested sets become names with dots. Pure."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from smtd.errors import RecordUnusable
from smtd.records import literal
from smtd.records.parameters import content
from smtd.records.record import Parameters
from smtd.text import encodable

#: The most parameters of one record, and the most characters of a name and of a value.
MOST, LONGEST = 300, 500
#: The most characters of a set that is taken apart: to read a longer one takes seconds.
_LARGEST = 2**20
#: Levels of nesting that become parts of a name; deeper values are one text.
_LEVELS = 8


class Parameter(NamedTuple):
    """A parameter: its value as text, and as a number if it is one."""

    name: str
    text: str
    number: float | None = None


def listed(parameters: Parameters) -> list[Parameter]:
    """Return up to MOST parameters, in their order; none if the text is not a set of its type, or huge."""
    if len(parameters.content) > _LARGEST:
        return []
    try:
        values = content.read(parameters)
        if isinstance(values, str):  # a dictionary that a relational store returned as text
            values = literal.read(values) if values.startswith("{") else {}
    except RecordUnusable:
        return []
    return list(islice(_flattened("", values, _LEVELS), MOST))


def _flattened(prefix: str, value: Any, levels: int) -> Iterator[Parameter]:
    """Yield at least one parameter for each dictionary: YAML aliases cannot make this endless."""
    if not isinstance(value, dict) or not value or not levels:
        if prefix or not isinstance(value, dict):
            yield Parameter(encodable(prefix[:LONGEST]), encodable(text(value)[:LONGEST]), _number(value))
        return
    for key, item in value.items():
        name = key if isinstance(key, str) else text(key)
        yield from _flattened(f"{prefix}.{name}" if prefix else name, item, levels - 1)


def text(value: Any) -> str:
    """Return *value* as people read it, shortened if it is long."""
    if isinstance(value, str):
        return value[:LONGEST]
    if isinstance(value, literal.Call):
        words = [text(each) for each in value.arguments]
        words += [f"{name}={text(each)}" for name, each in value.keywords]
        return f"{value.name}({', '.join(words)})"
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python refuses to write out an integer of thousands of digits
        return "a very large number"


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


class _Short(reprlib.Repr):
    """Writes a value with a bounded number of parts, however often they refer to each other."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 4
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = 20
        self.maxstring = self.maxother = self.maxlong = 100

    def repr_float(self, value: float, _level: int) -> str:
        """Return all digits of a number."""
        return repr(value)


_SHORT = _Short()
