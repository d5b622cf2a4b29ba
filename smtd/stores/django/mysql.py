"""The dialect of MySQL and MariaDB: connected to by asyncmy, watched by hashes of what the rows say.

Sumatra's tables have the collation of their database, which as a rule takes `A` for `a`. smtd does not: it
compares by itself, and refuses what Sumatra would take for something else that is there.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import asyncmy
from anyio import CancelScope, move_on_after, to_thread
from asyncmy import converters, errors
from asyncmy.constants import ER, FIELD_TYPE

from smtd.errors import RecordUnusable, StoreBusy, StoreError, StoreRefused, StoreUnreachable
from smtd.records.record import Key
from smtd.stores.django import schema
from smtd.stores.django.connection import Connection, Row
from smtd.stores.django.limits import Limits
from smtd.stores.django.pool import Pool, shared
from smtd.stores.django.server import ANSWER_WITHIN, CONNECT_WITHIN, Address, ServerDatabase

#: Seconds that a server gets to say goodbye.
PARTING = 1.0
#: smtd's own writers wait for each other here; the name is the server's, so it has the database in it.
_LOCK = "concat('smtd:', md5(database()))"
_SETTINGS = (
    "SET NAMES utf8mb4",
    # Strict: a text that is too long must not be cut.
    "SET SESSION sql_mode = 'ANSI_QUOTES,STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
    # With it a locking read keeps others from adding rows behind the last one.
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SET SESSION innodb_lock_wait_timeout = 10",
)
#: Columns of any length: hashed one by one, since all of a record may be longer than a text may be.
_LONG = frozenset(
    ("reason", "outcome", "diff", "script_arguments", "stdout_stderr", "content", "metadata", "source")
)


class MysqlConnection:
    """One connection of asyncmy. A cancelled statement is awaited to its end, for a time-out at the most."""

    def __init__(self, db: Any) -> None:
        self._db = db
        self.orderly = False
        #: How texts are written that the database takes for equal (None: only if they are).
        self.fold: Callable[[str], str] | None = None

    @property
    def for_update(self) -> str:
        return "FOR UPDATE" if self.orderly else ""

    @property
    def for_share(self) -> str:
        return "LOCK IN SHARE MODE" if self.orderly else ""

    @property
    def is_closed(self) -> bool:
        return not self._db.connected

    async def close(self) -> None:
        with suppress(Exception):  # it is gone in any case
            with move_on_after(PARTING, shield=True):
                await self._db.ensure_closed()  # TLS has a last word to say
            self._db.close()

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        # mypy takes it that a scope may swallow what is raised inside.
        rows: list[Row] = []
        with CancelScope(shield=True):
            rows += await self._execute(said(sql), tuple(parameters) or None)
        return rows

    async def value(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        rows = await self.fetch(sql, parameters)
        return rows[0][0] if rows else None

    async def run(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        await self.fetch(sql, parameters)

    async def run_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        if rows:
            with CancelScope(shield=True):
                await self._execute(said(sql), [tuple(row) for row in rows], many=True)

    async def _execute(self, sql: str, parameters: Any, *, many: bool = False) -> list[Row]:
        try:
            async with self._db.cursor() as cursor:
                await (cursor.executemany if many else cursor.execute)(sql, parameters)
                return list(await cursor.fetchall()) if cursor.description else []
        except errors.IntegrityError as exc:
            if exc.args[0] != ER.DUP_ENTRY:
                raise
            raise RecordUnusable(
                f"it has a text that differs only in case or accents from one that is there: {exc.args[1]}"
            ) from exc
        except (OSError, asyncio.TimeoutError):
            self._db.close()  # an answer may still come, and would be taken for that to another question
            raise

    def reading(self) -> AbstractAsyncContextManager[None]:
        return self._transaction(
            lambda: self._execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", None)
        )

    @asynccontextmanager
    async def making(self) -> AsyncIterator[None]:
        """Keep others of smtd's from making tables; what is made stays, as always in these databases."""
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
            self.orderly = True
            try:
                async with self._transaction(lambda: self._execute("START TRANSACTION", None)):
                    yield
            finally:
                self.orderly = False
                await self._unlock()

    async def _lock(self) -> None:
        if not await self.value(f"SELECT get_lock({_LOCK}, 10)"):
            raise errors.OperationalError(ER.LOCK_WAIT_TIMEOUT, "another smtd is writing all the time")

    async def _unlock(self) -> None:
        try:
            if not self.is_closed:
                await self.value(f"SELECT release_lock({_LOCK})")
        except Exception:  # noqa: BLE001 - the lock ends with the connection
            await self.close()

    @asynccontextmanager
    async def _transaction(self, begin: Callable[[], Awaitable[Any]]) -> AsyncIterator[None]:
        with CancelScope(shield=True):
            try:
                await begin()
                yield
                await self._execute("COMMIT", None)
            except BaseException:
                await self._roll_back()
                raise

    async def _roll_back(self) -> None:
        """End the transaction; a connection that cannot do that is closed."""
        try:
            if not self.is_closed:
                await self._execute("ROLLBACK", None)
        except Exception:  # noqa: BLE001 - whatever it is, what counts is raised by the caller
            await self.close()


@lru_cache(maxsize=512)
def said(sql: str) -> str:
    """Return *sql* with the placeholders of asyncmy."""
    return sql.replace("?", "%s")


