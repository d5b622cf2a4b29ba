"""A database on a server as the served one; several processes may serve it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Hashable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NamedTuple, Protocol, TypeVar

import anyio

from smtd.errors import StoreError
from smtd.records.record import Key
from smtd.server import change_log
from smtd.server.alarm import Alarm
from smtd.server.backend import Head, Replaced, UsersFingerprint
from smtd.server.lease import Duty, LeaseTable, UsersComparison, may_take
from smtd.stores.django import reader
from smtd.stores.django.connection import DatabaseConnection, Row, ServerLink
from smtd.stores.django.database import translating_errors
from smtd.stores.django.ids import KeyLookup
from smtd.stores.django.reader import DecodedRow
from smtd.stores.django.record_rows import RecordRows
from smtd.stores.django.rows import Columns
from smtd.stores.django.server import ServerDatabase
from smtd.stores.django.writer import RowWriter

T = TypeVar("T")

#: Seconds between two tries to get the duty, and to reach a server that is down.
_TRY_INTERVAL = 1.0
_IS_LOGGED = "SELECT form = ? AND NOT EXISTS (SELECT 1 FROM smtd_dirty) FROM smtd_head"
#: What changes with each note of a trigger.
_NOTES = "SELECT concat_ws(' ', count(*), max(id)) FROM smtd_dirty"


class Names(NamedTuple):
    """The database as messages name it, and a random name of this *process*."""

    database: str
    process: str


def names(database: str) -> Names:
    """Return the names for *database* in this process."""
    return Names(database, secrets.token_hex(8))


class Locked(NamedTuple):
    """Where the log ends, and whether rows that records share have changed, which is not entered yet."""

    head: Head
    has_shared_notes: bool


class ServedDialect(Protocol):
    """What serving one kind of database needs of its own."""

    #: The statements that create smtd's tables.
    tables: Sequence[str]
    is_shared: bool
    tells_of_writes: bool
    #: The end of an INSERT that replaces the row of a key, by assignments; what stands for a new value there.
    replacing: str
    new_value: str
    #: Who enters what other programs write.
    lease: LeaseTable
    #: A transaction can create tables and triggers.
    has_transactional_ddl: bool

    def is_missing(self, exc: Exception) -> bool:
        """Say whether the driver raised *exc* because a table is missing."""

    async def check(self, db: DatabaseConnection) -> None:
        """Raise StoreRefused if the server, or its tables, lack what is needed."""

    async def has_tables(self, db: DatabaseConnection) -> bool:
        """Say whether all of smtd's tables are there, also those that earlier versions did not make."""

    async def is_unfinished(self, db: DatabaseConnection) -> bool:
        """Say whether smtd serve began to create all tables, and was interrupted."""

    async def create(self, link: ServerLink, sumatras: Sequence[tuple[str, Sequence[Any]]] | None) -> None:
        """Create smtd's tables; in an empty database also triggers, and *sumatras* tables, by statements.

        Call it inside `ServerLink.creating_tables`. If that is no transaction, a second call finishes what
        was interrupted.
        """

    def claimed(self, database: ServerDatabase) -> AbstractAsyncContextManager[None]:
        """Serve *database* for the length of a block.

        Raises UsageError if only one process can do that, and another one does.
        """

    def listening_link(self, database: ServerDatabase) -> AbstractAsyncContextManager[ServerLink]:
        """Yield the connection for `listen`, and for the lease."""

    async def head(self, db: DatabaseConnection) -> Head:
        """See `Backend.head`."""

    async def lock_head(self, db: DatabaseConnection) -> Locked:
        """See `Backend.lock_head`."""

    async def announce(self, db: DatabaseConnection) -> None:
        """Announce this transaction to other processes once it is committed."""

    async def delete_notes(self, db: DatabaseConnection, note_ids: Sequence[int]) -> None:
        """See `Tables.delete_notes`."""

    async def triggers_version(self, db: DatabaseConnection) -> str:
        """Return what differs if the triggers differ, or those that this smtd would make."""

    async def repair_triggers(self, db: DatabaseConnection) -> None:
        """Recreate the triggers, and indexes on Sumatra's tables, in a transaction if that can do it."""

    async def listen(
        self, link: ServerLink, committed: Callable[[], None], written: Callable[[], None]
    ) -> None:
        """Call *committed* when another process commits, and *written* when another program writes."""


