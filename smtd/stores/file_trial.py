"""Try to write to the files of a store as far as that leaves no trace. Every function blocks."""

from __future__ import annotations

import os
from pathlib import Path

from smtd import denied
from smtd.errors import StoreUnreachable
from smtd.sqlite import ERRORS, opened, store_error

#: Seconds to wait for a lock of another program.
PATIENCE = 2.0


def in_database(path: Path, name: str) -> None:
    """Begin to change the SQLite file at *path*, which people know as *name*, and roll that back.

    SQLite takes its lock for writing, and creates the journal that it needs for a change. Raises StoreError.
    """
    try:
        with opened(path, patience=PATIENCE) as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                ((version,),) = db.execute("PRAGMA user_version").fetchall()
                db.execute(f"PRAGMA user_version = {int(version) ^ 1}")
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")
    except OSError as exc:
        raise StoreUnreachable(f"{name} cannot be written: {denied.why(exc)}") from exc
    except ERRORS as exc:
        raise store_error(exc, name) from exc


def in_directory(path: Path, name: str) -> None:
    """Raise StoreUnreachable if no file can be created beside *path*, as the store *name* needs it.

    For a symbolic link that is the directory of the file that it leads to.
    """
    if why := denied.in_directory(Path(os.path.realpath(path)).parent):
        raise StoreUnreachable(f"{name} cannot be written: {why}")


def to_file(path: Path, name: str) -> None:
    """Raise StoreUnreachable if the file *path* of the store *name* may not be written."""
    if why := denied.at(path, write=True):
        raise StoreUnreachable(f"{name} cannot be written: {why}")
