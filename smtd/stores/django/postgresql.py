"""The PostgreSQL dialect, with the driver asyncpg; the transaction numbers of rows show what has changed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from functools import lru_cache, partial
from typing import Any

import anyio
import asyncpg
from anyio import CancelScope, to_thread
from asyncpg import exceptions as pg

from smtd.errors import StoreBusy, StoreError, StoreRefused
from smtd.records.record import Key
from smtd.stores.django import passfile, postgresql_errors
from smtd.stores.django.address import Address
from smtd.stores.django.connection import DatabaseConnection, Row, ServerLink
from smtd.stores.django.limits import Limits
from smtd.stores.django.mapping import PREFIX, WRITTEN
from smtd.stores.django.pool import shared
from smtd.stores.django.server import (
    CONNECT_TIMEOUT,
    NEWEST,
    STATEMENT_TIMEOUT,
    ServerDatabase,
)
from smtd.stores.django.server_mark import ServerMark, record_hash

#: The lock with which smtd's own writers take turns, so that only one competes with `smt`: "smtd".
_ADVISORY = 0x736D7464
#: How long each attempt waits for programs that are writing. PostgreSQL looks for a deadlock after 1 s. Each
#: wait is shorter than that, and smtd releases all locks in between, so PostgreSQL never aborts a save of
#: Sumatra because of smtd. The last wait is longer: an autovacuum gives way only after that second.
_WAITS = (*["250ms"] * 12, "2s")
_PAUSE = 0.05
#: Seconds: the server keeps our locks until it notices that this machine is gone. By default that takes 2 h.
_KEEPALIVE = {"tcp_keepalives_idle": "20", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}

_TABLES = ", ".join(f"{PREFIX}{name}" for name in WRITTEN)
_TRACED = (*_TABLES.split(", "), "django_content_type")
_LOW_WATER = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text"
#: Whether the server reports a commit before it is durable: then a crash of the server loses it.
_COMMITS_EARLY = "current_setting('synchronous_commit') = 'off'"
#: Writes a message to the log after all commits so far, and returns its position: when the server has flushed
#: the log up to there, the commits are durable. It uses no transaction number, so it does not look like a
#: change.
_LOG_POSITION = "CAST(pg_logical_emit_message(false, 'smtd', '') AS text)"
_FLUSH = f"SELECT {_LOG_POSITION} WHERE {_COMMITS_EARLY} AND NOT pg_is_in_recovery()"
_IS_FLUSHED = "SELECT pg_current_wal_flush_lsn() >= CAST(CAST(? AS text) AS pg_lsn)"
#: How often to check that: the server flushes its log every 200 ms by default, and at least every 10 s.
_FLUSHES = 300
#: Under this lock other clients can read, and Sumatra's foreign key checks pass; writers wait in a queue. At
#: any other level of isolation the snapshot is older than the wait, and lacks what others committed in that.
_BEGIN_EXCLUSIVE = (
    "BEGIN ISOLATION LEVEL READ COMMITTED;"
    " SELECT set_config('synchronous_commit', 'on', true) WHERE {commits_early};"
    " SET LOCAL lock_timeout = '10s'; SELECT pg_advisory_xact_lock({key});"
    " SET LOCAL lock_timeout = '{wait}'; LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE"
)
#: The identity of the cluster; not every user may read it.
_CLUSTER = "SELECT system_identifier::text FROM pg_control_system()"
#: Database, table, and the time line of the cluster; the file of the table; the last id that a record got,
#: the number of the next transaction, and how many bytes of log the cluster ever wrote; the newest row.
_MARK = f"""
SELECT (SELECT oid FROM pg_database WHERE datname = current_database())::text, c.oid::text,
  CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END,
  pg_relation_filenode(c.oid)::text,
  CASE WHEN has_sequence_privilege(s.oid, 'SELECT, USAGE')
    THEN coalesce(pg_sequence_last_value(s.oid), 0) END,
  pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
  (CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_insert_lsn() END - '0/0'::pg_lsn)::bigint,
  n.db_id, n.project_id, n.label
FROM pg_class c
  CROSS JOIN (SELECT pg_get_serial_sequence('django_store_record', 'db_id')::regclass AS oid) s
  LEFT JOIN ({NEWEST}) n ON true
