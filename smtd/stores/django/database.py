"""The interface of a database of any kind, as the store uses it: the seam between the schema and a dialect.

Each database translates the errors of its own driver.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Protocol

from smtd.errors import StoreError
from smtd.records.canonical import Digest
from smtd.records.record import Key
from smtd.stores.base import Scan, Token
from smtd.stores.django.connection import DatabaseConnection
from smtd.stores.django.ids import RowIds
from smtd.stores.django.reader import EncodedRow
from smtd.stores.django.rows import Columns
from smtd.stores.index import Fingerprints, RowIndex, RowLook


class Tracker(Protocol):
    """Finds the records that may have changed since an index of the tables was brought up to date."""

    async def track(
        self, db: DatabaseConnection, index: RowIndex, recheck: Collection[Key], *, recheck_all: bool
    ) -> RowLook:
        """See `TrackedStore.track`."""

    async def track_new(self, db: DatabaseConnection, index: RowIndex) -> RowLook | None:
        """Return a partial look; None if it could hide a deletion, or would save no time."""

    async def fingerprint_all(
        self, db: DatabaseConnection, index: RowIndex
    ) -> tuple[Fingerprints, Mapping[Key, Sequence[int]]] | None:
        """See `TrackedStore.fingerprint_all`."""


class RowTracker(Protocol):
    """What one store object knows of the tables, and whether that is still true."""

    #: Whether `resume` is supported.
    resumes: bool

    @property
    def tracker(self) -> Tracker | None:
        """The tracker that finds changed records by an index (None: `look` compares the marks of all)."""

    async def settle(self, *, wait: bool = True) -> bool:
        """Start a new token; say whether no other program was writing then, as far as that can be known.

        With *wait* it first waits a short time for the writers to finish. Called without a connection.
        """

    def nothing(self, projects: Collection[str] | None) -> Scan:
        """Note that there are no tables yet, and return an empty scan."""

    async def look(self, db: DatabaseConnection, projects: Collection[str] | None) -> Scan:
        """Return the scan of all rows of *projects* (None: of all)."""

    def digest(self, raw: EncodedRow) -> Digest | None:
        """Return the digest of the record in *raw* (None: the row must be decoded for that)."""

    async def marks(self, db: DatabaseConnection, ids: Collection[int]) -> Mapping[int, int]:
        """Return the marks of the rows of *ids*, which other writes would change; called while writing."""

    def wrote(self, ids: Collection[int], marks: Mapping[int, int]) -> None:
        """Note that this object wrote the rows of *ids*, which now have *marks* (without one: gone)."""

    def rest(self) -> None:
        """Release what can be read again."""

    def forget(self) -> None:
        """Forget everything: the database was replaced."""

    async def token(self) -> Token | None:
        """Return a token of the state that this object last read or wrote; None if others have written."""

    async def unchanged_since(self, token: Token) -> bool:
        """Say whether the database is certainly in the state for which *token* was returned."""

    async def resume(self, token: Token) -> bool:
        """See `ResumedStore.resume`; called only if this resumes."""


class Database(Protocol):
    """A database that has Sumatra's tables, or may be given them."""

    @property
    def kind(self) -> str:
        """The kind of database in one word, for messages."""

    @property
    def batch(self) -> int:
        """The most records that one transaction may write, so that other programs do not wait long."""

    @property
    def obstacle(self) -> str:
        """Why nothing can be written to it, as a sentence for users (empty: it can). Known after a look."""

    @property
    def has_unfair_lock(self) -> bool:
        """Whether writing again at once would starve others: then pause for as long as the lock was held."""

    @property
    def generation(self) -> int:
        """A number that grows when the database was replaced: what was learned of the old one is void."""

    #: The driver's errors for a record that the tables cannot hold.
    refusals: tuple[type[Exception], ...]

    def session(self) -> AbstractAsyncContextManager[DatabaseConnection | None]:
        """Yield a connection, or None while there are no tables yet and `create` may create them.

        Raises StoreRefused for a schema that is not that of Sumatra 0.8.1, StoreUnreachable.
        """

    def row_tracker(self, ids: RowIds) -> RowTracker:
        """Return a new tracker of the tables for one store object, with which it shares *ids*."""

    async def create(self) -> None:
        """Create the tables if there are none, in a kind of database whose first write may do that."""

    async def flush(self) -> None:
        """See `Store.flush`."""

    def as_stored(self, key: Key, columns: Columns) -> Columns:
        """Return *columns* as the tables will return them. Raises RecordUnusable if a value does not fit."""

    async def collisions(self, db: DatabaseConnection, keys: Collection[Key]) -> Mapping[Key, str]:
        """Return those of *keys* that the database cannot distinguish from other keys, with the reason."""

    def store_error(self, exc: Exception) -> StoreError | None:
        """Return the StoreError for the driver's error *exc* (None: it is not an error of the driver)."""


class ErrorTranslator(Protocol):
    """Translates the errors of a driver."""

    def store_error(self, exc: Exception) -> StoreError | None:
        """See `Database.store_error`."""


@contextmanager
def translating_errors(database: ErrorTranslator) -> Iterator[None]:
    """Translate errors that the driver of *database* raises in the block into smtd's own."""
    try:
        yield
    except Exception as exc:
        if (store_error := database.store_error(exc)) is None:
            raise
        raise store_error from exc
