"""Detect that the file of a store was replaced: recreated, moved there, or restored from a backup."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple, TypeVar

from smtd import sqlite, sqlite_files
from smtd.sqlite import ERRORS

T = TypeVar("T")

#: Seconds to wait for a database that another program has locked.
_PATIENCE = 2.0


class Mark(NamedTuple):
    """Values that identify a file at a path; None: unknown, or without meaning for this kind of file.

    *size* is in bytes, *written* in nanoseconds since 1970. *highest* is the highest id that a row ever had,
    *newest* the id of the newest row, and *name* a hash that identifies the record in that row. *changes* is
    SQLite's own count of the transactions that wrote to the file.
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
        """Say whether *now* may be a later mark of the same file: no value that only grows has decreased.

        Device numbers are ignored: on many file systems they differ after each mount.
        """
        return self.inode == now.inode and all(
            before is None or after is None or after >= before
            for before, after in zip(self._counts, now._counts, strict=True)
        )

    @property
    def _counts(self) -> tuple[int | None, ...]:
        """The values that only grow."""
        return self.size, self.written, self.highest, self.changes

    def completed(self, before: Mark) -> Mark:
        """Return this mark with its unknown values, which a locked database leaves, taken from *before*."""
        rest = (old if new is None else new for new, old in zip(self[2:], before[2:], strict=True))
        return Mark(self.device, self.inode, *rest)


def read(text: str) -> Mark | None:
    """Return the mark that was written as *text* (None: there was none, or it is of no file)."""
    if ":" not in text:
        return None
    device, inode, *rest = text.split(":")
    return Mark(int(device), int(inode), *[int(each) if each else None for each in rest])


@dataclass(frozen=True, kw_only=True)
class FileMarks:
    """Makes and compares the marks of files of one kind of store.

    *never_shrinks*: no program makes such a file smaller. *is_swapped*: smtd itself replaces the file when it
    writes.
    """

    never_shrinks: bool = False
    is_swapped: bool = False

    def mark(self, file: Path) -> Mark | None:
        """Return the mark of *file*, or None if it is absent or inaccessible. Blocks."""
        try:
            found = os.stat(file)
        except OSError:
            return None
        size = found.st_size if self.never_shrinks else None
        return Mark(found.st_dev, found.st_ino, size, found.st_mtime_ns)

    def commits(self, file: Path) -> int | None:
        """Return a count that grows with each change of *file* (None: there is none). Blocks."""
        return None

    def is_partial(self, found: Mark | None) -> bool:
        """Say whether the mark *found* lacks the values that come from the content: then read it again."""
        return False

    def is_another(self, file: Path, before: Mark, now: Mark | None) -> bool:
        """Say whether *file*, whose mark is *now*, is another file than the one marked *before*. Blocks."""
        return now is None or not before.is_followed_by(now)


def _opened(file: Path) -> AbstractContextManager[sqlite3.Connection]:
    # Not read-only: in WAL mode such a reader leaves files behind that it may not remove.
    return sqlite.opened(file, patience=_PATIENCE)


@dataclass(frozen=True, kw_only=True)
class DatabaseMarks(FileMarks):
    """Makes and compares the marks of SQLite files, also by the ids of their rows, which only grow.

    *highest* returns the highest id that a row ever had (None: unknown). *newest* is the query for the id of
    the newest row, and *name* the query for the columns of a row, by its id, that never change; both are
    empty where a save replaces the row. *opened* connects to the file. *changes*, which is called inside it,
    returns how many transactions wrote to the file (None: unknown).
    """

    highest: Callable[[sqlite3.Connection], int | None]
    newest: str = ""
    name: str = ""
    opened: Callable[[Path], AbstractContextManager[sqlite3.Connection]] = _opened
    changes: Callable[[Path], int | None] = sqlite_files.commits

    def mark(self, file: Path) -> Mark | None:
        found = super().mark(file)
        if found is None:
            return None

        def numbered(db: sqlite3.Connection) -> Mark:
            db.execute("BEGIN")  # so that all queries read one snapshot
            newest = number(db, self.newest) if self.newest else None
            name = None if newest is None else self._named(db, newest)
            highest = self.highest(db)
            # Last: *changes* may close the file, which drops the locks of this process's connections to it.
            return found._replace(newest=newest, name=name, highest=highest, changes=self.changes(file))

        return self._asked(file, numbered) or found

    def commits(self, file: Path) -> int | None:
        return sqlite_files.commits(file)

    def is_partial(self, found: Mark | None) -> bool:
        """Say whether the mark *found* lacks the values that come from the database.

        The database was locked, or is empty: then read the mark again, even if the file status is the same.
        """
        return found is not None and found[4:] == (None,) * len(found[4:])

    def is_another(self, file: Path, before: Mark, now: Mark | None) -> bool:
        if self.is_partial(now):
            now = self.mark(file)
        if now is None or super().is_another(file, before, now):
            return True
        if before.newest is None:
            return False
        newest = before.newest
        # If programs went on with an older copy, another record now has the id that was the newest one.
        name = now.name if now.newest == newest else self._asked(file, lambda db: self._named(db, newest))
        return name not in (None, before.name)

    def _asked(self, file: Path, ask: Callable[[sqlite3.Connection], T]) -> T | None:
        """Return what *ask* finds in the database; None if that cannot be read, as one locked or new."""
        try:
            with self.opened(file) as db:
                return ask(db)
        except (*ERRORS, OSError):
            return None  # the other values of the mark must suffice

    def _named(self, db: sqlite3.Connection, row: int) -> int | None:
        found = db.execute(self.name, (row,)).fetchone()
        if found is None:
            return None
        return int.from_bytes(blake2b(repr(found).encode(), digest_size=7).digest(), "big")


def number(db: sqlite3.Connection, query: str) -> int | None:
    """Return the number that *query* finds; None if there is none."""
    row = db.execute(query).fetchone()
    return None if row is None or row[0] is None else int(row[0])