WHERE c.oid = to_regclass('django_store_record')
"""


class PostgresqlConnection(ServerLink):
    """One connection of asyncpg."""

    for_update = for_share = ""

    def collation_key(self, table: str) -> None:
        """Return None: a text equals only itself."""

    @property
    def is_closed(self) -> bool:
        return bool(self.raw.is_closed())

    async def close(self) -> None:
        with suppress(Exception):  # it is gone in any case
            await self.raw.close(timeout=2)

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        with self._uninterrupted():
            rows = await self.raw.fetch(said(sql), *parameters)
        return [tuple(row) for row in rows]

    async def run(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        with self._uninterrupted():
            await self.raw.execute(said(sql), *parameters)

    async def run_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        if rows:
            with self._uninterrupted():
                await self.raw.executemany(said(sql), rows)

    @contextmanager
    def _uninterrupted(self) -> Iterator[None]:
        """Let a statement in the block run to its end; close a connection that fails in the middle of one."""
        try:
            with CancelScope(shield=True):
                yield
        except (pg.InternalClientError, pg.InterfaceError, OSError, asyncio.TimeoutError):
            self.raw.terminate()
            raise

    def reading(self) -> AbstractAsyncContextManager[None]:
        return self._transaction(lambda: self.raw.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"))

    def creating_tables(self) -> AbstractAsyncContextManager[None]:
        """Commit all tables that the block creates, or none; no other smtd process creates any then."""
        return self._transaction(
            lambda: self.raw.execute(f"BEGIN; SELECT pg_advisory_xact_lock({_ADVISORY})")
        )

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        async with self._transaction(self._begin_exclusive):
            self.exclusive = True
            try:
                yield
            finally:
                self.exclusive = False

    async def _begin_exclusive(self) -> None:
        """Begin a transaction during which no other client writes."""
        for wait in _WAITS:
            try:
                await self.raw.execute(
                    _BEGIN_EXCLUSIVE.format(
                        commits_early=_COMMITS_EARLY, key=_ADVISORY, wait=wait, tables=_TABLES
                    )
                )
            except pg.LockNotAvailableError:
                await self._roll_back()
                if wait is _WAITS[-1]:
                    raise
                await anyio.sleep(_PAUSE)
            else:
                return

    async def _roll_back(self) -> None:
        try:
            if self.raw.is_in_transaction():
                await self.raw.execute("ROLLBACK")
        except Exception:  # noqa: BLE001 - the caller raises the first error, which matters more
            self.raw.terminate()


@lru_cache(maxsize=512)
def said(sql: str) -> str:
    """Return *sql* with numbered placeholders."""
    pieces = sql.split("?")
    return pieces[0] + "".join(f"${number}{piece}" for number, piece in enumerate(pieces[1:], 1))


def _moment(text: str) -> str:
    """Return a time of PostgreSQL, which is in UTC, as `rows.moment` writes it."""
    plain = re.sub(r"\+00(:00)?\Z", "", text)
    whole, point, fraction = plain.partition(".")
    return f"{whole}.{fraction:0<6}" if point else whole


class Postgresql:
    """The dialect of PostgreSQL."""

    kind = "postgresql"
    namespace = "current_schema()"
    limits = Limits(nul=False, infinity=True, addresses_only=True)
    refusals: tuple[type[Exception], ...] = (
        pg.DataError,
        pg.IntegrityConstraintViolationError,
        pg.ProgramLimitExceededError,
        UnicodeError,
    )

    def version(self, alias: str, columns: Sequence[str]) -> str:
        """Return the row's id and the number of the transaction that wrote it: a change gives another."""
        return f"concat_ws('.', {alias}.{'db_id' if alias == 'r' else 'id'}, {alias}.xmin)"

    def number(self, parts: Sequence[str]) -> str:
        return f"hashtextextended(concat_ws('/', {', '.join(parts)}), 0)"

    def total(self, number: str) -> str:
        return f"sum({number})"

    async def flush(self, db: DatabaseConnection) -> None:
        written = await db.value(_FLUSH)
        if written is None:
            return
        for _ in range(_FLUSHES):
            if await db.value(_IS_FLUSHED, (written,)):
                return
            await anyio.sleep(_PAUSE)
        raise StoreBusy("the server does not flush commits to disk; smtd tries again")

    def is_contended(self, exc: Exception) -> bool:
        return isinstance(exc, _CONTENDED)

    async def risk(self, db: DatabaseConnection) -> str:
        if await db.value("SHOW fsync") == "on":
            return ""
        return (
            "fsync is off on this server: saved data can be lost or damaged in a crash, and smtd would treat"
            " that as edits and deletions; set fsync = on"
        )

    async def moment(self, db: DatabaseConnection) -> str:
        """Return the snapshot and the start of the server: after a crash it may reuse transaction numbers."""
        asked = "SELECT pg_current_snapshot()::text || ' ' || pg_postmaster_start_time()::text"
        return str(await db.value(asked))

    async def since(self, db: DatabaseConnection) -> str:
        """Return the low-water mark: the oldest transaction that may still write."""
        # As a transaction number of 32 bits, of which the first three have another meaning.
        return str(max(3, int(await db.value(_LOW_WATER)) % 2**32))

    async def trace(self, db: DatabaseConnection, since: str) -> list[Row]:
        """Return for each table its rows, the rows by transactions from *since* on, and a sum of these.

        A client that inserts or changes rows adds some with higher transaction numbers than before; one that
        only deletes leaves fewer rows. Numbers are compared by their distance, because they wrap around.
        """
        later = f"age('{since}'::xid)::bigint - age(xmin)"
        counted = f"count(*), count(*) FILTER (WHERE {later} >= 0)"
        summed = f"coalesce(sum({later}) FILTER (WHERE {later} >= 0), 0)"
        tables = (f"SELECT '{table}', {counted}, {summed} FROM {table}" for table in _TRACED)
        return await db.fetch(f"{' UNION ALL '.join(tables)} ORDER BY 1")

    async def identity(self, db: DatabaseConnection) -> tuple[object, ...] | None:
        asked = (
            "SELECT oid, pg_relation_filenode(oid) FROM pg_class"
            " WHERE oid = to_regclass('django_store_record')"
        )
        found = await db.fetch(asked)
        return found[0] if found else None

    async def mark(self, db: DatabaseConnection) -> ServerMark:
        (found,) = await db.fetch(_MARK)
        *place, filed, number, transaction, written, newest, project, label = found
        return ServerMark(
            (await _cluster(db), *place),
            (number, transaction, written),
            filed,
            transaction,
            newest,
            None if newest is None else record_hash((project, label)),
        )

    async def keeps_older(self, db: DatabaseConnection, since: int) -> bool:
        # A mere clean-up of the whole table (VACUUM FULL) keeps the transaction numbers of its rows.
        limit = f"age('{max(3, since % 2**32)}'::xid)"
        asked = f"SELECT EXISTS (SELECT 1 FROM django_store_record WHERE age(xmin) > {limit})"
        return bool(await db.value(asked))

    async def collisions(self, db: DatabaseConnection, keys: Collection[Key]) -> Mapping[Key, str]:
        return {}  # it compares texts exactly

    def store_error(self, exc: Exception, name: str) -> StoreError | None:
        return postgresql_errors.store_error(exc, name)


