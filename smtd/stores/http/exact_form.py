"""A record as JSON between smtd and its own server: exactly, with microseconds and infinities."""

from __future__ import annotations

import json
import math
from datetime import datetime, timezone
from typing import Any

import msgspec

from smtd.errors import RecordUnusable
from smtd.records.record import DataKey, Record, in_words

_PARTS = ("executable", "repository", "parameters", "launch_mode", "datastore", "input_datastore")


def document(record: Record) -> dict[str, Any]:
    """Return *record* as an object of JSON. What only a shelf has room for (`opaque`) is left out."""
    found = msgspec.structs.asdict(record)
    del found["opaque"]
    for name in _PARTS:
        found[name] = None if found[name] is None else msgspec.structs.asdict(found[name])
    for name in ("input_data", "output_data"):
        found[name] = [_data_key(each) for each in found[name]]
    for name in ("dependencies", "platforms"):
        found[name] = [msgspec.structs.asdict(each) for each in found[name]]
    found |= {"timestamp": _moment(record.timestamp), "tags": sorted(record.tags)}
    if record.duration is not None and not math.isfinite(record.duration):
        found["duration"] = str(record.duration)  # JSON has no such numbers
    return found


def _data_key(key: DataKey) -> dict[str, Any]:
    creation = None if key.creation is None else _moment(key.creation)
    return {**msgspec.structs.asdict(key), "creation": creation}


def _moment(value: datetime) -> str:
    return value.astimezone(timezone.utc).replace(tzinfo=None).isoformat(" ")


def line(value: dict[str, Any]) -> bytes:
    """Return *value* as one line. Raises RecordUnusable for what JSON cannot express."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n"
    except (TypeError, ValueError, RecursionError, UnicodeEncodeError) as exc:
        raise RecordUnusable(f"it has a value that JSON cannot express ({in_words(exc) or exc})") from exc
