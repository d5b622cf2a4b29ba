"""Database servers as the tests see them: databases that come and go, and whatever another program does."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
USER, PASSWORD = "smt", "pw-of-smt"
#: The database that new ones are copies of: it has Sumatra's tables.
TEMPLATE = "smtd_template"

Statement = tuple[str, Sequence[Any]]


class Ask(Protocol):
    """Runs statements in a database by a connection of its own."""

    async def __call__(self, port: int, database: str, statements: Sequence[Statement]) -> list[Any]:
        """Return the rows of the last statement."""


@dataclass
class DatabaseServer:
    """A server at *port* of this machine; *scheme* is that of Sumatra's addresses of it.

    It speaks TLS too, to whoever asks for it; *authority* is the file that vouches for it.
    """

    scheme: str
    port: int
    authority: Path
    ask: Ask
    #: Makes a new database from the template, or an empty one.
    making: Callable[[str, bool], list[Statement]]
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def new(self, *, empty: bool = False) -> Database:
        """Return a new database, with Sumatra's tables unless it is to be *empty*."""
        name = f"lab_{next(self._numbers)}"
        elsewhere(self.ask(self.port, "", self.making(name, empty)))
        return Database(self, name)


@dataclass(frozen=True)
class Database:
    """One database of *server*."""

    server: DatabaseServer
    name: str

    @property
    def url(self) -> str:
        """Its address, as it stands in `.smt/project`."""
        server = self.server
        return f"{server.scheme}://{USER}:{PASSWORD}@127.0.0.1:{server.port}/{self.name}"

    @property
    def shown(self) -> str:
        """Its address without the user."""
        return self.url.replace(f"{USER}:{PASSWORD}@", "")

    def run(self, statement: str, *values: Any) -> list[Any]:
        """Run one statement, with `?` for each of *values*, as another program would; return its rows."""
        return self.run_all((statement, values))

    def run_all(self, *statements: Statement) -> list[Any]:
        """Run statements one after the other by one connection; return the rows of the last."""
        return elsewhere(self.server.ask(self.server.port, self.name, statements))


def elsewhere(work: Awaitable[T]) -> T:
    """Return what *work* returns, done in an event loop of another thread, as by another program."""

    async def done() -> T:
        return await work

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, done()).result()