def folded(text: str) -> str:
    """Return *text* without what such collations do not look at: case, accents, blanks at the end."""
    if not text.isascii():
        text = "".join(
            each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each)
        )
    return text.casefold().rstrip(" ")


class Mysql:
    """What MySQL and MariaDB have of their own."""

    kind = "mysql"
    refusals: tuple[type[Exception], ...] = (
        RecordUnusable,
        errors.DataError,
        errors.IntegrityError,
        UnicodeError,
    )

    def __init__(self) -> None:
        self.limits = Limits(nul=True, infinity=False, addresses_only=False)

    def version(self, alias: str, columns: Sequence[str]) -> str:
        """What the row says; every text is told apart from what is beside it."""
        said = [
            f"coalesce(md5({alias}.\"{name}\"), '-')" if name in _LONG else f'quote({alias}."{name}")'
            for name in columns
        ]
        return f"concat_ws('.', {', '.join(said)})"

    def number(self, parts: Sequence[str]) -> str:
        return f"cast(conv(left(md5(concat_ws('/', {', '.join(parts)})), 15), 16, 10) AS SIGNED)"

    def total(self, number: str) -> str:
        return f"bit_xor({number})"

    async def moment(self, db: Connection) -> str:
        # Nothing tells, in either of the two: the UPDATE_TIME of a table is that of a statement, whose
        # transaction may end, and show, much later (seen in MariaDB 10.11).
        return ""

    async def since(self, db: Connection) -> str:
        return ""

    async def trace(self, db: Connection, since: str) -> list[Row]:
        return []

    async def identity(self, db: Connection) -> tuple[object, ...] | None:
        found = await db.fetch(
            "SELECT create_time, table_collation, @@max_allowed_packet FROM information_schema.tables"
            " WHERE table_schema = database() AND table_name = 'django_store_record'"
        )
        if not found:
            return None
        made, collation, packet = found[0]
        assert isinstance(db, MysqlConnection), "whose connection else"
        db.fold = None if collation.endswith(("_bin", "_cs")) else folded
        # Half, since characters that are quoted take two.
        self.limits = replace(self.limits, most_bytes=int(packet) // 2)
        return (made,)

    async def clashing(self, db: Connection, keys: Collection[Key]) -> Mapping[Key, str]:
        """Look for records whose keys Sumatra could not tell from *keys*, there and among themselves."""
        assert isinstance(db, MysqlConnection), "whose connection else"
        if db.fold is None:
            return {}
        labels = list({key.label for key in keys})
        taken: dict[Key, Key] = {}
        for start in range(0, len(labels), 500):
            chunk = labels[start : start + 500]
            asked = "SELECT DISTINCT project_id, label FROM django_store_record WHERE label IN"
            for found in await db.fetch(f"{asked} ({schema.marks(len(chunk))})", chunk):
                there = Key(*found)
                taken[Key(*map(folded, found))] = there
        clashes = {}
        for key in keys:
            other = taken.setdefault(Key(folded(key.project), folded(key.label)), key)
            if other != key:
                clashes[key] = (
                    f"its label cannot be told from {other.label!r} of {other.project} there:"
                    " the database does not look at case and accents"
                )
        return clashes

    def translated(self, exc: Exception, name: str) -> StoreError | None:
        if isinstance(exc, (TimeoutError, asyncio.TimeoutError)):
            return StoreUnreachable(f"{name} does not answer; is the server up, and the network?")
        if isinstance(exc, errors.MySQLError):
            number, *said = exc.args if exc.args else (0, str(exc))
            said_of = f"{name}: {said[0] if said else number}"
            if number in _SHUT:
                return StoreRefused(f"{said_of}; check the user, the password and the name of the database")
            if number in _UNREACHED:
                return StoreUnreachable(f"{name} cannot be reached; is the server up, and the network?")
            if number in _PASSING or isinstance(exc, errors.InterfaceError):
                return StoreBusy(f"{said_of}; smtd tries again")
            return StoreUnreachable(f"{name} cannot be used: {said[0] if said else number}")
        if isinstance(exc, OSError):
            return StoreUnreachable(f"{name} cannot be reached: {exc.strerror or exc}")
        return None


#: Who may not come in, or has no such database; where nobody listens; and what the next try may not meet.
_SHUT = frozenset({1044, 1045, 1049, 1142, 1698})
_UNREACHED = frozenset({2002, 2003, 2005})
_PASSING = frozenset({1020, 1040, 1053, 1158, 1159, 1160, 1161, 1203, 1205, 1213, 1927, 2006, 2013, 2055})


def _conversions() -> dict[Any, Any]:
    """Return how values come in: times as `rows.moment` writes them."""
    plain = dict(converters.conversions)
    for kind in (FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP):
        plain[kind] = lambda text: text.removesuffix(".000000")
    return plain


async def _connect(address: Address) -> MysqlConnection:
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
        connect_timeout=CONNECT_WITHIN,
        read_timeout=ANSWER_WITHIN,
        program_name="smtd",
        ssl=tls,
    )
    made = MysqlConnection(db)
    try:
        for setting in _SETTINGS:
            await made.run(setting)
    except BaseException:
        db.close()
        raise
    return made


@asynccontextmanager
async def database(address: Address) -> AsyncIterator[ServerDatabase]:
    """Give the database at *address*; nothing is asked of it yet."""
    pool: Pool[MysqlConnection]
    async with shared(address, partial(_connect, address)) as pool:
        yield ServerDatabase(Mysql(), pool, address.name)
