"""What databases on servers have in common, such as the checks when a store connects."""

from __future__ import annotations

from collections.abc import (
    AsyncIterator,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from anyio import to_thread

from smtd.errors import StoreError, StoreRefused
from smtd.records.record import Key
from smtd.stores.django import limits, schema
from smtd.stores.django.connection import DatabaseConnection, Row, ServerLink
from smtd.stores.django.database import translating_errors
from smtd.stores.django.limits import Limits
from smtd.stores.django.pool import Pool
from smtd.stores.django.rows import Columns
from smtd.stores.django.server_mark import ServerMark
from smtd.stores.tls import certificate_error
from smtd.text import encodable

#: The most records of one transaction: others wait for it in a queue (measured: 0.1 s at most).
BATCH = 500
#: Seconds to wait for a connection, and for the answer to one statement.
CONNECT_TIMEOUT, STATEMENT_TIMEOUT = 10.0, 120.0
#: The highest id of a row, and the key of its record; the dialects select it together with other values.
NEWEST = "SELECT db_id, project_id, label FROM django_store_record ORDER BY db_id DESC LIMIT 1"
_COLUMNS = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = {}"


class Dialect(Protocol):
    """What is particular to one kind of server."""

    @property
    def kind(self) -> str:
        """The kind of server in one word, for messages."""

    @property
    def namespace(self) -> str:
        """The schema of the tables in its `information_schema`, in SQL."""

    @property
    def refusals(self) -> tuple[type[Exception], ...]:
        """The driver's errors for a record that the tables cannot hold."""

    @property
    def limits(self) -> Limits:
        """What its columns can hold, apart from their lengths."""

    async def identity(self, db: DatabaseConnection) -> tuple[object, ...] | None:
        """Return a value that differs if Sumatra's tables were recreated (None: there are no tables)."""

    async def mark(self, db: DatabaseConnection) -> ServerMark:
        """Return the mark of the tables, which shows whether they were recreated or restored."""

    async def keeps_older(self, db: DatabaseConnection, since: int) -> bool:
        """Say whether a row is older than *since* of an earlier mark; True if the server cannot tell."""

    def version(self, alias: str, columns: Sequence[str]) -> str:
        """Return a text in SQL that differs whenever the row *alias* with *columns* was changed."""

    def number(self, parts: Sequence[str]) -> str:
        """Return a hash of the texts *parts*, a number, in SQL."""

    def total(self, number: str) -> str:
        """Return an aggregate in SQL of *number* over all rows, independent of their order."""

    async def moment(self, db: DatabaseConnection) -> str:
        """Return a text that stays the same only until a client commits (empty: this database has none)."""

    async def since(self, db: DatabaseConnection) -> str:
        """Return the point from which `trace` must count to see what others write from now on."""

    async def trace(self, db: DatabaseConnection, since: str) -> list[Row]:
        """Return rows that stay the same only until a client writes to the tables (empty: it has none).

        They cost less than the versions. Only traces with the same *since* can be compared.
        """

    async def collisions(self, db: DatabaseConnection, keys: Collection[Key]) -> Mapping[Key, str]:
        """See `Database.collisions`."""

    async def flush(self, db: DatabaseConnection) -> None:
        """Make durable what others have committed, as far as a connection can."""

    def is_contended(self, exc: Exception) -> bool:
        """Say whether a transaction failed with *exc* because others had a lock; nothing was committed."""

    async def risk(self, db: DatabaseConnection) -> str:
        """Return why a crash of the server can lose commits, with the remedy; empty: it cannot."""

    def store_error(self, exc: Exception, name: str) -> StoreError | None:
        """See `Database.store_error`."""


class ServerDatabase:
    """A database on a server, reached by the connections of *pool*; messages show *name*."""

    batch, has_unfair_lock = BATCH, False

    def __init__(self, dialect: Dialect, pool: Pool, name: str) -> None:
        self.dialect = dialect
        self._pool = pool
        self._name = name
        self._identity: tuple[object, ...] | None = None
        self.kind = dialect.kind
        self.refusals = dialect.refusals
        self.generation = 0

    @asynccontextmanager
    async def session(self) -> AsyncIterator[DatabaseConnection]:
        async with self._pool.link() as link:
            identity = await self.dialect.identity(link)
            if identity != self._identity or identity is None:
                await self._meet(link, identity)
            yield link

    async def _meet(self, db: DatabaseConnection, identity: tuple[object, ...] | None) -> None:
        """Check tables that are new to this object. Raises StoreRefused if they are not Sumatra 0.8.1's."""
        if identity is None:
            raise StoreRefused(
                f"{self._name} has no Sumatra tables yet; create them with smtd check --create or any smt"
                " command"
            )
        done = await db.fetch("SELECT app, name FROM django_migrations")
        if why := schema.mismatch(done, await db.fetch(_COLUMNS.format(self.dialect.namespace))):
            raise StoreRefused(f"{self._name} is not a record store of Sumatra 0.8.1: {why}")
        self.generation += self._identity is not None
        self._identity = identity

    def link(self) -> AbstractAsyncContextManager[ServerLink]:
        """Give a connection for a while, whatever tables there are."""
        return self._pool.link()

    def own_link(self) -> AbstractAsyncContextManager[ServerLink]:
        """Yield a connection that no other task uses."""
        return self._pool.own_link()

    async def is_empty(self, db: DatabaseConnection) -> bool:
        """Say whether there are no tables at all, of whomever."""
        tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema"
        return not await db.value(f"{tables} = {self.dialect.namespace}")

    def can_hold(self, text: str) -> bool:
        """Say whether any column can hold *text*."""
        return encodable(text) == text and (self.dialect.limits.nul or "\0" not in text)

    async def flush(self) -> None:
        async with self._pool.link() as link:
            await self.dialect.flush(link)

    async def risk(self) -> str:
        """Return why a crash of the server can lose commits, with the remedy; empty: it cannot."""
        with translating_errors(self):
            async with self._pool.link() as link:
                return await self.dialect.risk(link)

    async def version(self) -> str:
        """Return the name and version of the server."""
        with translating_errors(self):
            async with self._pool.link() as link:
                return f"{self.kind} {await link.value('SELECT version()')}"

    async def create(self) -> None:
        """Do nothing: on a server, a user creates the tables (`smtd check --create`)."""

    async def make(self) -> bool:
        """Create the tables as Sumatra's first command would; say whether there were none."""
        statements = await to_thread.run_sync(schema.creation, self.dialect.kind)
        with translating_errors(self):
            async with self._pool.link() as link:
                if await self.dialect.identity(link) is not None:
                    return False
                async with link.creating_tables():
                    if missing := await self.dialect.identity(link) is None:
                        for statement, values in statements:
                            await link.run(statement, values)
        return missing

    async def run(self, statements: Iterable[str]) -> None:
        """Run *statements* that create or remove what is not Sumatra's, if possible all or none of them."""
        with translating_errors(self):
            async with self._pool.link() as link, link.creating_tables():
                for statement in statements:
                    await link.run(statement)

    def as_stored(self, key: Key, columns: Columns) -> Columns:
        return limits.fit_columns(key, columns, self.dialect.limits)

    async def collisions(self, db: DatabaseConnection, keys: Collection[Key]) -> Mapping[Key, str]:
        return await self.dialect.collisions(db, keys) if keys else {}

    def store_error(self, exc: Exception) -> StoreError | None:
        return certificate_error(self._name, exc) or self.dialect.store_error(exc, self._name)
