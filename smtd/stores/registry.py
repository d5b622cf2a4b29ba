"""Open the store at a location; the only place that knows all kinds of stores."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

from anyio import to_thread

from smtd.errors import StoreUnreachable, UsageError
from smtd.stores.base import Store
from smtd.stores.django.database import translating
from smtd.stores.django.server import Address, ServerDatabase
from smtd.stores.django.server_store import ServerStore
from smtd.stores.django.sqlite import SqliteFile
from smtd.stores.django.store import DjangoStore
from smtd.stores.legacy import databases, export
from smtd.stores.legacy.snapshot import SnapshotStore
from smtd.stores.limited import LimitedStore, room
from smtd.stores.location import SERVERS, Location, StoreKind
from smtd.stores.renamed import RenamedStore
from smtd.stores.retrying import RetryingStore
from smtd.stores.shelf.contents import DbmFile
from smtd.stores.shelf.dbm_sqlite3 import Sqlite3File
from smtd.stores.shelf.dumb import DumbFile
from smtd.stores.shelf.gnu import GnuFile
from smtd.stores.shelf.ndbm import NdbmFile
from smtd.stores.shelf.store import ShelfStore

#: Calls at once to one server from all pairs of this process.
_CALLS = 4
#: How to get the driver for a database: smtd is on no package index.
_ADVICE = "run pip install '.[{}]' in the checkout of smtd, in the environment that smtd runs in"
_SOURCES = {StoreKind.OLD_DJANGO: databases.SOURCE, StoreKind.EXPORT: export.SOURCE}


@asynccontextmanager
async def open_store(location: Location) -> AsyncIterator[Store]:
    """Give the store at *location* and close it afterwards.

    A store that is not there yet is made by its first write.
    """
    async with _opened(location) as store:
        yield RenamedStore(store, dict(location.renames)) if location.renames else store


@asynccontextmanager
async def _opened(location: Location) -> AsyncIterator[Store]:
    name, timezone = str(location), location.access.timezone
    if location.kind is StoreKind.HTTP:
        async with _open_server(location) as store:
            yield store
    elif location.kind in SERVERS:
        async with open_database(location) as database:
            store = ServerStore(database, name)
            yield RetryingStore(LimitedStore(store, room(location.url, _CALLS)))
    elif location.kind is StoreKind.DJANGO:
        async with SqliteFile(location.path, name) as database:
            yield DjangoStore(database, name)
    elif location.kind in _SOURCES:
        yield SnapshotStore(_SOURCES[location.kind], location.path, name, timezone)
    else:
        yield ShelfStore(_dbm_file(location), name, timezone)


async def make(location: Location, store: Store) -> None:
    """Make the new store at *location*, which *store* is, without a record. Raises StoreUnreachable."""
    if location.kind is not StoreKind.DUMB:
        await store.write([])
        return
    try:
        await to_thread.run_sync(DumbFile(location.path).create)
    except OSError as exc:
        raise StoreUnreachable(f"the shelf {location} cannot be created: {exc.strerror}") from exc


def _dbm_file(location: Location) -> DbmFile:
    path, python = location.path, location.access.python
    if location.kind is StoreKind.GNU:
        return GnuFile(path, python)
    if location.kind is StoreKind.NDBM:
        return NdbmFile(path, python)
    return DumbFile(path) if location.kind is StoreKind.DUMB else Sqlite3File(path)


@asynccontextmanager
async def open_database(location: Location) -> AsyncIterator[ServerDatabase]:
    """Give the database on a server at *location*. Raises UsageError without the driver for it."""
    address = _address(location)
    try:
        # Here, since few people have these drivers.
        if location.kind is StoreKind.POSTGRESQL:
            from smtd.stores.django import postgresql

            opened = postgresql.database(address)
        else:
            from smtd.stores.django import mysql

            opened = mysql.database(address)
    except ModuleNotFoundError as exc:
        extra = "postgres" if location.kind is StoreKind.POSTGRESQL else "mysql"
        raise UsageError(f"{location} needs {exc.name}: {_ADVICE.format(extra)}") from exc
    async with opened as database:
        yield database


def _address(location: Location) -> Address:
    access = location.access
    return Address.parse(
        location.url,
        user=access.username,
        password=access.password,
        tls=access.tls,
        ca_file=access.ca_file,
        verify=access.verify_tls,
    )


@asynccontextmanager
async def listening(
    locations: Iterable[Location], changed: Callable[[], None]
) -> AsyncIterator[Callable[[], bool]]:
    """Call *changed* when somebody writes to one of *locations* that is to tell of it (`notify = true`).

    Gives a function that says whether all of them still are heard. Raises StoreError.
    """
    asked = [each for each in locations if each.access.notify and each.kind is StoreKind.POSTGRESQL]
    async with AsyncExitStack() as stack:
        ears = []
        for location in asked:
            from smtd.stores.django import notify

            database = await stack.enter_async_context(open_database(location))
            with translating(database):
                ears.append(await stack.enter_async_context(notify.listening(_address(location), changed)))
        yield lambda: all(ear.alive for ear in ears)


@asynccontextmanager
async def _open_server(location: Location) -> AsyncIterator[Store]:
    # Imported here: a sync of two files has no use for aiohttp.
    from smtd.stores.http.session import Bearer, Login, Trust, connect
    from smtd.stores.http.store import HttpStore

    access = location.access
    login: Login | Bearer | None = None
    if access.token is not None:
        login = Bearer(access.token)
    elif access.username is not None:
        login = Login(access.username, access.password or "")
    trust = Trust(access.ca_file, access.verify_tls)
    async with connect(location.url, login, trust, access.proxy) as session:
        store = HttpStore(session, str(location))
        yield RetryingStore(LimitedStore(store, room(location.url, _CALLS)))
