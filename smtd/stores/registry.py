"""Open the store at a location; the only place that knows all kinds of stores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from smtd.stores.base import Store
from smtd.stores.django.sqlite import SqliteFile
from smtd.stores.django.store import DjangoStore
from smtd.stores.locations import Kind, Location
from smtd.stores.shelf.dumb import DumbFile
from smtd.stores.shelf.sqlite3 import Sqlite3File
from smtd.stores.shelf.store import ShelfStore


@asynccontextmanager
async def open_store(location: Location) -> AsyncIterator[Store]:
    """Give the store at *location* and close it afterwards.

    A store that is not there yet is made by its first write.
    """
    name = str(location)
    if location.kind is Kind.DJANGO:
        async with SqliteFile(location.path) as database:
            yield DjangoStore(database, name)
    else:
        file = DumbFile if location.kind is Kind.DUMB else Sqlite3File
        yield ShelfStore(file(location.path), name)
