"""Whether a journal file is whole, and where it goes if it is not.

Damaged is only what SQLite calls so. A file that is locked, that may not be read, or a disk that is full
is an error for a person, and the file stays where it is.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from smtd.journal.shutdown_marker import read_note
from smtd.sqlite import ERRORS, check

#: Bytes up to which a journal is read whole at every start. It takes 0.6 ms for each MB that is in memory
#: (measured: 0.08 s for 140 MB), and as long as the disk takes for what is not.
SMALL = 32 * 2**20
#: Seconds to wait for another program's lock.
PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Loss:
    """What was known is lost, and *why*; the damaged file is *kept*, if there is one."""

    why: str
    kept: Path | None = None


def is_damage(exc: BaseException | None) -> bool:
    """Say whether SQLite means that the file is damaged or no database, and nothing that may pass."""
    # Others are subclasses of the first, and need not mean that; the second is in place of the first.
    return type(exc) in (sqlite3.DatabaseError, UnicodeDecodeError)


def examine(path: Path) -> Loss | None:
    """Look for damage in the journal at *path*, and move a damaged one aside. Blocks; be alone with it.

    A large journal that was closed in an orderly way is believed to be whole. Raises sqlite3.Error or
    OSError if it cannot be looked at; it is left as it is then.
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
    address = f"{path.absolute().as_uri()}?mode=ro"  # a damaged file is kept as it was found
    with closing(sqlite3.connect(address, uri=True, timeout=PATIENCE)) as db:
        try:
            (found,) = db.execute("PRAGMA integrity_check(1)").fetchone()
        except ERRORS as exc:
            if is_damage(exc):
                return str(exc)
            raise
    return None if found == "ok" else " ".join(str(found).split())


def _set_aside(path: Path) -> Path:
    """Rename the journal and what belongs to it, and return its new place. Nothing is overwritten.

    The file itself goes first: without it SQLite takes nothing from the others.
    """
    name = f"{path.name}.damaged-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}"
    places = (path.with_name(f"{name}{ending}") for ending in ("", *(f"-{n}" for n in range(2, 1000))))
    place = next(place for place in places if not place.exists())
    path.rename(place)
    for ending in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            _beside(path, ending).rename(_beside(place, ending))
    return place


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)
