"""The dialect of MySQL and MariaDB, with the driver asyncmy; hashes of the rows show what has changed.

Sumatra's tables have the character set and collation of their database, in which `A` usually equals `a`.
smtd compares texts itself, exactly, and rejects a text that Sumatra would take for another one there.
Tables, and columns of one table, may differ in both (MariaDB's own default is latin1). So statements convert
texts of two columns to UTF-8 before they compare or join them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import asyncmy
from anyio import CancelScope, move_on_after, to_thread
from asyncmy import converters, errors
from asyncmy.constants import ER, FIELD_TYPE

from smtd import denied
from smtd.errors import LoginRefused, RecordUnusable, StoreBusy, StoreError, StoreRefused, StoreUnreachable
from smtd.records.record import Key
from smtd.stores.django import collations
from smtd.stores.django.address import Address
from smtd.stores.django.collations import Texts
from smtd.stores.django.connection import DatabaseConnection, Row, ServerLink
from smtd.stores.django.limits import Limits
from smtd.stores.django.pool import shared
from smtd.stores.django.server import (
    CONNECT_TIMEOUT,
    NEWEST,
    STATEMENT_TIMEOUT,
    ServerDatabase,
)
from smtd.stores.django.server_mark import ServerMark, record_hash

#: The driver logs each warning of the server; in strict mode, all that smtd must know is an error.
logging.getLogger("asyncmy").setLevel(logging.ERROR)

#: Seconds that a server has to close a connection.
CLOSE_TIMEOUT = 1.0
#: The lock with which smtd's own writers take turns. All databases of a server share the names of locks, so
#: it contains the name of the database.
_LOCK = "concat('smtd:', md5(database()))"
_SETTINGS = (
    "SET NAMES utf8mb4",
    # Strict: a text that is too long must not be cut.
    "SET SESSION sql_mode = 'ANSI_QUOTES,STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
    # At this level a locking read keeps others from inserting rows after the last one.
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    # By default the statistics of a table in MySQL 8 can be a day old.
    # MySQL has no limit for transactions that are idle.
    "SET SESSION innodb_lock_wait_timeout = 10 /*!80000 , SESSION information_schema_stats_expiry = 0 */"
    " /*M!100300 , SESSION idle_transaction_timeout = {idle} */",
)
#: On a connection with this setting, the triggers of smtd's server (`server/mysql_triggers.py`) note nothing.
SILENCE = "SET @smtd_writes = 1"
#: Columns of any length. They are hashed one by one, since together they may exceed the limit for a text.
_LONG = frozenset(
    ("reason", "outcome", "diff", "script_arguments", "stdout_stderr", "content", "metadata", "source")
)


#: The identity of the server: MySQL and MariaDB name it differently.
_SERVER = "SHOW GLOBAL VARIABLES WHERE variable_name IN ('server_uuid', 'server_uid')"
#: When the table was created, the id of its next row, and the newest row.
_MARK = (
    "SELECT t.create_time, t.auto_increment, n.* FROM information_schema.tables t"
    f" LEFT JOIN ({NEWEST}) n ON 1"
    " WHERE t.table_schema = database() AND t.table_name = 'django_store_record'"
)


class _Unconvertible(errors.OperationalError):
    """A statement compares a text with a column whose character set lacks some of the characters."""


class MysqlConnection(ServerLink):
    """One connection of asyncmy."""

    def __init__(self, raw: Any) -> None:
        super().__init__(raw)
        #: The tables in which different texts can count as equal.
        self.folding: Collection[str] = ()
        #: When the server started, in seconds since 1970 (None: not known yet); it ends every connection.
        self.server_start: int | None = None

    @property
    def for_update(self) -> str:
        return "FOR UPDATE" if self.exclusive else ""

    @property
    def for_share(self) -> str:
        return "LOCK IN SHARE MODE" if self.exclusive else ""

    def collation_key(self, table: str) -> Callable[[str], str] | None:
        return collations.folded if table in self.folding else None

    @property
    def is_closed(self) -> bool:
        return not self.raw.connected

    async def close(self) -> None:
        with suppress(Exception):  # it is gone in any case
            with move_on_after(CLOSE_TIMEOUT, shield=True):
                await self.raw.ensure_closed()  # TLS sends a closing message
            self.raw.close()

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        # mypy assumes that a scope may swallow an exception.
        rows: list[Row] = []
        with CancelScope(shield=True):
            rows += await self._execute(said(sql), tuple(parameters) or None)
        return rows

    async def run(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        await self.fetch(sql, parameters)

    async def run_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        if rows:
            with CancelScope(shield=True):
                await self._execute(said(sql), [tuple(row) for row in rows], many=True)

    async def _execute(self, sql: str, parameters: Any, *, many: bool = False) -> list[Row]:
        try:
            async with self.raw.cursor() as cursor:
                await (cursor.executemany if many else cursor.execute)(sql, parameters)
                return list(await cursor.fetchall()) if cursor.description else []
        except errors.IntegrityError as exc:
            if exc.args[0] != ER.DUP_ENTRY:
                raise
            raise RecordUnusable(
                f"it has a text that differs only in case or accents from an existing one: {exc.args[1]}"
            ) from exc
        except errors.MySQLError as exc:
            if exc.args and exc.args[0] in _MIXED_CHARSETS:
                raise _Unconvertible(*exc.args) from exc
            if exc.args and exc.args[0] == ER.TRUNCATED_WRONG_VALUE_FOR_FIELD:
                raise RecordUnusable(collations.charset_problem(exc.args[1])) from exc
            raise
        except (OSError, asyncio.TimeoutError):
            self.raw.close()  # a late answer would count as that to the next statement
            raise

    def reading(self) -> AbstractAsyncContextManager[None]:
        return self._transaction(partial(self.run, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"))

    @asynccontextmanager
    async def creating_tables(self) -> AsyncIterator[None]:
        """Keep other smtd processes from creating tables; these databases cannot roll that back."""
        with CancelScope(shield=True):
            await self._lock()
            try:
                yield
            finally:
                await self._unlock()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        with CancelScope(shield=True):
            await self._lock()
            self.exclusive = True
            try:
                async with self._transaction(partial(self.run, "START TRANSACTION")):
                    yield
            finally:
                self.exclusive = False
                await self._unlock()

    async def _lock(self) -> None:
        if not await self.value(f"SELECT get_lock({_LOCK}, 10)"):
            raise errors.OperationalError(ER.LOCK_WAIT_TIMEOUT, "another smtd keeps writing")

    async def _unlock(self) -> None:
        try:
            if not self.is_closed:
                await self.value(f"SELECT release_lock({_LOCK})")
        except Exception:  # noqa: BLE001 - the lock ends with the connection
            await self.close()

    async def _roll_back(self) -> None:
        try:
            if not self.is_closed:
                await self.run("ROLLBACK")
        except Exception:  # noqa: BLE001 - the caller raises the first error, which matters more
            await self.close()


@lru_cache(maxsize=512)
def said(sql: str) -> str:
    """Return *sql* with the placeholders of asyncmy."""
    return sql.replace("?", "%s")


class Mysql:
    """The dialect of MySQL and MariaDB."""

    kind = "mysql"
    namespace = "database()"
    refusals: tuple[type[Exception], ...] = (
        RecordUnusable,
        errors.DataError,
        errors.IntegrityError,
        _Unconvertible,
        UnicodeError,
    )

    def __init__(self) -> None:
        self.limits = Limits(nul=True, infinity=False, addresses_only=False)
        #: When the table of records was created, and how all tables held texts when smtd saw that.
        self._made: object = None
        self._texts = Texts()

    def version(self, alias: str, columns: Sequence[str]) -> str:
        """Return the content of the row in SQL; texts are quoted or hashed, so that none run together."""
        said = [
            f"coalesce(md5({text}), '-')" if name in _LONG else f"quote({text})"
            for name, text in ((name, f'convert({alias}."{name}" USING utf8mb4)') for name in columns)
        ]
        return f"concat_ws('.', {', '.join(said)})"

    def number(self, parts: Sequence[str]) -> str:
        return f"cast(conv(left(md5(concat_ws('/', {', '.join(parts)})), 15), 16, 10) AS SIGNED)"

    def total(self, number: str) -> str:
        return f"bit_xor({number})"

    async def moment(self, db: DatabaseConnection) -> str:
        # Neither of the two has such a value: the UPDATE_TIME of a table is that of a statement, whose
        # transaction may commit much later (seen in MariaDB 10.11).
        return ""

    async def since(self, db: DatabaseConnection) -> str:
        return ""

    async def trace(self, db: DatabaseConnection, since: str) -> list[Row]:
        return []

    async def identity(self, db: DatabaseConnection) -> tuple[object, ...] | None:
        found = await db.fetch(
            "SELECT create_time, @@max_allowed_packet FROM information_schema.tables"
            " WHERE table_schema = database() AND table_name = 'django_store_record'"
        )
        if not found:
            await collations.check_database(db)
            return None
        made, packet = found[0]
        if made != self._made:
            self._texts, self._made = await collations.texts(db), made
        assert isinstance(db, MysqlConnection), "whose connection else"
        db.folding = self._texts.folding
        # Half, since a quoted character takes two bytes.
        self.limits = replace(self.limits, most_bytes=int(packet) // 2)
        return (made,)

    async def mark(self, db: DatabaseConnection) -> ServerMark:
        servers: dict[str, str] = dict(await db.fetch(_SERVER))
        (found,) = await db.fetch(_MARK)
        made, number, newest, project, label = found
        return ServerMark(
            (servers.get("server_uuid"), servers.get("server_uid"), None if made is None else str(made)),
            (None if number is None else int(number),),
            newest=newest,
            name=None if newest is None else record_hash((project, label)),
        )

    async def keeps_older(self, db: DatabaseConnection, since: int) -> bool:
        return True  # rows do not have the number of their transaction

    async def collisions(self, db: DatabaseConnection, keys: Collection[Key]) -> Mapping[Key, str]:
        """See `Database.collisions`."""
        return await self._texts.collisions(db, keys)

    async def flush(self, db: DatabaseConnection) -> None:
        """Do nothing: no connection can make commits durable; see `risk`."""

    def is_contended(self, exc: Exception) -> bool:
        return isinstance(exc, errors.MySQLError) and bool(exc.args) and exc.args[0] in _CONTENDED

    async def risk(self, db: DatabaseConnection) -> str:
        for setting, safe in _DURABLE.items():
            ((_, value),) = await db.fetch(f"SHOW GLOBAL VARIABLES LIKE '{setting}'") or [("", safe[0])]
            if value not in safe and (setting != "sync_binlog" or await _has_binlog(db)):
                return (
                    f"{setting} is {value} on this server: the last writes can be lost in a crash, and smtd"
                    f" would treat that as edits and deletions; set {setting} = 1"
                )
        return ""

    def store_error(self, exc: Exception, name: str) -> StoreError | None:
        if isinstance(exc, (TimeoutError, asyncio.TimeoutError)):
            return StoreUnreachable(f"{name} does not answer; check the server and the network")
        if isinstance(exc, errors.MySQLError):
            number, *said = exc.args if exc.args else (0, str(exc))
            said_of = f"{name}: {said[0] if said else number}"
            if number in _LOGIN_REFUSED:
                return LoginRefused(f"{said_of}; check the user and the password")
            if number in _DENIED:
                return StoreRefused(f"permission denied: {said_of}; ask for the permission (GRANT)")
            if number in _READ_ONLY:
                return StoreRefused(f"{said_of}; name the server that takes writes")
            if number == _UNKNOWN_DATABASE:
                return StoreRefused(f"{said_of}; check its name, or create the database first")
            if number in _CONNECTION_FAILED:
                return StoreUnreachable(f"{name} cannot be reached; check the server and the network")
            if number in _TRANSIENT or isinstance(exc, errors.InterfaceError):
                return StoreBusy(f"{said_of}; smtd tries again")
            return StoreUnreachable(f"{name} cannot be used: {said[0] if said else number}")
        if isinstance(exc, OSError):
            return StoreUnreachable(f"{name} cannot be reached: {denied.why(exc)}")
        return None


#: The values of each setting with which a commit is durable (3 is MariaDB's). No connection can set its own.
_DURABLE = {"innodb_flush_log_at_trx_commit": ("1", "3"), "sync_binlog": ("1",)}


async def _has_binlog(db: DatabaseConnection) -> bool:
    """Say whether the server keeps a binary log: a crash rolls back transactions that are not in it."""
    return str(await db.value("SELECT @@log_bin")) == "1"


#: Errors for comparing texts of two character sets.
_MIXED_CHARSETS = frozenset({1267, 1270, 1271, 3854})
#: Errors for a login that is refused, for what the user may not do, for a server that only reads, for one
#: that cannot be reached, and for failures that the next attempt may not meet.
_LOGIN_REFUSED = frozenset({1045, 1698})
_DENIED, _READ_ONLY = frozenset({1044, 1142, 1143, 1227, 1370}), frozenset({1290, 1836})
_UNKNOWN_DATABASE = 1049
_CONNECTION_FAILED = frozenset({2002, 2003, 2005})
_TRANSIENT = frozenset({1020, 1040, 1053, 1158, 1159, 1160, 1161, 1203, 1205, 1213, 1927, 2006, 2013, 2055})
#: Errors for a lock that another client holds, a row that another one changed since the snapshot (MariaDB
#: from 11.6 on), and a table that was altered since: the transaction is rolled back, or is still to be.
_CONTENDED = frozenset({1020, 1205, 1213, 1412})


def _conversions() -> dict[Any, Any]:
    """Return the converters for values from the server: times become as `rows.moment` writes them."""
    plain = dict(converters.conversions)
    for kind in (FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP):
        plain[kind] = lambda text: text.removesuffix(".000000")
    return plain


async def _connect(address: Address, *, is_silent: bool) -> MysqlConnection:
    tls = None if address.mode in ("disable", "prefer") else await to_thread.run_sync(address.context)
    db = await asyncmy.connect(
        host=address.host or "localhost",
        port=address.port or 3306,
        user=address.user,
        password=(address.password or "").encode(),
        database=address.database,
        charset="utf8mb4",
        conv=_conversions(),
        autocommit=True,
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=STATEMENT_TIMEOUT,
        program_name="smtd",
        ssl=tls,
    )
    made = MysqlConnection(db)
    try:
        for setting in (*_SETTINGS, *([SILENCE] if is_silent else [])):
            await made.run(setting.format(idle=address.idle))
    except BaseException:
        db.close()
        raise
    return made


@asynccontextmanager
async def database(address: Address, *, is_served: bool = False) -> AsyncIterator[ServerDatabase]:
    """Yield the database at *address*, without connecting to it yet.

    If it *is_served*, its connections are others than those of pairs, and triggers of smtd's server note
    nothing of what they write.
    """
    async with shared((address, is_served), partial(_connect, address, is_silent=is_served)) as pool:
        yield ServerDatabase(Mysql(), pool, address.name)
