"""The drivers for databases with the schema of Sumatra 0.8.1: SQLite file, PostgreSQL, MySQL (or MariaDB)."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from anyio import to_thread

from smtd.errors import UsageError
from smtd.sqlite import opened
from smtd.stores import file_trial
from smtd.stores.base import Store
from smtd.stores.django import address, schema, write_trial
from smtd.stores.django.address import LONGEST_IDLE, Address
from smtd.stores.django.database import translating_errors
from smtd.stores.django.server import ServerDatabase
from smtd.stores.django.server_store import ServerStore
from smtd.stores.django.sqlite import SqliteFile
from smtd.stores.django.sqlite_store import SqliteStore
from smtd.stores.django.write_trial import Connect
from smtd.stores.driver import (
    Announcements,
    Driver,
    Files,
    Notifications,
    Place,
    ProjectEntry,
    Server,
    Triggers,
    TryWrite,
)
from smtd.stores.incarnation import DatabaseMarks, number

_PROJECT = ProjectEntry("DjangoRecordStore", "db_file")
#: Seconds for which a transaction of smtd's server may be idle: it is short, and keeps others from writing. A
#: process that is stopped while asyncpg prepares a new statement does not count as idle.
_IDLE_SERVED = 8
#: How to install the module for a database: smtd is not on a package index.
_ADVICE = "run pip install '.[{}]' in the checkout of smtd, in the environment that smtd runs in"


# SQLite


def highest(db: sqlite3.Connection) -> int | None:
    """Return the highest id that a record ever had, which is never reused; None if there was none."""
    return number(db, "SELECT seq FROM sqlite_sequence WHERE name = 'django_store_record'")


MARKS = DatabaseMarks(
    highest=highest,
    newest="SELECT max(db_id) FROM django_store_record",
    name="SELECT project_id, label FROM django_store_record WHERE db_id = ?",
)


@asynccontextmanager
async def _open_file(place: Place) -> AsyncIterator[Store]:
    async with SqliteFile(place.path, str(place)) as database:
        yield SqliteStore(database, str(place))


def _is_store(db: sqlite3.Connection, tables: Collection[str]) -> bool:
    # An empty file is an empty database.
    return not tables or ("django_store_record" in tables and schema.is_migrated(db, tables))


def _is_leftover(path: Path, beside: Sequence[str]) -> bool:
    """Say whether the database at *path* is only a leftover of `smt sync` beside the files *beside*.

    `smt sync` takes a dumb shelf for a database that does not exist yet, and creates an empty one. Raises
    UsageError if the database has records.
    """
    try:
        with opened(path) as db:
            is_empty = db.execute("SELECT 1 FROM django_store_record LIMIT 1").fetchone() is None
    except sqlite3.OperationalError:
        return True  # it has no tables yet
    if not is_empty:
        raise UsageError(
            f"{path} is both an SQLite store and a shelf ({', '.join(beside)}), both with records; name the"
            f" shelf {beside[0]}, or move the files of one of them"
        )
    return True


async def _try_file(place: Place, projects: Collection[str]) -> str:
    await to_thread.run_sync(file_trial.in_database, place.path, str(place))
    return ""


SQLITE = Driver(
    name="django",
    open=_open_file,
    try_write=_try_file,
    files=Files(
        what="an SQLite file",
        watched=("", "-wal"),
        holds=_is_store,
        new=(".sqlite", ".sqlite3", ".db"),
        is_leftover=_is_leftover,
        is_served=True,
        marks=MARKS,
    ),
    project=_PROJECT,
)


# Databases on servers: few users have the modules for them, so these are imported where they are needed.


def _postgresql(place: Place, *, is_served: bool = False) -> AbstractAsyncContextManager[ServerDatabase]:
    from smtd.stores.django import postgresql

    return postgresql.database(_address(place, is_served=is_served), is_served=is_served)


def _mysql(place: Place, *, is_served: bool = False) -> AbstractAsyncContextManager[ServerDatabase]:
    from smtd.stores.django import mysql

    return mysql.database(_address(place, is_served=is_served), is_served=is_served)


def _address(place: Place, *, is_served: bool = False) -> Address:
    access = place.access
    return Address.parse(
        place.url,
        user=access.username,
        password=access.password,
        tls=access.tls,
        ca_file=access.ca_file,
        verify=access.verify_tls,
        idle=_IDLE_SERVED if is_served else LONGEST_IDLE,
    )


@asynccontextmanager
async def _database(connect: Connect, extra: str, place: Place) -> AsyncIterator[ServerDatabase]:
    try:
        opening = connect(place)
    except ModuleNotFoundError as exc:
        raise UsageError(f"{place} needs {exc.name}: {_ADVICE.format(extra)}") from exc
    async with opening as database:
        yield database


@asynccontextmanager
async def _open_database(connect: Connect, place: Place) -> AsyncIterator[Store]:
    async with connect(place) as database:
        yield ServerStore(database, str(place))


def _try_server(connect: Connect, denials: Sequence[write_trial.Denial] = ()) -> TryWrite:
    async def try_write(place: Place, projects: Collection[str]) -> str:
        await write_trial.on_server(connect, place, denials)
        return ""

    return try_write


open_postgresql = partial(_database, _postgresql, "postgres")
#: With connections of its own: its writer may wait for locks of pairs, while these wait for connections.
open_served = partial(_database, partial(_postgresql, is_served=True), "postgres")
open_mysql = partial(_database, _mysql, "mysql")
open_served_mysql = partial(_database, partial(_mysql, is_served=True), "mysql")


def _triggers() -> Triggers:
    from smtd.stores.django import notify

    return Triggers(notify.INSTALL, notify.REMOVE)


@asynccontextmanager
async def _subscribe(place: Place, changed: Callable[[], None]) -> AsyncIterator[Announcements]:
    async with open_postgresql(place) as database, AsyncExitStack() as stack:
        from smtd.stores.django import notify

        with translating_errors(database):
            found = await stack.enter_async_context(notify.subscribe(_address(place), changed))
        yield found


POSTGRESQL = Driver(
    name="postgresql",
    open=partial(_open_database, open_postgresql),
    try_write=_try_server(open_postgresql, write_trial.OF_POSTGRESQL),
    server=Server(
        schemes=("postgres", "postgresql"),
        parse=partial(address.parsed, "postgresql", 5432),
        served=open_served,
        administer=open_postgresql,
        notifications=Notifications(_triggers, _subscribe),
    ),
    project=_PROJECT,
)
MYSQL = Driver(
    name="mysql",
    open=partial(_open_database, open_mysql),
    try_write=_try_server(open_mysql),
    server=Server(
        schemes=("mysql", "mariadb"),
        parse=partial(address.parsed, "mysql", 3306),
        served=open_served_mysql,
        administer=open_mysql,
    ),
    project=_PROJECT,
)
