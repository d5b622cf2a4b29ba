"""The interface of a database of any kind, as the store uses it: the seam between the schema and a dialect.

Each database translates the errors of its own driver.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Protocol

from smtd.errors import StoreError
from smtd.records.record import Key
from smtd.stores.django.connection import DatabaseConnection
from smtd.stores.django.rows import Columns


class Database(Protocol):
    """A database that has Sumatra's tables, or may be given them."""

    @property
    def kind(self) -> str:
        """The kind of database in one word, for messages."""

    @property
    def batch(self) -> int:
        """The most records that one transaction may write, so that other programs do not wait long."""

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


@contextmanager
def translating_errors(database: Database) -> Iterator[None]:
    """Translate errors that the driver of *database* raises in the block into smtd's own."""
    try:
        yield
    except Exception as exc:
        if (store_error := database.store_error(exc)) is None:
            raise
        raise store_error from exc
