"""What differs between the kinds of databases that the server serves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Coroutine, Hashable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

from smtd.errors import StoreUnreachable
from smtd.records.record import Key
from smtd.server.alarm import Alarm
from smtd.stores.django.connection import DatabaseConnection
from smtd.stores.django.reader import DecodedRow
from smtd.stores.django.record_rows import RecordRows
from smtd.stores.django.rows import Columns

T = TypeVar("T")
#: Returns the fingerprint of the users file of this process.
UsersFingerprint: TypeAlias = Callable[[], Awaitable[str]]


class Replaced(StoreUnreachable):
    """Another database has taken the place of the served one, or another state was restored into it."""


class Head(NamedTuple):
    """Where the log ends: its last number *seq*, and the start of its newest *era*.

    *access*: the number of the last transaction that changed more than records (0: unknown). *place*: what
    differs if the log may have been put back from a backup.
    """

    seq: int
    era: int
    access: int = 0
    place: Hashable = None


class Tables(Protocol):
    """How a transaction finds and changes rows."""

    #: smtd serve made the tables, so that triggers note what other programs write.
    is_own: bool
    #: The statement that inserts a row of `change_log.COLUMNS`, or replaces the one with the same key.
    log_change: str
    #: Finds and changes the rows of records, inside a write transaction.
    records: RecordRows

    def as_stored(self, key: Key, columns: Columns) -> Columns:
        """Return *columns* as the tables will return them. Raises RecordUnusable."""

    async def collisions(self, db: DatabaseConnection, keys: Collection[Key]) -> Mapping[Key, str]:
        """Return those new *keys* that the database takes for others that it has, with the reason."""

    def can_hold(self, text: str) -> bool:
        """Say whether any column can hold *text*: the database accepts no other even in a query."""

    async def delete_notes(self, db: DatabaseConnection, note_ids: Sequence[int]) -> None:
        """Delete these notes of triggers, so that no other program has to wait that adds one."""

    async def repair_triggers(self, db: DatabaseConnection) -> None:
        """Recreate the triggers; writes made without them have no notes. Call it inside a transaction.

        Where that would end the transaction, note that they are missing; then call `Backend.create_triggers`.
        """

    async def has_triggers(self, db: DatabaseConnection) -> bool:
        """Say whether triggers note what other programs write; another program may have dropped some."""

    async def check_duty(self, db: DatabaseConnection, term: str) -> None:
        """Raise DutyLost unless this process has the duty for *term*; it then has it until the commit."""

    async def begin_duty(self, db: DatabaseConnection) -> None:
        """Tell other processes that they may rely on the duty from this transaction on."""


class Backend(Tables, Protocol):
    """One kind of database. Functions that take a connection are called through `read`."""

    #: The database as messages name it.
    name: str
    #: Other processes may change the log, so that memory may be behind what they have committed.
    is_shared: bool
    #: The first program to ask for the lock after a commit gets it, so the server must pause for others.
    has_unfair_lock: bool
    #: A process looks for what other programs write, so that the log has all records if the database says so.
    is_watched: bool
    #: Rings when another process has committed.
    commits: Alarm
    #: Rings when another program has written, if the database *tells_of_writes*.
    writes: Alarm
    tells_of_writes: bool

    async def read(self, work: Callable[[DatabaseConnection], Coroutine[Any, Any, T]]) -> T:
        """Return what *work* returns; it may await only the connection that it gets. Raises StoreError."""

    def writing(self, db: DatabaseConnection) -> AbstractAsyncContextManager[None]:
        """Commit everything that is done inside the block, or nothing, with all other writers kept out.

        If it fails, nothing is known of the rows any more.
        """

    async def head(self, db: DatabaseConnection) -> Head:
        """Return where the log ends. Raises Replaced if there is no log."""

    async def lock_head(self, db: DatabaseConnection) -> Head:
        """Keep others from changing the log until the end of the transaction, and triggers from noting it.

        Raises Replaced if there is no log.
        """

    async def save_head(self, db: DatabaseConnection, seq: int, *, changes_access: bool) -> None:
        """Store the last number of the log, which `lock_head` locked."""

    async def rows(self, db: DatabaseConnection, keys: Collection[Key]) -> dict[Key, list[DecodedRow]]:
        """Return the rows of *keys*, by key. Call it inside a transaction."""

    async def row_ids(self, db: DatabaseConnection, keys: Collection[Key]) -> list[int]:
        """Return the ids of all rows that have one of *keys*, and maybe of some that once had one."""

    async def is_logged(self, db: DatabaseConnection, logged_version: Hashable) -> bool:
        """Say whether the log certainly has all that other programs have written.

        *logged_version*: the `foreign_version` up to which it has.
        """

    def is_refusal(self, exc: Exception) -> bool:
        """Say whether the database refused a value with *exc*, and the transaction can go on."""

    def is_broken(self, exc: Exception) -> bool:
        """Say whether *exc* is of the driver, and may have ended the transaction."""

    def is_locked(self, exc: Exception) -> bool:
        """Say whether a transaction failed with *exc* as others had a lock, so that a later try may succeed.

        Nothing was committed then.
        """

    # What other programs write

    def duty(self) -> AbstractAsyncContextManager[str]:
        """Wait until this process, and no other, is to look for what other programs write; yield its term."""

    def has_duty(self, term: str) -> bool:
        """Say whether this process still has the duty for *term*, as far as it knows; see `check_duty`."""

    async def foreign_version(self, db: DatabaseConnection) -> Hashable:
        """Return what changes with each commit of another program. Raises Replaced."""

    async def create_triggers(self) -> None:
        """Create triggers that are missing, where `repair_triggers` cannot; call it after the commit."""

    async def may_differ(self, db: DatabaseConnection) -> bool:
        """Say whether a record may have changed since this was last called: else no comparison is needed."""

    async def listen(self, users: UsersFingerprint) -> None:
        """Ring the alarms, and compete for the duty, until cancelled; compare *users* with other servers."""

    async def tidy(self, last_write: float) -> None:
        """Do what is due once no program has written for a while; the last write was at *last_write*."""
