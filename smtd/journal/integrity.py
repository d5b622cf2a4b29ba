"""Check whether a journal file is intact, and move it aside if it is damaged.

A note beside the journal tells the next start how many cycles had begun, and whether it was closed cleanly.
A file counts as damaged only if SQLite calls it so. If it is locked or cannot be read, or the disk is full,
that is an error for the user, and the file stays in its place.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import msgspec

from smtd import private, regular
from smtd.records.record import BAD_BYTES
from smtd.sqlite import ERRORS
from smtd.sqlite_files import check

#: A journal of up to this many bytes is read whole at every start. That takes 0.6 ms for each MB that is in
#: memory (measured: 0.08 s for 140 MB), and the time of the disk for the rest.
SMALL = 32 * 2**20
#: Seconds to wait for another program's lock.
PATIENCE = 10.0


class Note(msgspec.Struct, frozen=True):
    """How many *cycles* had begun in the journal; *well*: it was closed, and no damage had been found."""

    cycles: int
    well: bool


@dataclass(frozen=True, slots=True)
class Loss:
    """The journal was lost, and *why*; *kept* is the new place of the damaged file (None: there is none)."""

    why: str
    kept: Path | None = None


def is_damage(exc: BaseException | None) -> bool:
    """Say whether *exc* means that the file is damaged or no database, and not a passing problem."""
    # Subclasses of DatabaseError need not mean that; UnicodeDecodeError may come in its place.
    return type(exc) in (sqlite3.DatabaseError, UnicodeDecodeError)


def examine(path: Path) -> Loss | None:
    """Check the journal at *path* for damage, and move a damaged one aside. Blocks.

    No other process may use the journal. A large journal that was closed cleanly is not checked. Raises
    sqlite3.Error or OSError if the file cannot be checked; it then stays as it is.
    """
    check(path)
    size = path.stat().st_size if path.exists() else 0
    if size == 0:
        synced = any(path.parent.glob("pair-*.lock"))
        return Loss("it has disappeared") if synced else None
    note = read_note(path)
    left_open = _beside(path, "-wal").exists() or note is None or not note.well
    if size > SMALL and not left_open:
        return None
    why = _damage(path)
    return None if why is None else Loss(f"it is damaged ({why})", _set_aside(path))


def _damage(path: Path) -> str | None:
    address = f"{path.absolute().as_uri()}?mode=ro"  # leaves a damaged file unchanged
    with closing(sqlite3.connect(address, uri=True, timeout=PATIENCE)) as db:
        try:
            (found,) = db.execute("PRAGMA integrity_check(1)").fetchone()
        except ERRORS as exc:
            if is_damage(exc):
                return str(exc)
            raise
    return None if found == "ok" else " ".join(str(found).split())


def aside(path: Path) -> Path:
    """Return a free name for the damaged file *path*, beside it."""
    name = f"{path.name}.damaged-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}"
    places = (path.with_name(f"{name}{ending}") for ending in ("", *(f"-{n}" for n in range(2, 1000))))
    return next(place for place in places if not place.exists())


def _set_aside(path: Path) -> Path:
    """Rename the journal and its other files, overwriting none, and return the new path.

    The journal itself is renamed first: without it SQLite ignores the others.
    """
    place = aside(path)
    path.rename(place)
    for ending in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            _beside(path, ending).rename(_beside(place, ending))
    return place


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def read_note(journal: Path) -> Note | None:
    """Return the note beside *journal* (None: it is missing or unreadable). Blocks."""
    with suppress(OSError, *BAD_BYTES):
        return msgspec.json.decode(regular.read(journal.with_name("journal.note"), regular.SMALL), type=Note)
    return None


def write_note(journal: Path, note: Note) -> None:
    """Write *note* beside *journal*. Blocks. If that fails, the next start only checks more."""
    with suppress(OSError):
        private.replace(journal.with_name("journal.note"), msgspec.json.encode(note))
