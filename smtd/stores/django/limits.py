"""What the columns hold: a database on a server refuses what SQLite keeps, in the middle of a record.

So it is looked for before anything is written, and told with the name of the field.
"""

from __future__ import annotations

import ipaddress
import math
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from smtd.errors import RecordUnusable
from smtd.records import literal
from smtd.records.record import Key
from smtd.stores.django.rows import DEPENDENCY_COLUMNS, PLATFORM_COLUMNS, RECORD_COLUMNS, Columns


@dataclass(frozen=True, slots=True)
class Limits:
    """What a kind of database cannot hold beside texts that are too long for their columns.

    *most_bytes*: of all texts of one record, if the server takes no longer statements.
    """

    nul: bool
    infinity: bool
    addresses_only: bool
    most_bytes: int | None = None


#: Characters of each column (`models.py` of Sumatra 0.8.1); what is not here has no limit.
_RECORD = {"label": 100, "main_file": 100, "version": 50, "user": 100, "repeats": 100}
_SHARED: dict[str, dict[str, int]] = {
    "executable": {"path": 200, "name": 50, "version": 100, "options": 50},
    "repository": {"type": 100, "url": 200, "upstream": 200},
    "parameters": {"type": 100},
    "launch_mode": {"type": 100, "parameters": 1000},
    "datastore": {"type": 100, "parameters": 200},
    "input_datastore": {"type": 100, "parameters": 200},
    "input_data": {"path": 200, "digest": 40},
    "output_data": {"path": 200, "digest": 40},
    "dependencies": {"name": 50, "path": 200, "version": 40, "source": 200, "module": 50},
    "platforms": {
        "architecture_bits": 100,
        "architecture_linkage": 100,
        "machine": 20,
        "network_name": 100,
        "ip_addr": 39,
        "processor": 100,
        "release": 100,
        "system_name": 20,
        "version": 200,
    },
}
_COLUMNS: dict[str, Sequence[str]] = {
    "executable": ("path", "name", "version", "options"),
    "repository": ("type", "url", "upstream"),
    "parameters": ("type", "content"),
    "launch_mode": ("type", "parameters"),
    "datastore": ("type", "parameters"),
    "input_datastore": ("type", "parameters"),
    "input_data": ("path", "digest", "creation", "metadata"),
    "output_data": ("path", "digest", "creation", "metadata"),
    "dependencies": DEPENDENCY_COLUMNS,
    "platforms": PLATFORM_COLUMNS,
}
_PROJECT, _TAG, _TAGS = 50, 50, 255
_DURATION = RECORD_COLUMNS.index("duration")
_ADDRESS = PLATFORM_COLUMNS.index("ip_addr")


def fitted(key: Key, columns: Columns, limits: Limits) -> Columns:
    """Return *columns* in the form in which the database will give them back.

    Raises RecordUnusable, with the field, for what it has no room for.
    """
    _check_length("name of the project", key.project, _PROJECT)
    for name, value in zip(RECORD_COLUMNS, columns.scalars, strict=True):
        _check_length(name, value, _RECORD.get(name))
    for tag in columns.tags:
        _check_length("tags", tag, _TAG)
    _check_length("tags, all together,", ",".join(columns.tags), _TAGS)
    for field, rows in _rows(columns):
        for row in rows:
            for name, value in zip(_COLUMNS[field], row, strict=True):
                _check_length(f"{field}.{name}", value, _SHARED[field].get(name))
    _check_texts(key, columns, limits)
    return columns._replace(
        scalars=_number_fitted(columns.scalars, limits),
        platforms=_addresses_fitted(columns.platforms, limits),
    )


def _rows(columns: Columns) -> Iterable[tuple[str, Sequence[tuple[Any, ...]]]]:
    for field in _COLUMNS:
        value = getattr(columns, field)
        yield field, value if isinstance(value, list) else [] if value is None else [value]


def _texts(key: Key, columns: Columns) -> Iterable[tuple[str, Sequence[Any]]]:
    """Give all values, by field."""
    yield "project", (key.project,)
    yield "tags", columns.tags
    for name, value in zip(RECORD_COLUMNS, columns.scalars, strict=True):
        yield name, (value,)
    for field, rows in _rows(columns):
        for row in rows:
            yield field, row


def _check_length(what: str, value: Any, most: int | None) -> None:
    if most is not None and isinstance(value, str) and len(value) > most:
        said = literal.shortened(value)
        raise RecordUnusable(f"its {what} {said} has {len(value)} characters, but the database allows {most}")


def _check_texts(key: Key, columns: Columns, limits: Limits) -> None:
    size = 0
    for field, values in _texts(key, columns):
        for text in values:
            if isinstance(text, str):
                size += len(text) if text.isascii() else 4 * len(text)
                if not limits.nul and "\0" in text:
                    raise RecordUnusable(f"its {field} has a NUL character, which the database cannot hold")
    if limits.most_bytes is not None and size > limits.most_bytes:
        raise RecordUnusable(
            f"it has {size:,} bytes, but the server accepts {limits.most_bytes:,}; raise its"
            " max_allowed_packet"
        )


def _number_fitted(scalars: tuple[Any, ...], limits: Limits) -> tuple[Any, ...]:
    duration = scalars[_DURATION]
    if not isinstance(duration, (int, float)) or math.isfinite(duration):
        return scalars
    if math.isnan(duration):
        duration = None  # as SQLite keeps it, and as good
    elif not limits.infinity:
        raise RecordUnusable(f"its duration {duration} is not a number that the database can hold")
    return (*scalars[:_DURATION], duration, *scalars[_DURATION + 1 :])


def _addresses_fitted(platforms: list[tuple[Any, ...]], limits: Limits) -> list[tuple[Any, ...]]:
    if not limits.addresses_only:
        return platforms
    rows = [(*row[:_ADDRESS], _address(row[_ADDRESS]), *row[_ADDRESS + 1 :]) for row in platforms]
    return list(dict.fromkeys(rows))


def _address(text: str) -> str:
    """Return an address as PostgreSQL and the C library write it."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        said = literal.shortened(text)
        raise RecordUnusable(
            f"its platforms.ip_addr {said} is not an IP address, and the database accepts nothing else"
        ) from None
    return str(found) if found.version == 4 else socket.inet_ntop(socket.AF_INET6, found.packed)
