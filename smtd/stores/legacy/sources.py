"""What databases and exports of earlier Sumatras have in common. smtd reads them, and never writes.

They are read whole, at one moment. Their times are local, in the time zone where they were written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from smtd.errors import RecordUnusable, StoreRefused
from smtd.records import canonical, literal, python2
from smtd.records.parameters import content
from smtd.records.record import Key, Parameters, Record

#: The digest that Sumatra has for data without one (before 0.4).
NO_DIGEST = "0" * 40
#: The data store that Sumatra uses for input data of records without one (before 0.4), as in its databases.
INPUT_DATASTORE = ("FileSystemDataStore", "{'root': '/'}")

#: Parameters whose text is the `repr` of a dictionary.
_EXPRESSIONS = frozenset(("dict", "NTParameterSet"))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The content of a source at one moment: its records, why others cannot be read, and its version."""

    records: dict[Key, Record]
    unreadable: dict[Key, str]
    version: str


@dataclass(frozen=True, slots=True)
class LegacySource:
    """A kind of source: its name in one word, what it is, its files, and how to read it whole.

    `load` takes the path and the name of a time zone (empty: that of this machine) and blocks. It
    raises StoreRefused or StoreUnreachable for a source that cannot be read, FileNotFoundError for
    one that does not exist, and changes nothing.
    """

    kind: str
    what: str
    files: Callable[[Path], tuple[Path, ...]]
    load: Callable[[Path, str], Snapshot]


def snapshot(found: Iterable[tuple[Key, Record | RecordUnusable]], version: str) -> Snapshot:
    """Return the records *found* as a snapshot; different records with one label count as unreadable."""
    records: dict[Key, Record] = {}
    unreadable: dict[Key, str] = {}
    for key, record in found:
        try:
            if isinstance(record, RecordUnusable):
                raise record
            if canonical.digest(records.setdefault(key, record)) != canonical.digest(record):
                raise RecordUnusable("two different records have this label")
        except RecordUnusable as exc:
            unreadable[key] = exc.reason
    for key in unreadable:
        records.pop(key, None)
    return Snapshot(records, unreadable, version)


def zone(name: str) -> ZoneInfo | None:
    """Return the time zone *name*; None means that of this machine. Blocks.

    Raises StoreRefused for one that this machine does not know.
    """
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise StoreRefused(f"there is no time zone {name!r}; name one such as Europe/Paris") from exc


_MOMENT = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)[ T](?P<time>\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d{1,6}))?"
    # Sumatra 0.8 writes +0000; it also accepts a space in place of the +.
    r"(?P<offset> 00:00|Z|[+-]\d\d:?\d\d)?\Z",
    re.ASCII,
)


def moment(text: str, local: ZoneInfo | None) -> datetime:
    """Return the time in UTC; one without an offset is in *local* (None: this machine's zone).

    A time that the clock showed twice counts as the first one. Raises RecordUnusable.
    """
    try:
        found = _MOMENT.match(text)
        if found is None:
            raise ValueError(text)
        fraction = (found["fraction"] or "").ljust(6, "0")
        naive = datetime.fromisoformat(f"{found['day']} {found['time']}.{fraction}")
        if found["offset"]:
            return (naive - _offset(found["offset"])).replace(tzinfo=timezone.utc)
        return naive.replace(tzinfo=local).astimezone(timezone.utc)
    except (ValueError, OverflowError, OSError) as exc:
        raise RecordUnusable(f"{literal.shortened(text)} is not a time") from exc


def _offset(text: str) -> timedelta:
    if text in (" 00:00", "Z"):
        return timedelta()
    sign = -1 if text[0] == "-" else 1
    return sign * timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))


def parameters(type_name: str, text: str) -> Parameters:
    """Return the parameter set of *text*, which Python 2 may have written, as Python 3 would write it.

    Raises RecordUnusable for one that cannot be read as data.
    """
    # The texts of the other types are not Python expressions, so their own text is tried first.
    texts = [python2.text(text)] if type_name in _EXPRESSIONS else [text, python2.text(text)]
    reasons = []
    for each in texts:
        found = Parameters(type_name, each)
        try:
            content.check(found)
        except RecordUnusable as exc:
            reasons.append(str(exc))
        else:
            return found
    raise RecordUnusable(f"parameters: {reasons[0]}")


def paths(text: str) -> list[str]:
    """Return the paths in a list that Sumatra before 0.4 stored as text. Raises RecordUnusable."""
    found = literal.read(python2.text(text))
    if not (isinstance(found, (list, tuple)) and all(isinstance(path, str) for path in found)):
        raise RecordUnusable(f"{literal.shortened(text)} is not a list of paths")
    return list(found)
