"""Open the database that the server serves; create it if it is missing."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from enum import Enum
from pathlib import Path

import anyio
from anyio import to_thread

from smtd.errors import StoreRefused, StoreUnreachable, UsageError
from smtd.filestat import identity
from smtd.server import new_file, remote, store_lock, tables
from smtd.server.database import ServedDatabase
from smtd.server.remote import RemoteBackend, ServedDialect
from smtd.server.sqlite_backend import SqliteBackend
from smtd.sqlite import Connection
from smtd.stores.django import schema
from smtd.stores.django.connection import Row, ServerLink
from smtd.stores.django.database import translating_errors
from smtd.stores.django.server import ServerDatabase
from smtd.stores.django.sqlite import SqliteFile
from smtd.stores.location import Location

log = logging.getLogger("smtd")

#: Statements that the connection keeps prepared: a save needs some forty.
_STATEMENTS = 256
#: Seconds for which tables must stay the same before the server starts again after they were replaced.
_STABLE_FOR = 2.0
_CREATED = (
    "SELECT table_name, create_time FROM information_schema.tables WHERE table_schema = database()"
    " AND (table_name LIKE 'django\\_%' OR table_name LIKE 'smtd\\_%') ORDER BY table_name"
)


def open_database(
    store: Path | Location, name: str, *, may_create: bool = True
) -> AbstractAsyncContextManager[ServedDatabase]:
    """Open *store*, which messages call *name*, for the length of a `with` block; a path is an SQLite file.

    With *may_create*, a missing file is created, and so are Sumatra's tables in an empty database on a
    server. Raises StoreRefused for a store that is not one of Sumatra 0.8.1, StoreUnreachable, and UsageError
    if it cannot be served, or another process serves it alone.
    """
    if isinstance(store, Path):
        return _open_file(store, name, may_create=may_create)
    return _open_remote(store, name, may_create=may_create)


@asynccontextmanager
async def _open_file(path: Path, name: str, *, may_create: bool) -> AsyncIterator[ServedDatabase]:
    lock = await to_thread.run_sync(store_lock.lock, path, name)
    try:
        if (renamed := await to_thread.run_sync(store_lock.set_aside_log, lock, path)) is not None:
            log.warning(
                "%s was replaced; the old file's write-ahead log was renamed to %s", name, renamed.name
            )
        async with SqliteFile(path, name, statements=_STATEMENTS) as file:
            with translating_errors(file):
                if may_create:
                    await to_thread.run_sync(_create_missing, path)
                elif not await to_thread.run_sync(path.exists):
                    raise StoreUnreachable(f"{name} is missing; the server waits until it is there again")
                db = await file.connection()
                if db is None:
                    raise StoreRefused(
                        f"{name} is empty; remove the file, and smtd serve creates a store there"
                    )
                if file.obstacle:
                    raise StoreRefused(f"{name} cannot be served: {file.obstacle}")
                is_own = await _add_tables(db)
            await to_thread.run_sync(store_lock.note_file, lock, path)
            backend = SqliteBackend(file, db, await to_thread.run_sync(identity, path), is_own=is_own)
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
        await db.run(tables.CREATE_SEEN)  # earlier versions did not make it
        return bool(await db.value("SELECT made FROM smtd_head"))


@asynccontextmanager
async def _open_remote(store: Location, name: str, *, may_create: bool) -> AsyncIterator[ServedDatabase]:
    if not may_create:
        try:
            await _wait_for_restore(store, name)
        except StoreRefused as exc:  # probably half restored
            raise StoreUnreachable(f"{exc}; the server waits") from exc
    async with open_backend(store, name, create=True) as backend:
        if backend is not None:
            async with backend.claimed():
                yield ServedDatabase(backend)


async def _wait_for_restore(store: Location, name: str) -> None:
    """Return if the tables at *store* seem to be complete. Raises StoreUnreachable, and StoreError."""
    if await served_state(store) is ServedState.EMPTY:
        raise StoreUnreachable(f"{name} has no tables; the server waits until they are there again")
    async with _connected(store) as database:
        if _dialect(database, name, store).has_transactional_ddl:
            return
        # A restore creates and fills one table after the other, and all can see that.
        with translating_errors(database):
            before = await _tables(database)
            await anyio.sleep(_STABLE_FOR)
            if await _tables(database) != before:
                raise StoreUnreachable(f"the tables of {name} are being restored; the server waits")


async def _tables(database: ServerDatabase) -> list[Row]:
    """Return the tables, and when they were made; wait while one of them is being filled."""
    async with database.link() as link:
        found = await link.fetch(_CREATED)
        for table, _ in found:
            await link.fetch(f'SELECT 1 FROM "{table}" LIMIT 1')
        return found


@asynccontextmanager
async def open_backend(store: Location, name: str, *, create: bool) -> AsyncIterator[RemoteBackend | None]:
    """Open a database on a server as `open_database` does.

    Without *create*, create no tables, and yield None if some of smtd's own are missing.
    """
    async with _connected(store) as database:
        serving = _dialect(database, name, store)
        with translating_errors(database):
            is_own = await (_prepare(database, serving) if create else _made(database, serving))
        yield None if is_own is None else RemoteBackend(database, serving, name, is_own=is_own)


async def _prepare(database: ServerDatabase, serving: ServedDialect) -> bool:
    """Create the tables that are missing; say whether smtd serve made those of Sumatra.

    Raises StoreRefused, and what the driver raises.
    """

    async def is_new(link: ServerLink) -> bool:
        return await database.is_empty(link) or await serving.is_unfinished(link)

    statements = await to_thread.run_sync(schema.creation, database.kind)
    async with database.link() as link:
        await serving.check(link)
        if await is_new(link):
            async with link.creating_tables():
                if await is_new(link):
                    await serving.create(link, statements)
    if (is_own := await _made(database, serving)) is None:
        async with database.link() as link, link.creating_tables():
            if not await serving.has_tables(link):
                await serving.create(link, None)
        is_own = await _made(database, serving)
    return bool(is_own)


def _dialect(database: ServerDatabase, name: str, store: Location) -> ServedDialect:
    """Return what serving *database*, which messages call *name*, needs of its own."""
    # The modules of the drivers may be missing for other stores.
    if database.kind == "mysql":
        from smtd.server.mysql import ServedMysql

        return ServedMysql(remote.names(name))
    from smtd.server.postgresql import ServedPostgresql

    return ServedPostgresql(remote.names(name), is_notified=store.access.notify)


def _connected(store: Location) -> AbstractAsyncContextManager[ServerDatabase]:
    kind = store.driver.server
    if kind is None or kind.served is None:
        raise UsageError(
            f"{store} cannot be served; serve an SQLite file, or a PostgreSQL, MySQL or MariaDB database"
        )
    return kind.served(store)


class ServedState(Enum):
    """What a database on a server is to smtd's server."""

    #: It has no tables.
    EMPTY = "empty"
    #: smtd serve made its tables.
    OWN = "own"
    #: Others made Sumatra's tables.
    FOUND = "found"


async def served_state(store: Location) -> ServedState:
    """Say what the database at *store* is; change nothing. Raises StoreError, UsageError."""
    async with _connected(store) as database:
        with translating_errors(database):
            async with database.link() as link:
                if await database.is_empty(link):
                    return ServedState.EMPTY
    async with open_backend(store, str(store), create=False) as backend:
        return ServedState.OWN if backend is not None and backend.is_own else ServedState.FOUND


async def users_in_use(store: Location) -> str:
    """Return the fingerprint of the users file of a running server of *store*; empty: it is unknown.

    Raises StoreError, UsageError.
    """
    async with open_backend(store, str(store), create=False) as backend:
        return "" if backend is None else await backend.users_in_use()


async def _made(database: ServerDatabase, serving: ServedDialect) -> bool | None:
    """Say whether smtd serve made Sumatra's tables; None if smtd's own are missing. Raises StoreRefused."""
    async with database.session() as db:  # checks the schema
        if not await serving.has_tables(db):
            return None
        return bool(await db.value("SELECT made FROM smtd_head"))
