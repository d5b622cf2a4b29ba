"""Convert the text of a parameter set into its values and back, and into a form to compare."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any

import msgspec

from smtd.errors import RecordUnusable
from smtd.records import literal
from smtd.records.memo import Memo
from smtd.records.parameters import config, nested, simple
from smtd.records.record import Parameters


def read(parameters: Parameters) -> Any:
    """Return the values in the text, without running anything in it.

    For a type that Sumatra does not know this is the text itself. Raises RecordUnusable for text that is
    not a set of its type, and for expressions that Sumatra would run.
    """
    reader = _READERS.get(parameters.type)
    if reader is None:
        return parameters.content
    try:
        return reader(parameters.content)
    except RecordUnusable as exc:
        raise RecordUnusable(f"its {parameters.type} cannot be read: {exc}") from exc


def write(type_name: str, values: Any, comments: dict[str, str] | None = None) -> Parameters:
    """Return the parameter set with *values*, as text with exactly that meaning.

    *comments*, by name, are written for a SimpleParameterSet only. Raises RecordUnusable for values
    that the type cannot express.
    """
    if type_name == "SimpleParameterSet":
        content = simple.write(values, comments or {})
    else:
        content = _WRITERS[type_name](values)
    written = Parameters(type_name, content)
    if type_name not in _EXACT and _comparable(written, read(written)) != _comparable(written, values):
        raise RecordUnusable(f"a {type_name} with these values has no exact text")
    return written


def meaning(parameters: Parameters) -> Any:
    """Return the meaning of the set, in a form that compares by `==` and can be encoded.

    A dictionary that a relational store returned as text counts as the dictionary
    (sumatra-formats 2.4). Raises RecordUnusable as `read` does.
    """
    if len(parameters.content) > _SHORT:
        return _meaning(parameters.type, parameters.content)
    return _meaning_of_short(parameters.type, parameters.content)


def check(parameters: Parameters) -> None:
    """Raise RecordUnusable as `meaning` does; quicker for JSON, which always has a meaning."""
    if parameters.type != "JSONParameterSet":
        meaning(parameters)
    elif len(parameters.content) > _SHORT:
        read(parameters)
    else:
        _check_short_json(parameters.content)


def _meaning(type_name: str, content: str) -> Any:
    parameters = Parameters(type_name, content)
    values = read(parameters)
    if type_name == "str":
        values, type_name = _dictionary_in(content)
    return [type_name, _comparable(parameters, values)]


#: The most characters of a text whose meaning is cached. smtd reads a batch of records several times, and the
#: sets of a sweep all differ: so more meanings are cached than a batch has records. Long texts are few.
_SHORT = 2000
_meaning_of_short = lru_cache(maxsize=1024)(_meaning)


@lru_cache(maxsize=1024)
def _check_short_json(content: str) -> None:
    read(Parameters("JSONParameterSet", content))


def forget_meanings() -> None:
    """Release the cached meanings of parameter texts: megabytes after a cycle of many records."""
    _meaning_of_short.cache_clear()


def _comparable(parameters: Parameters, values: Any) -> Any:
    if parameters.type == "NTParameterSet":
        values = nested.meaning(values)
    # Not `plain`: it would expand YAML aliases before they are counted.
    has_aliases = parameters.type == "YAMLParameterSet" and "*" in parameters.content
    return _bounded(values, max(_MOST_VALUES, len(parameters.content)), has_aliases=has_aliases)


def _dictionary_in(content: str) -> tuple[Any, str]:
    if content.startswith("{"):
        try:
            return literal.read(content), "dict"
        except literal.NotLiteral:
            pass
    return content, "str"


def _read_json(content: str) -> Any:
    try:
        return json.loads(content) if content else {}
    except (ValueError, RecursionError) as exc:
        raise RecordUnusable(f"not JSON: {exc}") from exc


def _write_json(values: Any) -> str:
    """Return the text that Sumatra writes, but faster: the indenting encoder of `json` is slow."""
    try:
        text = json.dumps(values, sort_keys=True)
        if "NaN" in text or "Infinity" in text:
            return json.dumps(values, sort_keys=True, indent=4)
        return msgspec.json.format(text, indent=4)
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as exc:
        raise RecordUnusable(f"not JSON: {exc}") from exc


def _read_yaml(content: str) -> Any:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_depth(yaml.parse(content, Loader=loader))
        return yaml.load(content, Loader=loader) if content else {}
    except MemoryError:
        raise RecordUnusable("not YAML: it is too large") from None
    except Exception as exc:
        raise RecordUnusable(f"not YAML: {' '.join(str(exc).split()) or type(exc).__name__}") from exc


def _check_depth(events: Iterable[Any]) -> None:
    """Raise RecordUnusable for nesting that would exhaust the stack of the C loader, which has no limit."""
    depth = 0
    for event in events:
        depth += type(event).__name__.endswith("StartEvent")
        depth -= type(event).__name__.endswith("EndEvent")
        if depth > _MOST_LEVELS:
            raise RecordUnusable(f"more than {_MOST_LEVELS} levels")


def _write_yaml(values: Any) -> str:
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    try:
        return str(yaml.dump(values, Dumper=dumper, indent=4))
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        raise RecordUnusable(f"not YAML: {' '.join(str(exc).split())}") from exc


def _read_none(content: str) -> None:
    if content != "None":
        raise RecordUnusable(f"{literal.shortened(content)} is not None")


_READERS: dict[str, Callable[[str], Any]] = {
    "SimpleParameterSet": simple.read,
    "NTParameterSet": nested.read,
    "ConfigParserParameterSet": config.read,
    "JSONParameterSet": _read_json,
    "YAMLParameterSet": _read_yaml,
    "dict": literal.read,
    "NoneType": _read_none,
}
_WRITERS: dict[str, Callable[[Any], str]] = {
    "NTParameterSet": literal.write,
    "ConfigParserParameterSet": config.write,
    "JSONParameterSet": _write_json,
    "YAMLParameterSet": _write_yaml,
    "dict": literal.write,
    "NoneType": lambda _: "None",
    "str": str,
}

#: Types whose text means exactly the values by construction.
_EXACT = frozenset(("JSONParameterSet", "str"))

#: The parameter set types of Sumatra 0.8.1, and the two that stand for having none.
TYPES = frozenset(_READERS)

#: A set with more values than this, and than its text has characters, is an alias bomb.
_MOST_VALUES = 1_000_000
_MOST_LEVELS = 200
#: Python reads and writes integers of at most 4,300 digits.
_MOST_BITS = (10**4300).bit_length()


def plain(value: Any) -> Any:
    """Return *value* as text, integers, booleans, None, lists and sorted dictionaries.

    Two values give the same result exactly if they mean the same: a tuple becomes a list, a key text,
    a float its bits (so NaN equals itself). Raises RecordUnusable for other types.
    """
    return _memo(value)


def _bounded(value: Any, most: int = _MOST_VALUES, *, has_aliases: bool = False) -> Any:
    try:
        if has_aliases and _count(value, {}) > most:
            raise RecordUnusable("it expands to far more values than its text has")
        return _plain(value, [most])
    except RecursionError as exc:
        raise RecordUnusable("values are nested too deeply") from exc


def _count(value: Any, counted: dict[int, int]) -> int:
    """Return how many values *value* has when written out, in a time that depends only on its size in memory.

    *counted* has the numbers of values that were counted, by identity: a YAML alias is the same object.
    """
    if not isinstance(value, (list, tuple, dict)):
        return 1
    number = counted.get(id(value))
    if number is None:
        items = value.values() if isinstance(value, dict) else value
        number = counted[id(value)] = 1 + sum(_count(item, counted) for item in items)
    return number


_memo = Memo(_bounded)


def _plain(value: Any, budget: list[int]) -> Any:
    budget[0] -= 1 + (len(value) // 100 if isinstance(value, str) else 0)
    if budget[0] < 0:
        raise RecordUnusable("it expands to far more values than its text has")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        # A text must not look like a value of another type.
        return "\0u" + value if value.startswith("\0") else value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else _large(value)
    if isinstance(value, float):
        return "\0f" + ("nan" if value != value else value.hex())
    if isinstance(value, (list, tuple)):
        return [_plain(item, budget) for item in value]
    if isinstance(value, dict):
        named = {name(key): _plain(item, budget) for key, item in value.items()}
        if len(named) < len(value):
            raise RecordUnusable("two of its names are the same as text")
        return {word: named[word] for word in sorted(named)}
    if isinstance(value, (set, frozenset)):
        return ["\0s", *sorted((_plain(item, budget) for item in value), key=repr)]
    if isinstance(value, datetime) and value.tzinfo is not None:
        with suppress(OverflowError):  # the earliest and the latest times have no form in UTC
            value = value.astimezone(timezone.utc)
    if hasattr(value, "isoformat"):
        return "\0t" + value.isoformat()
    if isinstance(value, bytes):
        return "\0b" + value.hex()
    raise RecordUnusable(f"a value of type {type(value).__name__} cannot be compared")


def _large(number: int) -> str:
    if number.bit_length() > _MOST_BITS:
        raise RecordUnusable(f"an integer of {number.bit_length():,} bits")
    return f"\0i{number:x}"


def name(key: Any) -> str:
    """Return a key as JSON writes it."""
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, (bool, int, float)):
        return json.dumps(key)
    return str(key)
