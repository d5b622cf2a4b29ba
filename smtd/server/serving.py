"""The server as a whole: its database, its tasks and its connections."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
from anyio import to_thread
from anyio.abc import TaskStatus

from smtd import denied
from smtd.errors import SmtdError, StoreUnreachable, UsageError
from smtd.server.acceptor import accepting, listeners
from smtd.server.accounts.authenticator import Authenticator
from smtd.server.application import Application
from smtd.server.backend import Replaced
from smtd.server.body import Bodies
from smtd.server.bulk_api import BulkApi
from smtd.server.changes_api import ChangesApi
from smtd.server.database import ServedDatabase
from smtd.server.feed import Committed, Feed, Listeners
from smtd.server.foreign_writes import ForeignWrites
from smtd.server.listings import Listings
from smtd.server.metrics import Metrics
from smtd.server.opening import open_database
from smtd.server.pages import site_map
from smtd.server.pages.dispatch import Pages, load_templates
from smtd.server.pages.indexing import Indexing
from smtd.server.projects_api import ProjectsApi
from smtd.server.records_api import RecordsApi
from smtd.server.server_settings import ServerSettings
from smtd.server.writer import Writer
from smtd.web.records.index import opened as open_index

log = logging.getLogger("smtd")

#: Seconds between attempts to restart the server after its store was replaced.
RESTART_PAUSE = 1.0


async def serve(
    settings: ServerSettings,
    authenticator: Authenticator,
    *,
    task_status: TaskStatus[str] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; report the address by *task_status* once the server accepts clients.

    It restarts if another store has taken the place of the served one, and then retries after
    StoreUnreachable.
    Raises StoreError, UsageError.
    """
    settings.check()
    is_started = False

    def started(address: str) -> None:
        nonlocal is_started
        if not is_started:
            task_status.started(address)
        is_started = True

    while True:
        try:
            await _serve_store(settings, authenticator, started, may_create=not is_started)
            log.warning("%s was replaced by another store; restarting the server", settings.store)
        except StoreUnreachable as exc:
            if not is_started:
                raise
            log.warning("the server cannot restart: %s", exc)
            await anyio.sleep(RESTART_PAUSE)


class _Listeners(Listeners):
    """Those who must learn of commits; the metrics count only this process's own."""

    def __init__(self, listings: Listings, feed: Feed, metrics: Metrics, indexing: Indexing) -> None:
        self._listings = listings
        self._feed = feed
        self._metrics = metrics
        self._indexing = indexing

    def committed(self, what: Committed) -> None:
        self._listings.changed(what.changes)
        self._feed.publish(what.changes, what.records)
        self._metrics.committed(len(what.changes))
        self._indexing.wake()

    def fell_behind(self) -> None:
        self._indexing.wake()
        self._listings.forget()
        self._feed.end_present()

    def access_changed(self) -> None:
        self._feed.wake()

    def want_records(self) -> bool:
        return self._feed.wants_records()


async def _serve_store(
    settings: ServerSettings,
    authenticator: Authenticator,
    started: Callable[[str], None],
    *,
    may_create: bool,
) -> None:
    """Serve until another store has taken the place of the served one; pass the address to *started*.

    A store that is missing when the server restarts is not created: probably a backup is being restored.
    """
    async with (
        open_database(settings.store, str(settings.store), may_create=may_create) as database,
        open_index(settings.index) as index,
    ):
        await database.begin()
        feed, listings, bodies, metrics = Feed(), Listings(database), Bodies(), Metrics()
        indexing = Indexing(database, index)
        database.listeners = _Listeners(listings, feed, metrics, indexing)
        writer, ending = Writer(database), anyio.Event()
        foreign_writes = ForeignWrites(database, writer)
        app = Application(
            database,
            ProjectsApi(database, writer, listings, bodies),
            RecordsApi(database, writer, listings, bodies),
            ChangesApi(database, writer, feed),
            BulkApi(database, writer, bodies),
            authenticator,
            settings.origins,
            settings.anonymous,
            metrics,
            await _pages(settings, database, writer, indexing, authenticator, ending),
        )
        follow = partial(database.follow, authenticator.users_fingerprint)
        async with (
            _running(writer.run, [foreign_writes.run, follow, indexing.run], database),
            _listening(settings, app) as address,
        ):
            started(address)
            try:
                await database.replaced.wait()
            finally:
                ending.set()
                feed.end()  # ends the streams first: they would go on for ever


@asynccontextmanager
async def _running(
    write: Callable[[], Coroutine[Any, Any, None]],
    watches: Sequence[Callable[[], Awaitable[None]]],
    database: ServedDatabase,
) -> AsyncIterator[None]:
    """Run the tasks of the server for the length of a `with` block; errors of the block pass as they are."""
    errors: list[SmtdError] = []
    async with anyio.create_task_group() as group:
        group.start_soon(write)
        for watch in watches:
            group.start_soon(_watch, watch, database)
        try:
            yield
        except SmtdError as exc:
            errors.append(exc)  # the task group would wrap it in an exception group
        group.cancel_scope.cancel()
    for error in errors:
        raise error


async def _pages(
    settings: ServerSettings,
    database: ServedDatabase,
    writer: Writer,
    indexing: Indexing,
    authenticator: Authenticator,
    ending: anyio.Event,
) -> Pages:
    """Return the pages of the server; their streams end when *ending* is set."""
    templates = await load_templates(settings.origins.prefix)
    shows = site_map.shows(database, templates, writer, indexing, ending)
    return Pages(database, templates, authenticator, settings.anonymous, shows)


async def _watch(watch: Callable[[], Awaitable[None]], database: ServedDatabase) -> None:
    try:
        await watch()
    except Replaced as exc:
        log.warning("%s", exc)
        database.replaced.set()


@asynccontextmanager
async def _listening(settings: ServerSettings, app: Application) -> AsyncIterator[str]:
    """Accept clients for the length of a `with` block; yield the address of the server."""
    tls = await to_thread.run_sync(settings.tls)
    async with accepting(app.handle, _listeners(settings), tls) as found:
        host, port = found[0].getsockname()[:2]
        name = f"[{host}]" if ":" in host else host
        yield settings.url or f"{'http' if tls is None else 'https'}://{name}:{port}/"


@asynccontextmanager
async def _listeners(settings: ServerSettings) -> AsyncIterator[list[socket.socket]]:
    """Listen for the length of a `with` block; sockets of others go on listening then. Raises UsageError."""
    try:
        found = [each.dup() for each in settings.sockets]
        for each in found:
            each.setblocking(False)
        found = found or await listeners(settings.host, settings.port)
    except OSError as exc:
        place, why = f"{settings.host}:{settings.port}", exc.strerror or exc
        step = "choose another address"
        if denied.is_denial(exc):
            why = "permission denied"
            step = "choose a port above 1023, or let systemd give the right (CAP_NET_BIND_SERVICE)"
        raise UsageError(f"cannot listen on {place} ({why}); {step}") from exc
    try:
        yield found
    finally:
        for listener in found:
            listener.close()
