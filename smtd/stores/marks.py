"""Is the file of a store still the one that it was, or another one: made anew, moved there, or a backup?"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import NamedTuple

from smtd.stores.locations import Kind, Location

#: Files that no program makes smaller: dbm.dumb, gdbm and Berkeley DB reuse room, or waste it.
_NEVER_SHRINK = frozenset({Kind.DUMB, Kind.GNU, Kind.NDBM})
#: Seconds to wait for a database that somebody has locked.
_PATIENCE = 2.0


class Mark(NamedTuple):
    """What tells a file from another one at its place; None: not known, or of no meaning for its kind.

    *size* is in bytes, *written* in nanoseconds since 1970, and *highest* the highest row id that the
    database has ever given to a record (SQLite never gives one twice).
    """

    device: int
    inode: int
    size: int | None = None
    written: int | None = None
    highest: int | None = None

    def __str__(self) -> str:
        return ":".join("" if each is None else str(each) for each in self)

    def is_followed_by(self, now: Mark) -> bool:
        """Say whether *now* may be the same file later on: it has not gone back in any respect."""
        same = (self.device, self.inode) == (now.device, now.inode)
        return same and all(
            before is None or after is None or after >= before
            for before, after in zip(self[2:], now[2:], strict=True)
        )


def read(text: str) -> Mark | None:
    """Return the mark that was written as *text* (None: there was none)."""
    if not text:
        return None
    device, inode, *rest = text.split(":")
    return Mark(int(device), int(inode), *[int(each) if each else None for each in rest])


def mark(location: Location) -> Mark | None:
    """Return the mark of the file at *location*, or None if there is none, as of a server. Blocks."""
    if not location.files:
        return None
    try:
        found = os.stat(location.files[0])
    except OSError:
        return None
    size = found.st_size if location.kind in _NEVER_SHRINK else None
    highest = _highest(location) if location.kind is Kind.DJANGO else None
    return Mark(found.st_dev, found.st_ino, size, found.st_mtime_ns, highest)


def _highest(location: Location) -> int | None:
    address = f"{location.path.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=_PATIENCE)) as db:
            asked = "SELECT seq FROM sqlite_sequence WHERE name = 'django_store_record'"
            row = db.execute(asked).fetchone()
    except sqlite3.Error:
        return None  # locked or new: the rest of the mark must do
    return None if row is None else int(row[0])
