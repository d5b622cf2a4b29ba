"""Is the file of a store still the same, or another one: recreated, moved there, or a backup?"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple, TypeVar

from smtd import sqlite
from smtd.sqlite import ERRORS

T = TypeVar("T")

#: Seconds to wait for a database that somebody has locked.
_PATIENCE = 2.0


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


@dataclass(frozen=True, kw_only=True)
class FileMarks:
    """How a file of one kind of store is told from another one at its place.

    *never_shrinks*: no program makes it smaller. *is_swapped*: smtd itself puts another file in its place
    when it writes.
    """

    never_shrinks: bool = False
    is_swapped: bool = False

    def mark(self, file: Path) -> Mark | None:
        """Return the mark of *file*, or None if it is not there. Blocks."""
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
        """Say whether the mark that was *found* lacks what only the content tells: ask again."""
        return False

    def is_another(self, file: Path, before: Mark, now: Mark | None) -> bool:
        """Say whether *file*, whose mark is *now*, is not the one that had the mark *before*. Blocks."""
        return now is None or not before.is_followed_by(now)


def _opened(file: Path) -> AbstractContextManager[sqlite3.Connection]:
    # Not read-only: in WAL mode such a reader leaves files behind that it may not remove.
    return sqlite.opened(file, patience=_PATIENCE)


@dataclass(frozen=True, kw_only=True)
class DatabaseMarks(FileMarks):
    """How an SQLite file is told from another one: also by numbers of its rows, which only grow.

    *highest* returns the highest number that a row ever had (None: unknown). *newest* is the query for the
    number of the newest row, and *name* the one for what never changes of a row, by its number; both are
    empty where rows are replaced. *opened* connects to the file, and *changes* counts, inside of that, the
    transactions that wrote to it (None: unknown).
    """

    highest: Callable[[sqlite3.Connection], int | None]
    newest: str = ""
    name: str = ""
    opened: Callable[[Path], AbstractContextManager[sqlite3.Connection]] = _opened
    changes: Callable[[Path], int | None] = sqlite.commits

    def mark(self, file: Path) -> Mark | None:
        found = super().mark(file)
        if found is None:
            return None

        def numbered(db: sqlite3.Connection) -> Mark:
            db.execute("BEGIN")  # so that all that is read is of one moment
            newest = number(db, self.newest) if self.newest else None
            name = None if newest is None else self._named(db, newest)
            highest = self.highest(db)
            # Last: to close a file takes away the locks of this process's connections to it.
            return found._replace(newest=newest, name=name, highest=highest, changes=self.changes(file))

        return self._asked(file, numbered) or found

    def commits(self, file: Path) -> int | None:
        return sqlite.commits(file)

    def is_partial(self, found: Mark | None) -> bool:
        """Say whether the mark that was *found* lacks what only the database tells.

        It was locked, or is empty: it is to be asked again, though its file looks the same.
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
        # If work went on in an older copy, another record has the row that was the newest one.
        name = now.name if now.newest == newest else self._asked(file, lambda db: self._named(db, newest))
        return name not in (None, before.name)

    def _asked(self, file: Path, ask: Callable[[sqlite3.Connection], T]) -> T | None:
        """Return what *ask* finds in the database; None if that is locked, or new."""
        try:
            with self.opened(file) as db:
                return ask(db)
        except (*ERRORS, OSError):
            return None  # the rest of the mark must do

    def _named(self, db: sqlite3.Connection, row: int) -> int | None:
        found = db.execute(self.name, (row,)).fetchone()
        if found is None:
            return None
        return int.from_bytes(blake2b(repr(found).encode(), digest_size=7).digest(), "big")


def number(db: sqlite3.Connection, query: str) -> int | None:
    """Return the number that *query* finds; None if there is none."""
    row = db.execute(query).fetchone()
    return None if row is None or row[0] is None else int(row[0])
