"""Open the database that the server serves; create it if it is missing."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from anyio import to_thread

from smtd.errors import StoreRefused
from smtd.filestat import identity
from smtd.server import new_file, store_lock
from smtd.server.database import ServedDatabase
from smtd.server.sqlite_backend import SqliteBackend
from smtd.sqlite import Connection
from smtd.stores.django.database import translating
from smtd.stores.django.sqlite import SqliteFile

log = logging.getLogger("smtd")

#: Statements that the connection keeps prepared: a save needs some forty.
_STATEMENTS = 256


@asynccontextmanager
async def open_database(store: Path, name: str) -> AsyncIterator[ServedDatabase]:
    """Open the database at *store*, which messages call *name*, for the length of a `with` block.

    A missing file is created. Raises StoreRefused for a file that is not a store of Sumatra 0.8.1,
    StoreUnreachable, and UsageError if another process serves it.
    """
    lock = await to_thread.run_sync(store_lock.lock, store, name)
    try:
        if (renamed := await to_thread.run_sync(store_lock.set_aside_log, lock, store)) is not None:
            log.warning(
                "%s was replaced; the old file's write-ahead log was renamed to %s", name, renamed.name
            )
        async with SqliteFile(store, name, statements=_STATEMENTS) as file:
            with translating(file):
                await to_thread.run_sync(_create_missing, store)
                db = await file.connection()
                if db is None:
                    raise StoreRefused(
                        f"{name} is empty; remove the file, and smtd serve creates a store there"
                    )
                if file.obstacle:
                    raise StoreRefused(f"{name} cannot be served: {file.obstacle}")
                is_own = await _add_tables(db)
            await to_thread.run_sync(store_lock.note_file, lock, store)
            backend = SqliteBackend(file, db, await to_thread.run_sync(identity, store), is_own=is_own)
            yield ServedDatabase(backend)
            await backend.checkpoint()
    finally:
        os.close(lock)


def _create_missing(path: Path) -> None:
    if not path.exists():
        new_file.create(path)


async def _add_tables(db: Connection) -> bool:
    """Add smtd's tables to a store that lacks them; say whether smtd serve made the file."""
    async with db.writing():
        if not await db.value("SELECT count(*) FROM sqlite_master WHERE name = 'smtd_head'"):
            await db.run_script(new_file.statements(is_own=False))
        return bool(await db.value("SELECT made FROM smtd_head"))
