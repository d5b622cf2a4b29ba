"""The list of all drivers, and functions to open, create and watch the store at a location."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from anyio import to_thread

from smtd.stores.base import Store
from smtd.stores.django import driver as django
from smtd.stores.driver import Announcements, Driver, Subscribe
from smtd.stores.http import driver as http
from smtd.stores.legacy import driver as legacy
from smtd.stores.limited import LimitedStore, limits_of
from smtd.stores.location import Location
from smtd.stores.renamed import RenamedStore
from smtd.stores.retrying import RetryingStore
from smtd.stores.shelf import driver as shelf

#: In the order in which messages list them; no two recognize the same file or address.
DRIVERS: tuple[Driver, ...] = (
    shelf.GNU,
    shelf.NDBM,
    shelf.SQLITE3,
    django.SQLITE,
    shelf.DUMB,
    legacy.OLD_SQLITE,
    legacy.EXPORT,
    http.HTTP,
    django.POSTGRESQL,
    django.MYSQL,
)

#: The most concurrent calls to one server, from all pairs of this process.
_CALLS = 4


@asynccontextmanager
async def open_store(location: Location) -> AsyncIterator[Store]:
    """Open the store at *location* for the length of a `with` block.

    Its first write creates files that are missing.
    """
    place = location
    if location.driver.files is not None:
        # Without symbolic links: if one was changed since, it would lead to another store.
        place = await to_thread.run_sync(partial(replace, location, path=Path(location.name)))
    async with location.driver.open(place) as opened:
        store = opened
        if location.driver.server is not None:
            store = RetryingStore(LimitedStore(store, limits_of(location.url, _CALLS)))
        yield RenamedStore(store, dict(location.renames)) if location.renames else store


async def make(location: Location, store: Store) -> None:
    """Create the missing store at *location*, open as *store*, without a record. Raises StoreUnreachable."""
    create = location.driver.files.create if location.driver.files else None
    if create is None:
        await store.write([])
    else:
        await create(location)


@asynccontextmanager
async def subscribe(
    locations: Iterable[Location], changed: Callable[[], None]
) -> AsyncIterator[Announcements]:
    """Call *changed* when a client writes to one of *locations* that notifies smtd.

    smtd's own server does that, and a database with notifications (`notify = true`). Yields what holds of all
    subscriptions. Raises StoreError.
    """
    async with AsyncExitStack() as stack:
        found = []
        for location in locations:
            if (subscriber := _subscriber(location)) is not None:
                found.append(await stack.enter_async_context(subscriber(location, changed)))
        yield Announcements(
            lambda: all(each.is_alive() for each in found), lambda: all(each.is_current() for each in found)
        )


def _subscriber(location: Location) -> Subscribe | None:
    """Return the function that subscribes to changes of the store at *location*; None: there is none."""
    server = location.driver.server
    if server is None:
        return None
    if location.access.notify and server.notifications is not None:
        return server.notifications.subscribe
    return server.subscribe
