"""The limits of columns: a database on a server rejects values that SQLite keeps, in the middle of a record.

So smtd checks a record before it writes anything, and reports the name of the field.
"""

from __future__ import annotations

import ipaddress
import math
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from smtd.errors import RecordUnusable
from smtd.records import literal
from smtd.records.record import Key
from smtd.stores.django import mapping
from smtd.stores.django.mapping import RECORD_COLUMNS, RELATIONS
from smtd.stores.django.rows import Columns


@dataclass(frozen=True, slots=True)
class Limits:
    """What a kind of database can hold, apart from the lengths of its columns.

    *nul*: NUL characters. *infinity*: infinite durations. *addresses_only*: an IP address must be valid.
    *most_bytes*: the limit for all texts of one record, if the server limits the length of statements.
    """

    nul: bool
    infinity: bool
    addresses_only: bool
    most_bytes: int | None = None


_DURATION = RECORD_COLUMNS.index("duration")
_ADDRESS = [*RELATIONS["platforms"].columns].index("ip_addr")


def fit_columns(key: Key, columns: Columns, limits: Limits) -> Columns:
    """Return *columns* in the form in which the database will return them.

    Raises RecordUnusable, with the name of the field, for a value that the database cannot hold.
    """
    _check_length("name of the project", key.project, mapping.PROJECT)
    _check_length("tags, all together,", ",".join(columns.tags), mapping.TAGS)
    size = 0
    for field, column, most, text in _values(key, columns):
        if isinstance(text, str):
            if most is not None and len(text) > most:
                _check_length(f"{field}.{column}" if column else field, text, most)
            if not limits.nul and "\0" in text:
                raise RecordUnusable(f"its {field} has a NUL character, which the database cannot hold")
            size += len(text) if text.isascii() else 4 * len(text)
    if limits.most_bytes is not None and size > limits.most_bytes:
        raise RecordUnusable(
            f"it has {size:,} bytes, but the server accepts {limits.most_bytes:,}; raise its"
            " max_allowed_packet"
        )
    return columns._replace(
        scalars=_number_fitted(columns.scalars, limits),
        platforms=_addresses_fitted(columns.platforms, limits),
    )


def _values(key: Key, columns: Columns) -> Iterator[tuple[str, str, int | None, Any]]:
    """Yield each value with its field, its column in another table, and the most characters that fit."""
    yield "project", "", mapping.PROJECT, key.project
    for tag in columns.tags:
        yield "tags", "", mapping.TAG, tag
    for (name, most), value in zip(mapping.RECORD.items(), columns.scalars, strict=True):
        yield name, "", most, value
    for field, relation in RELATIONS.items():
        value = getattr(columns, field)
        for row in value if isinstance(value, list) else [] if value is None else [value]:
            for (name, most), part in zip(relation.columns.items(), row, strict=True):
                yield field, name, most, part


def _check_length(what: str, text: str, most: int) -> None:
    if len(text) > most:
        said = literal.shortened(text)
        raise RecordUnusable(f"its {what} {said} has {len(text)} characters, but the database allows {most}")


def _number_fitted(scalars: tuple[Any, ...], limits: Limits) -> tuple[Any, ...]:
    duration = scalars[_DURATION]
    if not isinstance(duration, (int, float)) or math.isfinite(duration):
        return scalars
    if math.isnan(duration):
        duration = None  # as SQLite keeps NaN
    elif not limits.infinity:
        raise RecordUnusable(f"its duration {duration} is not a number that the database can hold")
    return (*scalars[:_DURATION], duration, *scalars[_DURATION + 1 :])


def _addresses_fitted(platforms: list[tuple[Any, ...]], limits: Limits) -> list[tuple[Any, ...]]:
    if not limits.addresses_only:
        return platforms
    rows = [(*row[:_ADDRESS], _address(row[_ADDRESS]), *row[_ADDRESS + 1 :]) for row in platforms]
    return list(dict.fromkeys(rows))


def _address(text: str) -> str:
    """Return the IP address *text* as PostgreSQL and the C library write it.

    Raises RecordUnusable for any other text.
    """
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        said = literal.shortened(text)
        raise RecordUnusable(
            f"its platforms.ip_addr {said} is not an IP address, and the database accepts nothing else"
        ) from None
    return str(found) if found.version == 4 else socket.inet_ntop(socket.AF_INET6, found.packed)
