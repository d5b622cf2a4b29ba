"""The SQLite dialect: one file, found, made, watched and connected to."""

from __future__ import annotations

import sqlite3
from contextlib import AsyncExitStack
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType

import anyio
from anyio import to_thread

from smtd.errors import StoreRefused
from smtd.signature import CLOCK_TICK, SETTLE, Signature, age, signature
from smtd.sqlite import Connection, connect
from smtd.stores.base import Token
from smtd.stores.django import rows, schema

#: A save of Sumatra is several commits (measured: up to 55 ms apart). Seconds to wait for a
#: quiet moment before a scan, and to keep waiting at the most.
QUIET, PATIENCE = 2 * SETTLE, 2.0


class SqliteFile:
    """An SQLite file that may not be there yet; an async context manager.

    The journal mode of the file is left as it is found.
    """

    dialect = "sqlite"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_new = not _has_content(path)
        self._files = (path, Path(f"{path}-wal"))
        self._open = AsyncExitStack()
        self._db: Connection | None = None
        self._version: int | None = None

    async def __aenter__(self) -> SqliteFile:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.__aexit__(kind, exc, trace)

    async def connection(self) -> Connection | None:
        """Return the connection, or None while the file has no tables.

        Raises StoreRefused for a schema that is not that of Sumatra 0.8.1.
        """
        if self._db is None and await to_thread.run_sync(_has_content, self.path):
            db = await self._connect()
            if not await db.value("SELECT count(*) FROM sqlite_master"):
                return None
            await _check(db, self.path)
            self._db, self.is_new = db, False
        return self._db

    async def _connect(self) -> Connection:
        return await self._open.enter_async_context(connect(str(self.path)))

    async def create(self) -> None:
        """Make the file and its tables, as Sumatra's first command would, if there are none."""
        if await self.connection() is not None:
            return
        db = await self._connect()
        now = rows.moment(datetime.now(timezone.utc))
        async with db.transaction():
            if await db.value("SELECT count(*) FROM sqlite_master"):
                raise StoreRefused(f"{self.path} was made by another program just now; try again")
            await db.run_script(schema.statements(self.dialect))
            await db.run_many(
                "INSERT INTO django_migrations (app, name, applied) VALUES (?, ?, ?)",
                [(app, name, now) for app, name in schema.MIGRATIONS],
            )
            await db.run_many(
                "INSERT INTO django_content_type (app_label, model) VALUES ('django_store', ?)",
                [(model,) for model in schema.MODELS],
            )
        self._db, self.is_new = db, True
        self._version = await self._data_version()

    async def settle(self) -> None:
        """Wait until nobody has written for a moment, but not for long; start a new token."""
        for _ in range(int(PATIENCE / QUIET)):
            since = age(await to_thread.run_sync(signature, self._files))
            if not 0 <= since < QUIET:
                break
            await anyio.sleep(QUIET - since)
        self._version = await self._data_version()

    async def _data_version(self) -> int | None:
        """Return SQLite's count of commits by other connections."""
        db = await self.connection()
        version = await db.value("PRAGMA data_version") if db else None
        return None if version is None else int(version)

    async def token(self) -> Token | None:
        """Return what the file looks like if only this connection wrote since `settle`."""
        seen = await to_thread.run_sync(signature, self._files)
        await anyio.sleep(max(0.0, CLOCK_TICK - max(0.0, age(seen))))
        again = await to_thread.run_sync(signature, self._files)
        # Asked after the look: no commit of others up to the look has gone unnoticed.
        version = await self._data_version()
        if seen != again or version is None or version != self._version:
            return None
        return _token(seen)

    async def unchanged_since(self, token: Token) -> bool:
        """Say whether the files are those that *token* was given for."""
        return token == _token(await to_thread.run_sync(signature, self._files))


def _token(seen: Signature) -> Token:
    return repr(seen).encode()


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


async def _check(db: Connection, path: Path) -> None:
    """Refuse a schema that smtd would misread."""
    try:
        done = set(await db.fetch("SELECT app, name FROM django_migrations"))
    except sqlite3.OperationalError:
        done = set()
    if ("django_store", "0002_tag_taggeditem") not in done:
        raise StoreRefused(
            f"{path} is not a record store of Sumatra 0.8.1: its schema is older or another one;"
            " smtd reads schema 0.8.1 only so far"
        )
