"""smtd's own tables in a MySQL or MariaDB database that it serves; one process serves it (`exclusion.py`).

Sumatra works as before: it reads and writes only its own tables, by name. What creates or changes a table or
a trigger commits at once, so that is done outside transactions, in an order in which a repeat finishes it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import cache
from hashlib import blake2b
from typing import Any, NamedTuple

import anyio
from asyncmy import errors

from smtd.errors import RecordUnusable, StoreRefused
from smtd.server import change_log, exclusion, mysql_triggers
from smtd.server.accounts.rights import CREATE_RIGHTS
from smtd.server.backend import Head, Replaced
from smtd.server.exclusion import Exclusion, MysqlLease
from smtd.server.lease import LeaseTable
from smtd.server.remote import Locked, Names, make_triggers, only_row
from smtd.stores.django import collations
from smtd.stores.django.connection import DatabaseConnection, ServerLink
from smtd.stores.django.database import translating_errors
from smtd.stores.django.mysql import MysqlConnection
from smtd.stores.django.server import ServerDatabase

#: As `tables.py` has them. *access*, *triggers*: as in `postgresql.py`. *owner*: the process that serves the
#: database. *made* is also 2, while smtd serve is creating all tables.
TABLES = (
    "CREATE TABLE smtd_head (id INTEGER PRIMARY KEY, seq BIGINT NOT NULL, access BIGINT NOT NULL,"
    " made INTEGER NOT NULL, form VARCHAR(100) NOT NULL, expired BIGINT NOT NULL,"
    " triggers VARCHAR(100) NOT NULL, owner VARCHAR(100) NOT NULL)",
    "CREATE TABLE smtd_era (start BIGINT PRIMARY KEY, ended BIGINT, began DOUBLE NOT NULL)",
    # The longest key that InnoDB can index has 3072 bytes, four for each character.
    "CREATE TABLE smtd_change (project VARCHAR(255) NOT NULL, label VARCHAR(255) NOT NULL,"
    " seq BIGINT NOT NULL, digest VARCHAR(255), problem LONGTEXT NOT NULL, moment VARCHAR(100) NOT NULL,"
    " noted DOUBLE NOT NULL, PRIMARY KEY (project, label), UNIQUE KEY smtd_change_seq (seq),"
    " KEY smtd_change_project (project, seq))",
    CREATE_RIGHTS,
    "CREATE TABLE smtd_seen (username VARCHAR(255) NOT NULL, mark VARCHAR(255) NOT NULL,"
    " number INTEGER NOT NULL, PRIMARY KEY (username, mark))",
    "CREATE TABLE smtd_dirty (id BIGINT PRIMARY KEY AUTO_INCREMENT, record INTEGER, project VARCHAR(255),"
    " label VARCHAR(255))",
    exclusion.LEASE_TABLE,
)
#: Of those the first, and those that earlier versions did not make.
_NEEDED = ("smtd_head", "smtd_seen", "smtd_duty")
#: The collations in which texts differ by case, accents, and spaces at the end, as on SQLite.
_COLLATIONS = (
    "SELECT collation_name FROM information_schema.collations"
    " WHERE collation_name IN ('utf8mb4_nopad_bin', 'utf8mb4_0900_bin') LIMIT 1"
)
_OPTIONS = "ENGINE = InnoDB ROW_FORMAT = DYNAMIC CHARACTER SET utf8mb4 COLLATE {}"
_OTHER_ENGINES = (
    "SELECT table_name, engine FROM information_schema.tables WHERE table_schema = database()"
    " AND table_name LIKE 'django\\_%' AND engine <> 'InnoDB'"
)
#: Sumatra's tables have no index that finds a label. Only tables that smtd serve made get one.
_INDEX = "CREATE INDEX smtd_record_key ON django_store_record (project_id, label)"
_FIRST_ROW = (
    "INSERT IGNORE INTO smtd_head (id, seq, access, made, form, expired, triggers, owner)"
    " VALUES (1, 0, 0, ?, '', 0, '', '')"
)
#: The log has all records if there was none when the triggers were there.
_FINISHED = (
    "UPDATE smtd_head SET made = 1,"
    " form = CASE WHEN EXISTS (SELECT 1 FROM django_store_record) THEN '' ELSE ? END"
)
_TABLE = "SELECT count(*) FROM information_schema.tables WHERE table_schema = database() AND table_name = ?"
#: When each table was made, in whole seconds, which differs after a restore; and the id of its next row,
#: which only a TRUNCATE decreases.
_MADE = (
    "SELECT table_name, create_time, auto_increment FROM information_schema.tables"
    " WHERE table_schema = database() AND (table_name LIKE 'django\\_%' OR table_name LIKE 'smtd\\_%')"
    " ORDER BY table_name"
)
#: Seconds for which an answer about tables, and about triggers, is believed: it takes some milliseconds, as
#: the database opens all tables for it.
_TABLES_FOR, _TRIGGERS_FOR = 0.1, 1.0
#: When the server started. Both numbers are of the begin of the statement, so the result never changes.
_START = (
    "SELECT unix_timestamp() - CAST(variable_value AS SIGNED) FROM"
    " /*M! information_schema.global_status */ /*!80000 performance_schema.global_status */"
    " WHERE variable_name = 'UPTIME'"
)
_HEAD = "SELECT seq, (SELECT max(start) FROM smtd_era), access, owner FROM smtd_head"
#: The first statements of a transaction of the server, in this order; the third one begins its snapshot
#: (docs/decisions.md). Until the commit no other client can insert a record. A shared lock: others that
#: add to the newest record lock it themselves, and may hold what the server needs next.
_LOCK = "SELECT seq, access, owner FROM smtd_head FOR UPDATE"
_LOCK_END = "SELECT db_id FROM django_store_record ORDER BY db_id DESC LIMIT 1 LOCK IN SHARE MODE"
_SNAPSHOT = (
    "SELECT (SELECT max(start) FROM smtd_era),"
    " EXISTS (SELECT 1 FROM smtd_dirty WHERE record IS NULL AND project IS NULL)"
)
#: Where the log has more or fewer keys than there are, a table was emptied while no process served it.
_FORGET_TRIGGERS = (
    "UPDATE smtd_head SET triggers = ''"
    " WHERE (SELECT count(DISTINCT project_id, label) FROM django_store_record)"
    " <> (SELECT count(*) FROM smtd_change WHERE digest IS NOT NULL OR problem <> '')"
)
#: Seconds that the creation of a trigger waits for transactions of others: their next ones wait behind it.
_DDL_TIMEOUT = 5
#: Errors for a table, key or constraint that is there already, for a table or database that is missing, and
#: for triggers that the user may not create.
_EXISTS = frozenset({1022, 1050, 1061, 1826})
_MISSING = frozenset({1049, 1146})
_NO_RIGHT, _NO_RIGHT_WITH_BINLOG = 1142, 1419


class Made(NamedTuple):
    """The *names* of the tables, when each was *created*, and the id of its next row (None: unknown now)."""

    names: tuple[str, ...]
    created: tuple[str | None, ...]
    next_ids: tuple[int | None, ...]

    def is_followed_by(self, now: Made) -> bool:
        """Say whether *now* may be of the same tables, later: none was replaced or emptied."""
        return (
            self.names == now.names
            and all(new in (None, old) for old, new in zip(self.created, now.created, strict=True))
            and all(
                new is None or new >= (old or 0) for old, new in zip(self.next_ids, now.next_ids, strict=True)
            )
        )


async def _made(db: DatabaseConnection) -> Made:
    found = await db.fetch(_MADE)
    names, created, next_ids = zip(*found, strict=True) if found else ((), (), ())
    return Made(names, created, next_ids)


class ServedMysql:
    """What serving a MySQL or MariaDB database needs of its own."""

    tables: Sequence[str] = TABLES
    #: `smtd user grant` writes into the log, and so does the next process if this one was stopped.
    is_shared = True
    tells_of_writes = has_transactional_ddl = False
    replacing, new_value = "ON DUPLICATE KEY UPDATE {}", "VALUES({})"

    def __init__(self, names: Names) -> None:
        self._names = names
        self._exclusion = Exclusion(names)
        self.lease: LeaseTable = MysqlLease(self._exclusion)
        #: When the tables were made, and when that was asked last (None: this process does not serve them).
        self._made: Made | None = None
        self._made_asked = float("-inf")
        #: The last `triggers_version`, and when it was asked.
        self._triggers, self._triggers_asked = "", float("-inf")
        self._is_repairing = False
        #: The tables in which different texts can count as equal.
        self._folding: Collection[str] = ()

    def is_missing(self, exc: Exception) -> bool:
        return _number(exc) in _MISSING

    async def check(self, db: DatabaseConnection) -> None:
        await self._collation(db)
        for table, engine in await db.fetch(_OTHER_ENGINES):
            raise StoreRefused(
                f"{self._names.database} cannot be served: its table {table} has the engine {engine}, which"
                f" has no transactions; convert it with ALTER TABLE {table} ENGINE = InnoDB"
            )

    async def _collation(self, db: DatabaseConnection) -> str:
        if (found := await db.value(_COLLATIONS)) is None:
            raise StoreRefused(
                f"{self._names.database} cannot be served: its server is too old; smtd serve needs MariaDB"
                " 10.3 or MySQL 8.0.17"
            )
        return str(found)

    async def has_tables(self, db: DatabaseConnection) -> bool:
        for table in _NEEDED:
            if not await db.value(_TABLE, (table,)):
                return False
        return bool(await db.value("SELECT count(*) FROM smtd_head JOIN smtd_duty"))

    async def is_unfinished(self, db: DatabaseConnection) -> bool:
        if not await db.value(_TABLE, ("smtd_head",)):
            return False
        if (made := await db.value("SELECT made FROM smtd_head")) is not None:
            return int(made) == 2
        return not await db.value(_TABLE, ("django_store_record",))

    async def create(self, link: ServerLink, sumatras: Sequence[tuple[str, Sequence[Any]]] | None) -> None:
        options = _OPTIONS.format(await self._collation(link))
        head, *others = (f"{table} {options}" for table in self.tables)
        if sumatras is None:
            await _run([*((each, ()) for each in others), (head, ())], link)
            await _run([(_FIRST_ROW, (0,)), (exclusion.LEASE_ROW, ())], link)
            return
        await _run([(head, ()), (_FIRST_ROW, (2,))], link)
        await _run([(_with(options, statement), values) for statement, values in sumatras], link)
        await _run([*((each, ()) for each in others), (exclusion.LEASE_ROW, ())], link)
        await make_triggers(link, self)
        await link.run(_FINISHED, (change_log.DIGEST_PREFIX,))

    @asynccontextmanager
    async def claimed(self, database: ServerDatabase) -> AsyncIterator[None]:
        async with self._exclusion.claimed(database):
            with translating_errors(database):
                async with database.link() as link:
                    self._folding = (await collations.texts(link)).folding
                    self._made = await _made(link)
                    await link.run(_FORGET_TRIGGERS)
            yield

    def listening_link(self, database: ServerDatabase) -> AbstractAsyncContextManager[ServerLink]:
        return self._exclusion.link(database)

    async def head(self, db: DatabaseConnection) -> Head:
        """See `Backend.head`. Raises Fenced if another process serves the database now."""
        seq, era, access, owner = only_row(await db.fetch(_HEAD))
        self._exclusion.check(owner)
        return Head(seq, era, access, await self._place(db))

    async def lock_head(self, db: DatabaseConnection) -> Locked:
        """See `Backend.lock_head`. Raises Fenced if another process serves the database now."""
        seq, access, owner = only_row(await db.fetch(_LOCK))
        self._exclusion.check(owner)
        await db.fetch(_LOCK_END)
        ((era, has_shared_notes),) = await db.fetch(_SNAPSHOT)
        assert isinstance(db, MysqlConnection), "whose connection else"
        db.folding = self._folding
        return Locked(Head(seq, era, access, await self._place(db)), bool(has_shared_notes))

    async def _place(self, db: DatabaseConnection) -> tuple[object, ...]:
        """Return what differs after the server was restored. Raises Replaced if tables were."""
        now, made = anyio.current_time(), self._made
        if made is None or now - self._made_asked >= _TABLES_FOR:
            found = await _made(db)
            if made is not None:
                if not made.is_followed_by(found):
                    raise Replaced(f"tables of {self._names.database} were replaced while it was served")
                # While a table is being altered, nothing is known of it.
                self._made_asked = now
                if None not in found.created:
                    self._made = found
            made = made or found
        assert isinstance(db, MysqlConnection), "whose connection else"
        if db.server_start is None:
            db.server_start = int(await db.value(_START))
        return db.server_start, made.created

    async def announce(self, db: DatabaseConnection) -> None:
        """Do nothing: no other process listens."""

    async def delete_notes(self, db: DatabaseConnection, note_ids: Sequence[int]) -> None:
        # One by one: a list of ids locks the gap after the last one (seen in MariaDB 10.11).
        await db.run_many("DELETE FROM smtd_dirty WHERE id = ?", [(note_id,) for note_id in note_ids])

    async def triggers_version(self, db: DatabaseConnection) -> str:
        """Return what differs if triggers or tables differ, or the triggers that this smtd would make."""
        assert isinstance(db, MysqlConnection), "whose connection else"
        now = anyio.current_time()
        # In a write transaction the answer decides whether the log is complete, so it must be new.
        is_old = db.exclusive or now - self._triggers_asked >= _TRIGGERS_FOR
        if is_old and not self._is_repairing:
            found = await mysql_triggers.existing(db), (await _made(db)).created
            if None not in found[1]:
                self._triggers, self._triggers_asked = f"{_fingerprint()} {_hash(repr(found))}", now
        return self._triggers

    async def repair_triggers(self, db: DatabaseConnection) -> None:
        """Recreate the triggers, and the index. Raises StoreRefused if the user may not."""
        await db.run(f"SET SESSION lock_wait_timeout = {_DDL_TIMEOUT}")
        self._is_repairing = True
        try:
            await _run([(_INDEX, ())], db)
            for name, *_ in await mysql_triggers.existing(db):
                await db.run(f"DROP TRIGGER IF EXISTS {name}")
            for statement in mysql_triggers.triggers().values():
                await db.run(statement)
        except errors.MySQLError as exc:
            if (why := _REFUSALS.get(_number(exc))) is None:
                raise
            raise StoreRefused(f"smtd cannot create triggers in {self._names.database}: {why}") from exc
        finally:
            self._is_repairing, self._triggers_asked = False, float("-inf")
            with suppress(errors.MySQLError, OSError):
                await db.run("SET SESSION lock_wait_timeout = DEFAULT")
        if self._made is not None:
            self._made = await _made(db)  # the index may count as a change of the table

    async def listen(
        self, link: ServerLink, committed: Callable[[], None], written: Callable[[], None]
    ) -> None:
        """Do nothing: the database tells nobody of commits."""


_REFUSALS = {
    _NO_RIGHT: "its user needs the right TRIGGER there (GRANT TRIGGER ON … TO …)",
    _NO_RIGHT_WITH_BINLOG: (
        "its server keeps a binary log, and lets no user without SUPER create triggers; an administrator must"
        " set log_bin_trust_function_creators = 1 there"
    ),
}


async def _run(statements: Iterable[tuple[str, Sequence[Any]]], db: DatabaseConnection) -> None:
    """Run *statements* that create something; it may be there already."""
    for statement, values in statements:
        try:
            await db.run(statement, values)
        except RecordUnusable:
            pass  # a row that is there
        except errors.MySQLError as exc:
            if _number(exc) not in _EXISTS and "errno: 121" not in str(exc):
                raise


def _with(options: str, statement: str) -> str:
    """Return *statement*; if it creates a table, with *options*."""
    return f"{statement.rstrip(';')} {options}" if statement.startswith("CREATE TABLE") else statement


@cache
def _fingerprint() -> str:
    return _hash("\n".join(mysql_triggers.triggers().values()))


def _hash(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _number(exc: Exception) -> int:
    return int(exc.args[0]) if isinstance(exc, errors.MySQLError) and exc.args else 0
