"""Is the file of a store still the same, or another one: recreated, moved there, or a backup?"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from hashlib import blake2b
from typing import NamedTuple, TypeVar

from smtd import sqlite
from smtd.sqlite import ERRORS
from smtd.stores.legacy import databases
from smtd.stores.location import Location, StoreKind

T = TypeVar("T")

#: Files that no program makes smaller: dbm.dumb, gdbm and Berkeley DB reuse room, or waste it.
_NEVER_SHRINK = frozenset({StoreKind.DUMB, StoreKind.GNU, StoreKind.NDBM})
#: Files in whose place smtd itself puts another one when it writes.
SWAPPED = frozenset({StoreKind.GNU, StoreKind.NDBM})
#: Seconds to wait for a database that somebody has locked.
_PATIENCE = 2.0

#: The highest number that rows ever had: SQLite gives none to two records, nor does dbm.sqlite3 to two
#: saves of a project, since each replaces its row by a new one.
_HIGHEST = {
    StoreKind.DJANGO: "SELECT seq FROM sqlite_sequence WHERE name = 'django_store_record'",
    StoreKind.SQLITE3: "SELECT max(rowid) FROM Dict",
}
#: The newest row, and what never changes of a row.
_NEWEST = "SELECT max(db_id) FROM django_store_record"
_NAME = "SELECT project_id, label FROM django_store_record WHERE db_id = ?"


class Mark(NamedTuple):
    """What tells a file from another one at its place; None: not known, or of no meaning for its kind.

    *size* is in bytes, *written* in nanoseconds since 1970, *highest* the highest number that a row ever
    had, and *name* tells which record has the row *newest*. *changes* is SQLite's own count of the
    transactions that wrote to the file.
    """

    device: int
    inode: int
    size: int | None = None
    written: int | None = None
    highest: int | None = None
    newest: int | None = None
    name: int | None = None
    changes: int | None = None

    def __str__(self) -> str:
        return ":".join("" if each is None else str(each) for each in self)

    def is_followed_by(self, now: Mark) -> bool:
        """Say whether *now* may be the same file later on: it has not gone back in any respect.

        Devices tell nothing: many file systems have other numbers after each mount.
        """
        return self.inode == now.inode and all(
            before is None or after is None or after >= before
            for before, after in zip(self._counts, now._counts, strict=True)
        )

    @property
    def _counts(self) -> tuple[int | None, ...]:
        """What only grows."""
        return self.size, self.written, self.highest, self.changes

    def filled(self, before: Mark) -> Mark:
        """Return this mark with what *before* knew where it knows nothing: the database was locked."""
        rest = (old if new is None else new for new, old in zip(self[2:], before[2:], strict=True))
        return Mark(self.device, self.inode, *rest)


def read(text: str) -> Mark | None:
    """Return the mark that was written as *text* (None: there was none)."""
    if not text:
        return None
    device, inode, *rest = text.split(":")
    return Mark(int(device), int(inode), *[int(each) if each else None for each in rest])


def mark(location: Location) -> Mark | None:
    """Return the mark of the file at *location*, or None if there is none, as of a server. Blocks."""
    found = _looks(location)
    if found is None or location.kind not in (*_HIGHEST, StoreKind.OLD_DJANGO):
        return found

    def numbered(db: sqlite3.Connection) -> Mark:
        db.execute("BEGIN")  # so that all that is read is of one moment
        newest = None if location.kind is StoreKind.SQLITE3 else _one(db, _NEWEST)
        name = None if newest is None else _name(db, newest)
        numbered = found._replace(newest=newest, name=name)
        if location.kind is StoreKind.OLD_DJANGO:
            return numbered._replace(highest=_sequence(db), changes=databases.change_counter(location.path))
        return numbered._replace(
            highest=_one(db, _HIGHEST[location.kind]), changes=sqlite.commits(location.path)
        )

    return _asked(location, numbered) or found


def commits(location: Location) -> int | None:
    """Return SQLite's own count of what changed the file at *location* (None: unknown). Blocks."""
    return sqlite.commits(location.path) if location.kind is StoreKind.DJANGO else None


def is_partial(location: Location, found: Mark | None) -> bool:
    """Say whether the mark that was *found* at *location* lacks what only the database tells.

    It was locked, or is empty: it is to be asked again, though its file looks the same.
    """
    asked = location.kind in (*_HIGHEST, StoreKind.OLD_DJANGO)
    return found is not None and asked and found[4:] == (None,) * len(found[4:])


def is_another(location: Location, before: Mark | None, now: Mark | None) -> bool:
    """Say whether the file at *location*, whose mark is *now*, is not the one that had *before*. Blocks.

    No server, and no store that had no mark, is ever another one.
    """
    if before is None:
        return False
    if is_partial(location, now):
        now = mark(location)
    if now is None or not before.is_followed_by(now):
        return True
    if before.newest is None:
        return False
    newest = before.newest
    # If work went on in an older copy, another record has the row that was the newest one.
    name = now.name if now.newest == newest else _asked(location, lambda db: _name(db, newest))
    return name not in (None, before.name)


def _looks(location: Location) -> Mark | None:
    if not location.files:
        return None
    try:
        found = os.stat(location.files[0])
    except OSError:
        return None
    size = found.st_size if location.kind in _NEVER_SHRINK else None
    return Mark(found.st_dev, found.st_ino, size, found.st_mtime_ns)


def _asked(location: Location, ask: Callable[[sqlite3.Connection], T]) -> T | None:
    """Return what *ask* finds in the database; None if that is locked, or new."""
    try:
        with _opened(location) as db:
            return ask(db)
    except (*ERRORS, OSError):
        return None  # the rest of the mark must do


def _opened(location: Location) -> AbstractContextManager[sqlite3.Connection]:
    if location.kind is StoreKind.OLD_DJANGO:
        return databases.opened(location.path)
    # Not read-only: in WAL mode such a reader leaves files behind that it may not remove.
    return sqlite.opened(location.path, patience=_PATIENCE)


def _sequence(db: sqlite3.Connection) -> int | None:
    """Return the highest number that a record had (None: numbers are given again, as before Sumatra 0.7)."""
    if _one(db, "SELECT count(*) FROM sqlite_master WHERE name = 'sqlite_sequence'"):
        return _one(db, _HIGHEST[StoreKind.DJANGO])
    return None


def _one(db: sqlite3.Connection, query: str) -> int | None:
    row = db.execute(query).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def _name(db: sqlite3.Connection, row: int) -> int | None:
    found = db.execute(_NAME, (row,)).fetchone()
    if found is None:
        return None
    return int.from_bytes(blake2b(repr(found).encode(), digest_size=7).digest(), "big")
