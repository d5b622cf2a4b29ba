"""Database servers for the tests: their databases, and what other programs do."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
USER, PASSWORD = "smt", "pw-of-smt"
#: The template of new databases: it has Sumatra's tables.
TEMPLATE = "smtd_template"

Statement = tuple[str, Sequence[Any]]


class Connection(Protocol):
    """A connection of another program to a database."""

    async def rows(self, statement: str, values: Sequence[Any]) -> list[Any]:
        """Run a statement, and return its rows."""

    async def close(self) -> None:
        """Close the connection."""


#: Connects to a database at a port.
Connect = Callable[[int, str], Coroutine[Any, Any, Connection]]


@dataclass
class DatabaseServer:
    """A server at *port* of this machine; *scheme* is that of Sumatra's addresses of it.

    It accepts TLS, too; *authority* is the file of its certificate authority.
    """

    scheme: str
    port: int
    authority: Path
    connect: Connect
    #: Creates a new database from the template, or an empty one.
    making: Callable[[str, bool], list[Statement]]
    #: Kill it, and start it again, where that can be had.
    crash: Callable[[], None] | None = None
    start: Callable[[], None] | None = None
    #: For `place.emptied`.
    shared: Database | None = None
    _numbers: Any = field(default_factory=lambda: itertools.count(1))
    _kept: tuple[str, Connection] | None = None

    def new(self, *, empty: bool = False) -> Database:
        """Return a new database with Sumatra's tables, or an *empty* one."""
        name = f"lab_{next(self._numbers)}"
        elsewhere(self.ask("", self.making(name, empty)))
        return Database(self, name)

    async def ask(self, database: str, statements: Sequence[Statement]) -> list[Any]:
        """Run *statements* by their own connection, and return the rows of the last."""
        db = await self.connect(self.port, database)
        try:
            rows: list[Any] = []
            for statement, values in statements:
                rows = await db.rows(statement, values)
            return rows
        finally:
            await db.close()

    async def ask_again(self, database: str, statement: str, values: Sequence[Any]) -> list[Any]:
        """Run a statement by the previous connection, if that was to the same database."""
        if self._kept is None or self._kept[0] != database:
            await self.part()
            self._kept = database, await self.connect(self.port, database)
        try:
            return await self._kept[1].rows(statement, values)
        except BaseException:
            await self.part()
            raise

    async def part(self) -> None:
        """Close the connection that was kept."""
        if self._kept is not None:
            (_, db), self._kept = self._kept, None
            await db.close()


@dataclass(frozen=True)
class Database:
    """One database of *server*."""

    server: DatabaseServer
    name: str

    @property
    def url(self) -> str:
        """The address, as in `.smt/project`."""
        server = self.server
        return f"{server.scheme}://{USER}:{PASSWORD}@127.0.0.1:{server.port}/{self.name}"

    @property
    def shown(self) -> str:
        """The address without the user."""
        return self.url.replace(f"{USER}:{PASSWORD}@", "")

    def run(self, statement: str, *values: Any) -> list[Any]:
        """Run one statement, with `?` for each of *values*, as another program would; return its rows."""
        return elsewhere(self.server.ask_again(self.name, statement, values))

    def run_all(self, *statements: Statement) -> list[Any]:
        """Run statements one after the other by one connection; return the rows of the last."""
        return elsewhere(self.server.ask(self.name, statements))


def elsewhere(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of *work*, run in the event loop of another thread, as by another program."""
    return asyncio.run_coroutine_threadsafe(work, _loop()).result()


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return loop
