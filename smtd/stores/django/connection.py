"""What the tables are read and written through, whichever database they are in.

Statements are written once, with `?` for a value and `"name"` for a name; a dialect says them in its own
words. Times go in and come out as text, as `rows.moment` writes them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeAlias, TypeVar

Row: TypeAlias = tuple[Any, ...]
T = TypeVar("T")


class DatabaseConnection(Protocol):
    """A connection, for whole statements only; those outside `reading` and `writing` stand alone."""

    @property
    def orderly(self) -> bool:
        """Nobody else can insert now, so with a row all those of lower ids are seen too."""

    @property
    def for_update(self) -> str:
        """What ends a query for records that others shall not change, or add to, in the meantime."""

    @property
    def for_share(self) -> str:
        """What ends a query for rows that others shall not add to in the meantime."""

    def fold(self, table: str) -> Callable[[str], str] | None:
        """Return what makes texts alike that *table* takes for equal (None: only texts that are the same)."""

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Return all rows of one query; ask for no more than fits in memory."""

    async def fetch_each(self, queries: Sequence[tuple[str, Sequence[Any]]]) -> list[list[Row]]:
        """Return all rows of each query, one after the other."""

    async def value(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """Return the first column of the first row, or None if there is no row."""

    async def run(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """Run one statement."""

    async def run_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement for every one of *rows*; those that are inserted get ids in their order."""

    async def at_once(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return what *work* returns, which awaits nothing but this connection: it may cost less together."""

    async def release(self) -> None:
        """Let go of what is kept in memory of what was read."""

    def reading(self) -> AbstractAsyncContextManager[None]:
        """Let all that is read inside be of one moment. Keep it short: it is shielded."""

    def writing(self) -> AbstractAsyncContextManager[None]:
        """Commit what is done inside as one, or nothing of it, with all other writers kept out.

        Shielded from cancellation once it has begun: await nothing inside but this connection.
        """


class ServerConnection(ABC):
    """A connection to a server, which is asked one thing after the other."""

    @abstractmethod
    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """See `DatabaseConnection.fetch`."""

    async def fetch_each(self, queries: Sequence[tuple[str, Sequence[Any]]]) -> list[list[Row]]:
        return [await self.fetch(sql, parameters) for sql, parameters in queries]

    async def at_once(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return await work()

    async def value(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        rows = await self.fetch(sql, parameters)
        return rows[0][0] if rows else None

    async def release(self) -> None:  # noqa: B027 - nothing to do: the server keeps what was read
        pass