class RemoteBackend:
    """The database *database* on a server; *serving* has what its kind needs.

    *is_own*: smtd serve made the tables, so that triggers note what other programs write.
    """

    has_unfair_lock = False

    def __init__(self, database: ServerDatabase, serving: ServedDialect, name: str, *, is_own: bool) -> None:
        self.name = name
        self.is_own = is_own
        self.is_shared, self.tells_of_writes = serving.is_shared, serving.tells_of_writes
        #: In tables without triggers, a process must first look for what was written while none did.
        self.is_watched = is_own
        self.commits, self.writes = Alarm(), Alarm()
        self.records = RecordRows(KeyLookup(database.can_hold), RowWriter())
        self._database = database
        self._serving = serving
        #: The `Head.access` up to which what the writer knows of shared rows is valid, and the `Head.place`.
        self._access = 0
        self._place: Hashable = None
        self.log_change = _log_change(serving)
        self._duty = Duty(serving.lease, name)
        self._users = UsersComparison(name)
        self._trace: tuple[str, list[Row]] | None = None

    async def read(self, work: Callable[[DatabaseConnection], Coroutine[Any, Any, T]]) -> T:
        try:
            with translating_errors(self._database):
                async with self._database.link() as link:
                    return await work(link)
        except StoreError as exc:
            if isinstance(exc.__cause__, Exception) and self._serving.is_missing(exc.__cause__):
                raise Replaced(f"{self.name} lacks tables of smtd's server: it was replaced") from exc
            raise

    @asynccontextmanager
    async def writing(self, db: DatabaseConnection) -> AsyncIterator[None]:
        try:
            async with db.writing():
                yield
        except BaseException:
            self.records.forget()
            raise

    async def head(self, db: DatabaseConnection) -> Head:
        return await self._serving.head(db)

    async def lock_head(self, db: DatabaseConnection) -> Head:
        head, has_shared_notes = await self._serving.lock_head(db)
        is_known = self.is_own and head.access <= self._access and head.place == self._place
        if not is_known or has_shared_notes:
            self.records.forget()
            self._access, self._place = head.access, head.place
        return head

    async def save_head(self, db: DatabaseConnection, seq: int, *, changes_access: bool) -> None:
        more = ", access = ?" if changes_access else ""
        await db.run(f"UPDATE smtd_head SET seq = ?{more}", (seq, seq) if changes_access else (seq,))
        await self._serving.announce(db)

    async def rows(self, db: DatabaseConnection, keys: Collection[Key]) -> dict[Key, list[DecodedRow]]:
        found: dict[Key, list[DecodedRow]] = {}
        for raw in await reader.by_id(db, await self.row_ids(db, keys)):
            one = raw.found()
            found.setdefault(one.key, []).append(one)
        return found

    async def row_ids(self, db: DatabaseConnection, keys: Collection[Key]) -> list[int]:
        return await KeyLookup(self._database.can_hold).of(db, keys, ())

    async def is_logged(self, db: DatabaseConnection, logged_version: Hashable) -> bool:
        return self.is_own and bool(await db.value(_IS_LOGGED, (change_log.DIGEST_PREFIX,)))

    def as_stored(self, key: Key, columns: Columns) -> Columns:
        return self._database.as_stored(key, columns)

    async def collisions(self, db: DatabaseConnection, keys: Collection[Key]) -> Mapping[Key, str]:
        return await self._database.collisions(db, keys)

    def can_hold(self, text: str) -> bool:
        return self._database.can_hold(text)

    def is_refusal(self, exc: Exception) -> bool:
        return isinstance(exc, self._database.refusals)

    def is_broken(self, exc: Exception) -> bool:
        return self._database.store_error(exc) is not None

    def is_locked(self, exc: Exception) -> bool:
        cause = exc.__cause__
        return isinstance(cause, Exception) and self._database.dialect.is_contended(cause)

    def claimed(self) -> AbstractAsyncContextManager[None]:
        """Serve the database for the length of a block. Raises UsageError, StoreError."""
        return self._serving.claimed(self._database)

    # What other programs write

    async def listen(self, users: UsersFingerprint) -> None:
        while True:
            try:
                with translating_errors(self._database):
                    await self._listen(users)
            except StoreError:
                pass  # requests and `follow` report that the server is down
            finally:
                self._duty.release()
            self._ring()
            await anyio.sleep(_TRY_INTERVAL)

    async def _listen(self, users: UsersFingerprint) -> None:
        """Listen, and keep the duty or compete for it, by one connection, until that is closed."""
        async with self._serving.listening_link(self._database) as link:
            await self._serving.listen(link, self.commits.ring, self.writes.ring)
            self._ring()
            while not link.is_closed:
                own_users = await users()
                lease = await self._duty.keep(link, is_ready=self.is_watched, users=own_users)
                if lease is not None:
                    self.is_watched = self.is_watched or lease.is_ready
                    self._users.compare(own_users, lease.users, anyio.current_time())
                await anyio.sleep(_TRY_INTERVAL)

    def _ring(self) -> None:
        self.commits.ring()
        self.writes.ring()

    @asynccontextmanager
    async def duty(self) -> AsyncIterator[str]:
        while not (term := self._duty.term):
            await self._duty.taken.wait(self._duty.taken.rings, _TRY_INTERVAL)
        yield term

    def has_duty(self, term: str) -> bool:
        return term == self._duty.term

    async def check_duty(self, db: DatabaseConnection, term: str) -> None:
        await self._duty.check(db, term)

    async def begin_duty(self, db: DatabaseConnection) -> None:
        await self._duty.begin(db)

    async def users_in_use(self) -> str:
        """Return the fingerprint of the users file of a running server; empty: none runs, or none told."""
        lease = await self.read(self._serving.lease.read)
        return "" if lease is None or may_take(lease) else lease.users

    async def foreign_version(self, db: DatabaseConnection) -> Hashable:
        if not self.is_own:
            # If the database does not say whether others have written, they may have, in each second.
            return await self._database.dialect.moment(db) or int(anyio.current_time())
        return await db.value(_NOTES), await self._serving.triggers_version(db)

    async def has_triggers(self, db: DatabaseConnection) -> bool:
        if not self.is_own:
            return False
        made = str(await db.value("SELECT triggers FROM smtd_head"))
        return made == await self._serving.triggers_version(db)

    async def delete_notes(self, db: DatabaseConnection, note_ids: Sequence[int]) -> None:
        await self._serving.delete_notes(db, note_ids)

    async def repair_triggers(self, db: DatabaseConnection) -> None:
        if self._serving.has_transactional_ddl:
            await make_triggers(db, self._serving)
        else:
            await db.run("UPDATE smtd_head SET triggers = ''")

    async def create_triggers(self) -> None:
        async def create(db: DatabaseConnection) -> None:
            if not await self.has_triggers(db):
                await self._serving.repair_triggers(db)
                # A comparison that began without them is not enough; until the last line, none counts.
                await change_log.set_incomplete(db)
                await note_triggers(db, self._serving)

        if self.is_own and not self._serving.has_transactional_ddl:
            await self.read(create)

    async def may_differ(self, db: DatabaseConnection) -> bool:
        """Return whether a trace of writes differs, or there is none: it costs less than a comparison."""
        if self.is_own:
            return True
        dialect = self._database.dialect
        async with db.reading():
            since = await dialect.since(db)
            if self._trace is not None:
                before, trace = self._trace
                if trace and await dialect.trace(db, before) == trace:
                    return False
            self._trace = since, await dialect.trace(db, since)
        return True

    async def tidy(self, last_write: float) -> None:
        """Do nothing: the server cleans up."""


