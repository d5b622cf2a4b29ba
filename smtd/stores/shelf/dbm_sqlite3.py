"""dbm.sqlite3, the default of Python 3.13: one table `Dict` in an SQLite file.

The format is that of CPython's dbm/sqlite3.py; any Python reads it with its own sqlite3.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from smtd import readonly
from smtd.errors import StoreRefused, StoreUnreachable
from smtd.sqlite import ERRORS, opened
from smtd.sqlite_files import flush
from smtd.stores import file_trial
from smtd.stores.base import Token
from smtd.stores.shelf.contents import Swap, unchanged
from smtd.untrusted import SchemaCodeBlocked

#: Seconds to wait for another process's lock.
TIMEOUT = 10.0


class Sqlite3File:
    """The SQLite file of one shelf."""

    name = "dbm.sqlite3"
    #: `smt` reads a whole value and later writes it back, without a transaction around both.
    exclusive_writes = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._was_there = False

    def read_only_reason(self) -> str:
        """Return an empty text: every Python can write the file."""
        return ""

    def token(self) -> Token:
        """Return a digest of the content of the file.

        The file status would not do: in WAL mode even a reader changes the files.
        """
        return self.read()[1]

    def read(self) -> tuple[dict[bytes, bytes], Token]:
        if not self._was_there and not self._path.exists():
            return {}, b"absent"
        with self._open() as db:
            rows = db.execute("SELECT key, value FROM Dict ORDER BY key").fetchall()
        self._was_there = True
        values = {_bytes(key): _bytes(value) for key, value in rows}
        token = hashlib.blake2b(digest_size=16)
        for part in (part for item in values.items() for part in item):
            token.update(b"%d:%b" % (len(part), part))
        return values, token.digest()

    def flush(self) -> None:
        if self._path.exists():
            with self._open():
                flush(self._path)

    def try_write(self) -> str:
        """Roll a change back."""
        file_trial.in_database(self._path, f"the shelf {self._path}")
        return ""

    def replace(self, swaps: Mapping[bytes, Swap]) -> set[bytes]:
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            values = {}
            for key in swaps:
                for (value,) in db.execute("SELECT value FROM Dict WHERE key = CAST(? AS BLOB)", (key,)):
                    values[key] = _bytes(value)
            done = unchanged(swaps, values)
            db.executemany(
                "REPLACE INTO Dict (key, value) VALUES (CAST(? AS BLOB), CAST(? AS BLOB))",
                [(key, swap.new) for key, swap in done.items()],
            )
            db.execute("COMMIT")
        return set(done)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Connect to the file, which must exist; what is not committed in the block is rolled back."""
        try:
            with opened(self._path, patience=TIMEOUT) as db:
                db.execute("PRAGMA synchronous = EXTRA")
                yield db
        except SchemaCodeBlocked as exc:
            raise StoreRefused(f"the shelf {self._path} {exc}") from exc
        except sqlite3.OperationalError as exc:
            reason = str(exc) if isinstance(exc, readonly.Obstructed) else f"{exc}; try again later"
            raise StoreUnreachable(f"the shelf {self._path} cannot be used: {reason}") from exc
        except ERRORS as exc:
            raise StoreRefused(
                f"the shelf {self._path} is damaged ({exc}); restore it from a backup"
            ) from exc


def _bytes(value: bytes | str) -> bytes:
    """Return *value* as bytes: dbm writes only bytes, but another program may have written text."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")
