"""dbm.sqlite3, the default of Python 3.13: one table `Dict` in an SQLite file.

The format is that of CPython's dbm/sqlite3.py; any Python reads it with its own sqlite3.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from smtd.signature import NotSettled

#: Seconds to wait for another process's lock.
TIMEOUT = 10.0


class Sqlite3File:
    """The SQLite file of one shelf."""

    name = "dbm.sqlite3"
    #: `smt` reads the whole value and writes it back in two steps, without a transaction.
    exclusive_writes = False

    def __init__(self, base: Path) -> None:
        self._path = base
        self.paths = (base, Path(f"{base}-wal"))

    def read(self) -> dict[bytes, bytes]:
        """Return every value by key. Raises NotSettled while another process locks the file."""
        if not self._path.exists():
            return {}
        with self._open() as db:
            return {bytes(key): bytes(value) for key, value in db.execute("SELECT key, value FROM Dict")}

    def replace(self, key: bytes, old: bytes | None, new: bytes) -> bool:
        """Store *new* under *key* if the value still is *old*; say whether it was stored."""
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            row = db.execute("SELECT value FROM Dict WHERE key = CAST(? AS BLOB)", (key,)).fetchone()
            if (None if row is None else bytes(row[0])) != old:
                db.execute("ROLLBACK")
                return False
            db.execute("REPLACE INTO Dict (key, value) VALUES (CAST(? AS BLOB), CAST(? AS BLOB))", (key, new))
            db.execute("COMMIT")
            return True

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        uri = f"{self._path.absolute().as_uri()}?mode=rw"
        try:
            with closing(sqlite3.connect(uri, uri=True, timeout=TIMEOUT, isolation_level=None)) as db:
                db.execute("PRAGMA synchronous = FULL")
                yield db
        except sqlite3.OperationalError as exc:
            raise NotSettled(str(exc)) from exc
