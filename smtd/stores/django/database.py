"""What the store asks of a database, whichever it is: the seam between the schema and a dialect.

What a driver raises is translated by the database that knows it.
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
from smtd.stores.django.reader import Raw
from smtd.stores.django.rows import Columns
from smtd.stores.index import Fingerprints, RowIndex, RowLook


class Tracker(Protocol):
    """What finds the records that may have changed since an index of the tables was brought up to date."""

    async def track(
        self, db: DatabaseConnection, index: RowIndex, recheck: Collection[Key], *, afresh: bool
    ) -> RowLook:
        """See `TrackedStore.track`."""

    async def track_new(self, db: DatabaseConnection, index: RowIndex) -> RowLook | None:
        """Return a partial look; None if not all can be told so, or a look at everything takes no longer."""

    async def learn(
        self, db: DatabaseConnection, index: RowIndex
    ) -> tuple[Fingerprints, Mapping[Key, Sequence[int]]] | None:
        """See `TrackedStore.learn`."""


class RowTracker(Protocol):
    """What one store object knows of the tables, and whether that is how they are."""

    #: Whether `resume` tells anything.
    resumes: bool

    @property
    def tracker(self) -> Tracker | None:
        """What tells by an index which records may have changed (None: a look at all marks does)."""

    async def settle(self, *, wait: bool = True) -> bool:
        """Start a new token; say whether nobody was writing at that moment, as far as is known.

        *wait*, not for long, until the writers are done. Called without a connection.
        """

    def nothing(self, projects: Collection[str] | None) -> Scan:
        """Note that there are no tables yet, and return what that says."""

    async def look(self, db: DatabaseConnection, projects: Collection[str] | None) -> Scan:
        """Return what the rows of *projects* (None: of all) say."""

    def digest(self, raw: Raw) -> Digest | None:
        """Return the digest of the record of *raw*, if it is known without understanding it again."""

    async def marks(self, db: DatabaseConnection, ids: Collection[int]) -> Mapping[int, int]:
        """Return what tells whether anybody else writes to the rows of *ids*; called while writing."""

    def wrote(self, ids: Collection[int], marks: Mapping[int, int]) -> None:
        """Note that the rows of *ids* were written, which then had *marks*; those without one are gone."""

    def rest(self) -> None:
        """Let go of what can be read again."""

    def forget(self) -> None:
        """Forget everything: it is another database."""

    async def token(self) -> Token | None:
        """Return a token of what this object last looked at or wrote; None if others have written since."""

    async def unchanged_since(self, token: Token) -> bool:
        """Say whether the database surely is as it was when *token* was given."""

    async def resume(self, token: Token) -> bool:
        """See `ResumedStore.resume`; called only if this resumes."""


class Database(Protocol):
    """A database that has Sumatra's tables, or may be given them."""

    @property
    def kind(self) -> str:
        """The kind of database in one word, for people."""

    @property
    def batch(self) -> int:
        """How many records a transaction may write, so that others need not wait for long."""

    @property
    def obstacle(self) -> str:
        """Why nothing can be written to it, as a sentence for a person; empty: it can. Known after a look."""

    @property
    def polite(self) -> bool:
        """Writing again at once starves others: leave the lock alone for as long as it was held."""

    @property
    def generation(self) -> int:
        """Grows whenever another database is found at the place: what was learned of the old one is void."""

    #: What a driver raises of one record that the tables cannot hold.
    refusals: tuple[type[Exception], ...]

    def session(self) -> AbstractAsyncContextManager[DatabaseConnection | None]:
        """Give a connection for a while, or None while there are no tables yet that `create` may make.

        Raises StoreRefused for a schema that is not that of Sumatra 0.8.1, StoreUnreachable.
        """

    def row_tracker(self, ids: RowIds) -> RowTracker:
        """Return a new view of the tables, for one store object, which shares *ids*."""

    async def create(self) -> None:
        """Make the tables if there are none, where a first write may do that."""

    async def flush(self) -> None:
        """See `Store.flush`."""

    def fitted(self, key: Key, columns: Columns) -> Columns:
        """Return *columns* as the tables will give them back. Raises RecordUnusable for what does not fit."""

    async def clashing(self, db: DatabaseConnection, keys: Collection[Key]) -> Mapping[Key, str]:
        """Return those of *keys* that the database takes for others that it has, with the reason."""

    def translated(self, exc: Exception) -> StoreError | None:
        """Return what *exc*, raised by the driver, means (None: it is not of the driver)."""


class Translator(Protocol):
    """What knows the errors of a driver."""

    def translated(self, exc: Exception) -> StoreError | None:
        """See `Database.translated`."""


@contextmanager
def translating(database: Translator) -> Iterator[None]:
    """Turn what the driver of *database* says into errors of ours."""
    try:
        yield
    except Exception as exc:
        if (translated := database.translated(exc)) is None:
            raise
        raise translated from exc
