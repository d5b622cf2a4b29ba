"""The file of the search index: opened if it can be used, else made again. Private to smtd's user."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib import resources
from pathlib import Path

from anyio import CancelScope, to_thread

from smtd import denied, private, regular
from smtd.errors import UsageError
from smtd.sqlite import Connection, connect, script

log = logging.getLogger("smtd")

#: The version of what is in the file: of the tables, and of what `entry.py` takes from a record.
VERSION = 2
_PARTS = ("", "-wal", "-shm", "-journal")


@asynccontextmanager
async def connections(path: Path | None) -> AsyncIterator[tuple[Connection, Connection]]:
    """Yield a connection that writes to the index at *path*, and one that reads, for a `with` block.

    The index is empty if the file is missing, of another version or damaged. If *path* is None, or another
    process uses the file, it is a new one that is removed afterwards. Raises OSError, sqlite3.Error,
    UsageError.
    """
    place = _Place(path)
    chosen = await to_thread.run_sync(place.take)
    try:
        try:
            await to_thread.run_sync(_prepare, chosen)
        except sqlite3.DatabaseError:
            await to_thread.run_sync(_make, chosen)
        async with connect(str(chosen), trusted=True) as writer, connect(str(chosen), trusted=True) as reader:
            # A commit need not survive a power cut: what is missing is read from the store again.
            await writer.run("PRAGMA synchronous = NORMAL")
            yield writer, reader
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(place.release)


class _Place:
    """The place of the file, for one process at a time. Every method blocks."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._handle: int | None = None
        self._temporary: str | None = None

    def take(self) -> Path:
        """Return where the file is to be; keep other processes from it. Raises OSError."""
        if self._path is not None:
            try:
                private.make_directory(self._path.parent)
                regular.check([self._path])
                self._handle = _locked(self._path)
            except OSError as exc:
                log.info("the search index of the pages is not kept in %s: %s", self._path, denied.why(exc))
            else:
                return self._path
        self._temporary = tempfile.mkdtemp(prefix="smtd-pages-")
        return Path(self._temporary) / "pages.sqlite"

    def release(self) -> None:
        """Let others have the place; remove a file that was only for this process."""
        if self._handle is not None:
            os.close(self._handle)
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)


def _locked(path: Path) -> int:
    """Return a handle that keeps other processes from *path*. Blocks. Raises OSError if one uses it."""
    handle = regular.lock(path.with_name(f".{path.name}.used"))
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle


def _prepare(path: Path) -> None:
    """Make the index at *path* unless it is there. Blocks. Raises sqlite3.DatabaseError if it is damaged."""
    private.ensure(path)
    with _open(path) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
    if version != VERSION:
        _make(path)


def _make(path: Path) -> None:
    """Make an empty index at *path*, in place of whatever is there. Blocks."""
    for part in _PARTS:
        Path(f"{path}{part}").unlink(missing_ok=True)
    private.ensure(path)
    with _open(path) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("BEGIN")
        for statement in script((resources.files("smtd.web.records") / "schema.sql").read_text("utf-8")):
            _create(db, statement)
        db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")


def _create(db: sqlite3.Connection, statement: str) -> None:
    """Execute *statement*. Raises UsageError if SQLite here cannot search texts."""
    try:
        db.execute(statement)
    except sqlite3.OperationalError as exc:
        if "no such module: fts5" not in str(exc):
            raise
        raise UsageError(
            "the SQLite of this Python has no FTS5, which the pages of records need for their search;"
            " use a Python whose SQLite has it"
        ) from exc


@contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(path, isolation_level=None)
    try:
        yield db
    finally:
        db.close()
