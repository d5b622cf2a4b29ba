"""Databases on servers that smtd serves over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from smtd.records.record import Record
from smtd.stores.discovery import find
from smtd.stores.location import Location
from tests.build import record
from tests.server.place import ServedPlace, by_http
from tests.server.process import ServerProcess, server_process
from tests.servers.place import TOO_LONG, DatabasePlace, MysqlPlace, PostgresqlPlace
from tests.servers.process import free_port
from tests.servers.server import Database, DatabaseServer
from tests.stores.places import DjangoPlace

#: How many processes serve a database in tests that do not say: two, where several can.
COUNT = {"postgresql": 2, "mariadb": 1}


@contextmanager
def served(directory: Path, database: Database, count: int = 1) -> Iterator[list[ServerProcess]]:
    """Give *count* processes of `smtd serve` for *database*, which all have the same users."""
    directory.mkdir(exist_ok=True)
    with ExitStack() as stack:
        yield [
            # At the same port after each restart.
            stack.enter_context(server_process(directory / str(number), _listening(), database.url))
            for number in range(count)
        ]


def _listening() -> str:
    return f'[server]\nlisten = "127.0.0.1:{free_port()}"\n'


def new_store(server: DatabaseServer) -> Database:
    """Return an empty database: `smtd serve` makes the tables."""
    return server.new(empty=True)


class ServedMysqlPlace(MysqlPlace):
    """The tables that smtd serve made in MySQL or MariaDB: texts may differ in the case of a letter alone."""

    unfit = (*DjangoPlace.unfit, *TOO_LONG.values(), record("endless", duration=float("inf")))

    def fits(self, record: Record) -> bool:
        return record.duration != float("inf")


class _RemotePlace(ServedPlace, DatabasePlace):
    """What an admin sees of *server*, which serves *database*, as a client that knows no feed."""

    def __init__(self, server: ServerProcess, database: Database) -> None:
        DatabasePlace.__init__(self, database)
        self.location = by_http(server)

    @property
    def direct(self) -> Location:
        return find(self.database.url)

    def run(self, statement: str, *values: Any) -> list[Any]:
        return self.database.run(statement, *values)


class RemoteServedPlace(_RemotePlace, PostgresqlPlace):
    """What an admin sees of a server of PostgreSQL, as a client that knows no feed."""

    def fits(self, record: Record) -> bool:
        return ServedPlace.fits(self, record) and PostgresqlPlace.fits(self, record)


class RemoteFollowedPlace(RemoteServedPlace):
    """What an admin sees of such a server that tells of its changes."""

    unfit = PostgresqlPlace.unfit

    def fits(self, record: Record) -> bool:
        return PostgresqlPlace.fits(self, record)

    def kept(self, record: Record) -> Record:
        return DjangoPlace.kept(self, record)


class FollowedMysqlPlace(_RemotePlace, ServedMysqlPlace):
    """What an admin sees of a server of MySQL or MariaDB that tells of its changes."""

    unfit = ServedMysqlPlace.unfit

    def fits(self, record: Record) -> bool:
        return ServedMysqlPlace.fits(self, record)

    def kept(self, record: Record) -> Record:
        return DjangoPlace.kept(self, record)
