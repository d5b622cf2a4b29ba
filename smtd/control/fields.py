"""The fields of a request, each with its type; the error for a wrong field is one sentence.

A field that is null counts as missing.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

from smtd.errors import UsageError
from smtd.records.record import Key

Fields: TypeAlias = dict[str, Any]

#: The most characters of a name, label or glob: more than any store can hold.
LONGEST_TEXT = 1000


def text(fields: Fields, name: str) -> str:
    """Return a required text. Raises UsageError if it is missing or wrong."""
    found = optional_text(fields, name)
    if found is None:
        raise UsageError(f"the request needs a {name}")
    return found


def optional_text(fields: Fields, name: str) -> str | None:
    """Return a text, or None if there is none. Raises UsageError."""
    value = fields.get(name)
    return None if value is None else _text(value, f"{name} must be")


def long_text(fields: Fields, name: str) -> str | None:
    """Return a text of any length, or None if there is none. Raises UsageError."""
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise UsageError(f"{name} must be a string")
    return value


def texts(fields: Fields, name: str) -> list[str]:
    """Return a list of texts, which may be empty. Raises UsageError."""
    value = fields.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise UsageError(f"{name} must be a list of strings")
    return [_text(each, f"{name} must be a list of strings, each") for each in value]


def keys(fields: Fields, name: str) -> frozenset[Key]:
    """Return the keys of a list of records, each with `project` and `label`. Raises UsageError."""
    value = fields.get(name)
    if value is None:
        return frozenset()
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise UsageError(f"{name} must be a list of objects with project and label")
    return frozenset(Key(text(each, "project"), text(each, "label")) for each in value)


def flag(fields: Fields, name: str) -> bool:
    """Return true or false; false is the default. Raises UsageError."""
    value = fields.get(name)
    if not isinstance(value, bool | None):
        raise UsageError(f"{name} must be true or false")
    return bool(value)


def whole(fields: Fields, name: str, default: int | None = None) -> int:
    """Return a whole number, 0 or more; without a *default* it is required. Raises UsageError."""
    value = fields.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UsageError(f"{name} must be a whole number, 0 or more")
    return value


def optional_whole(fields: Fields, name: str) -> int | None:
    """Return a whole number, 0 or more, or None if there is none. Raises UsageError."""
    return None if fields.get(name) is None else whole(fields, name)


def seconds(fields: Fields, name: str) -> float | None:
    """Return a time in seconds, or None if there is none. Raises UsageError."""
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise UsageError(f"{name} must be a number of seconds, 0 or more")
    return float(value)


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{what} a string")
    if len(value) > LONGEST_TEXT:
        raise UsageError(f"{what} at most {LONGEST_TEXT} characters long")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{what} Unicode text without lone surrogates") from None
    return value