async def _cluster(db: DatabaseConnection) -> str | None:
    """Return the identity of the cluster (None: this user may not read it)."""
    try:
        return str(await db.value(_CLUSTER))
    except pg.InsufficientPrivilegeError:
        return None


#: Errors for a lock that another client holds: the transaction was rolled back.
_CONTENDED = (pg.LockNotAvailableError, pg.DeadlockDetectedError, pg.SerializationError)


async def _connect(address: Address) -> PostgresqlConnection:
    db = await connected(address)
    for name, encoder, decoder in (("timestamptz", "{}+00".format, _moment), ("inet", str, str)):
        await db.set_type_codec(name, schema="pg_catalog", encoder=encoder, decoder=decoder, format="text")
    return PostgresqlConnection(db)


async def connected(address: Address) -> Any:
    """Connect with TLS or, if that is only preferred and the server has none, without."""
    if address.mode == "disable":
        return await _connect_to(address, False)
    # Created here: asyncpg would block the event loop while it reads files.
    context = await to_thread.run_sync(address.context)
    try:
        return await _connect_to(address, context)
    except ConnectionError as exc:
        if address.mode != "prefer" or "SSL" not in str(exc):
            raise
    return await _connect_to(address, False)


async def _connect_to(address: Address, tls: Any) -> Any:
    try:
        password = address.password
        if password is None:  # otherwise the driver would block the event loop while it looks for one
            asked = (address.host, address.port, address.database, address.user)
            password = await to_thread.run_sync(passfile.password, *asked)
        return await asyncpg.connect(
            host=address.host,
            port=address.port,
            user=address.user,
            password=password,
            database=address.database,
            ssl=tls,
            timeout=CONNECT_TIMEOUT,
            command_timeout=STATEMENT_TIMEOUT,
            server_settings={
                "application_name": "smtd",
                # Whatever the database or the user has as a default.
                "default_transaction_isolation": "read committed",
                "timezone": "UTC",
                "datestyle": "ISO",
                "idle_in_transaction_session_timeout": f"{address.idle}s",
                **_KEEPALIVE,
            },
        )
    except KeyError as exc:  # passwd has no name for the user id
        raise StoreRefused(
            f"{address.name} names no user, and the user who runs smtd has no name; write it as"
            " postgresql://user@host/name"
        ) from exc


@asynccontextmanager
async def database(address: Address, *, is_served: bool = False) -> AsyncIterator[ServerDatabase]:
    """Yield the database at *address*, without connecting to it yet.

    If it *is_served*, its connections are others than those of pairs.
    """
    async with shared((address, is_served), partial(_connect, address)) as pool:
        yield ServerDatabase(Postgresql(), pool, address.name)