def _log_change(serving: ServedDialect) -> str:
    names = [name for name in change_log.COLUMNS if name not in change_log.KEY]
    values = ", ".join(f"{name} = {serving.new_value.format(name)}" for name in names)
    return f"INSERT INTO {change_log.INTO} {serving.replacing.format(values)}"


def only_row(found: Sequence[Row]) -> Row:
    """Return the one row of `smtd_head`. Raises Replaced if a restore has not put it there yet."""
    if not found:
        raise Replaced("the tables of smtd's server are empty; the server waits until they are filled")
    return found[0]


async def create_tables(
    link: ServerLink, serving: ServedDialect, sumatras: Sequence[tuple[str, Sequence[Any]]] | None
) -> None:
    """Do what `ServedDialect.create` does, in a transaction.

    Tables that are there stay as they are: an earlier version of smtd has made them.
    """
    is_own = sumatras is not None
    for statement, values in [*(sumatras or ()), *((table, ()) for table in serving.tables)]:
        await link.run(statement, values)
    # New tables have no record, so the log has all.
    form = change_log.DIGEST_PREFIX if is_own else ""
    await link.run(
        "INSERT INTO smtd_head (id, seq, access, made, form, expired, triggers)"
        f" SELECT 1, 0, 0, {int(is_own)}, ?, 0, '' WHERE NOT EXISTS (SELECT 1 FROM smtd_head)",
        (form,),
    )
    if is_own:
        await make_triggers(link, serving)


async def make_triggers(db: DatabaseConnection, serving: ServedDialect) -> None:
    """Recreate the triggers, and note that they are there."""
    await serving.repair_triggers(db)
    await note_triggers(db, serving)


async def note_triggers(db: DatabaseConnection, serving: ServedDialect) -> None:
    """Note that the triggers are there, as they are now."""
    made = await serving.triggers_version(db)
    await db.run("UPDATE smtd_head SET triggers = ?", (made,))
