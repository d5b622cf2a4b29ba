"""The server as a whole: its database, its tasks and its door."""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
from aiohttp import web
from anyio.abc import TaskStatus

from smtd.errors import StoreUnreachable, UsageError
from smtd.server.access import Authenticating
from smtd.server.accounts.rights import Right
from smtd.server.application import Application, application
from smtd.server.body import Bodies
from smtd.server.changes_api import ChangesApi
from smtd.server.database import Committed, Replaced, ServedDatabase, open_database
from smtd.server.feed import Feed
from smtd.server.listings import Listings
from smtd.server.metrics import Metrics
from smtd.server.origins import Origins, is_loopback
from smtd.server.others import OtherWriters
from smtd.server.records_api import RecordsApi
from smtd.server.writer import Writer

log = logging.getLogger("smtd")

#: Seconds for which a connection is kept that says nothing, and for which requests may go on at the end.
KEEPALIVE, PARTING = 75.0, 1.0
#: Seconds after which the server begins anew when its file was replaced.
AGAIN = 1.0


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What is served, and to whom.

    *store*: the file; *host* and *port*: where to listen (port 0: any). *url*: what people call the server
    (empty: whatever they say), with a slash at its end. *proxies*: addresses whose forwarding counts.
    """

    store: Path
    host: str = "127.0.0.1"
    port: int = 8471
    url: str = ""
    proxies: tuple[str, ...] = ()
    cert_file: Path | None = None
    key_file: Path | None = None
    anonymous: Right = Right.NONE

    def check(self) -> None:
        """Raise UsageError if passwords would go over a network in the clear."""
        if not (self.cert_file or self.proxies or is_loopback(self.host)):
            raise UsageError(
                f"{self.host} is reached from other machines, so passwords would be sent in the clear: set"
                " cert_file and key_file in [server], or proxy, or listen on 127.0.0.1"
            )


async def serve(
    settings: ServerSettings,
    authenticator: Authenticating,
    *,
    task_status: TaskStatus[str] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; tell the address of the server when it answers.

    It begins anew if another file was put in the place of the store. Raises StoreError, UsageError at the
    start.
    """
    settings.check()
    started = False
    while True:
        try:
            async with _served(settings, authenticator) as (address, database):
                if not started:
                    task_status.started(address)
                started = True
                await database.replaced.wait()
                log.warning("%s was replaced by another file; the server begins anew", settings.store)
        except StoreUnreachable as exc:
            if not started:
                raise
            log.warning("the server cannot begin anew: %s", exc)
            await anyio.sleep(AGAIN)


@asynccontextmanager
async def _served(
    settings: ServerSettings, authenticator: Authenticating
) -> AsyncIterator[tuple[str, ServedDatabase]]:
    """Serve for the length of a `with` block; give the address, and the database."""
    async with open_database(settings.store, str(settings.store)) as database:
        complete = await database.begin()
        feed, listings, metrics = Feed(), Listings(database), Metrics()

        def committed(what: Committed) -> None:
            listings.changed(what.changes)
            feed.publish(what.changes, what.records)
            metrics.committed(len(what.changes))
            if not what.changes:
                feed.wake()

        writer = Writer(database, committed)
        others = OtherWriters(database, writer, complete=complete)
        records = RecordsApi(database, writer, listings, Bodies())
        changes = ChangesApi(database, feed, lambda: others.is_complete)
        origins = Origins(
            settings.url, settings.proxies, is_loopback(settings.host), settings.cert_file is not None
        )
        made = Application(database, records, changes, authenticator, origins, settings.anonymous, metrics)
        async with anyio.create_task_group() as group:
            group.start_soon(writer.run)
            group.start_soon(_watch, others, database)
            async with _listening(settings, made) as address:
                try:
                    yield address, database
                finally:
                    feed.end()  # streams first: they would go on for ever
            group.cancel_scope.cancel()


async def _watch(others: OtherWriters, database: ServedDatabase) -> None:
    try:
        await others.run()
    except Replaced:
        database.replaced.set()


@asynccontextmanager
async def _listening(settings: ServerSettings, made: Application) -> AsyncIterator[str]:
    """Let clients in for the length of a `with` block; give the address."""
    quiet = logging.getLogger("smtd.server.http")
    quiet.setLevel(logging.CRITICAL)  # what a client sends that is no HTTP is answered, and no event
    runner = web.AppRunner(
        application(made.handle),
        access_log=None,
        logger=quiet,
        auto_decompress=False,
        keepalive_timeout=KEEPALIVE,
        shutdown_timeout=PARTING,
        handler_cancellation=True,
    )
    await runner.setup()
    try:
        tls = None if settings.cert_file is None else _tls(settings)
        site = web.TCPSite(runner, settings.host, settings.port, ssl_context=tls)
        try:
            await site.start()
        except OSError as exc:
            why = exc.strerror or exc
            raise UsageError(
                f"cannot listen on {settings.host}:{settings.port} ({why}); choose another address"
            ) from exc
        host, port = runner.addresses[0][:2]
        name = f"[{host}]" if ":" in host else host
        yield settings.url or f"{'http' if tls is None else 'https'}://{name}:{port}/"
    finally:
        with anyio.CancelScope(shield=True):
            await runner.cleanup()


def _tls(settings: ServerSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    assert settings.cert_file is not None
    try:
        context.load_cert_chain(settings.cert_file, settings.key_file)
    except (OSError, ssl.SSLError) as exc:
        raise UsageError(f"the certificate {settings.cert_file} cannot be used: {exc}") from exc
    return context
