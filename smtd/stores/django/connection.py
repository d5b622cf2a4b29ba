"""The interface of a connection to the tables, for every kind of database.

Statements have `?` for a value and `"name"` for a name; each dialect translates them. Times are passed and
returned as text, as `rows.moment` writes them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol, TypeAlias, TypeVar

from anyio import CancelScope

Row: TypeAlias = tuple[Any, ...]
T = TypeVar("T")


class DatabaseConnection(Protocol):
    """A connection for whole statements; outside `reading` and `writing` each is its own transaction."""

    @property
    def exclusive(self) -> bool:
        """Whether no other client can insert now, so that below a visible row all rows are visible."""

    @property
    def for_update(self) -> str:
        """The end of a query that locks records: until the commit no other client can change or add any."""

    @property
    def for_share(self) -> str:
        """The end of a query that keeps other clients from adding to rows until the transaction ends."""

    def collation_key(self, table: str) -> Callable[[str], str] | None:
        """Return what maps texts that *table* treats as equal to one (None: it compares them exactly)."""

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Return all rows of one query; ask for no more than fits in memory."""

    async def fetch_each(self, queries: Sequence[tuple[str, Sequence[Any]]]) -> list[list[Row]]:
        """Return all rows of each query, one after the other."""

    async def value(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """Return the first column of the first row, or None if there is no row."""

    async def run(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """Run one statement."""

    async def run_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement for each of *rows*; rows that it inserts get ids in their order."""

    async def at_once(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run *work*, which awaits only this connection, and return its result; it may cost less at once."""

    async def release(self) -> None:
        """Free the memory for what was read."""

    def reading(self) -> AbstractAsyncContextManager[None]:
        """Read one snapshot inside the block. Keep it short: it is shielded from cancellation."""

    def writing(self) -> AbstractAsyncContextManager[None]:
        """Commit everything that is done inside the block, or nothing, with all other writers kept out.

        Shielded from cancellation once it has begun: await nothing inside but this connection.
        """


class ServerLink(DatabaseConnection):
    """A connection to a server, which runs one statement after the other; *raw* is that of the driver.

    A cancelled statement still runs to its end, or until it times out.
    """

    exclusive = False

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    @property
    @abstractmethod
    def is_closed(self) -> bool:
        """Whether it is of no use any more."""

    @abstractmethod
    async def close(self) -> None:
        """Close it; this takes a few seconds at most."""

    @abstractmethod
    def creating_tables(self) -> AbstractAsyncContextManager[None]:
        """Keep others of smtd's from making tables inside the block."""

    async def fetch_each(self, queries: Sequence[tuple[str, Sequence[Any]]]) -> list[list[Row]]:
        return [await self.fetch(sql, parameters) for sql, parameters in queries]

    async def at_once(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return await work()

    async def value(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        rows = await self.fetch(sql, parameters)
        return rows[0][0] if rows else None

    async def release(self) -> None:
        """Do nothing: the server keeps what was read."""

    @asynccontextmanager
    async def _transaction(self, begin: Callable[[], Awaitable[Any]]) -> AsyncIterator[None]:
        with CancelScope(shield=True):
            try:
                await begin()
                yield
                await self.run("COMMIT")
            except BaseException:
                await self._roll_back()
                raise

    @abstractmethod
    async def _roll_back(self) -> None:
        """Roll back the transaction; if that fails, close the connection."""
