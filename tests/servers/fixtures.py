"""Fixtures for `pytest_plugins = ["tests.servers.fixtures"]`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.mariadb import mariadb
from tests.servers.postgresql import postgresql
from tests.servers.programs import lacking
from tests.servers.server import Database, DatabaseServer

#: The servers that this machine has.
SERVERS = [scheme for scheme in ("postgresql", "mariadb") if scheme not in lacking()]


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[DatabaseServer]:
    """A server of PostgreSQL that all tests share."""
    with postgresql() as server:
        yield server


@pytest.fixture
def postgresql_database(postgresql_server: DatabaseServer) -> Database:
    """A database with Sumatra's tables, without records."""
    return postgresql_server.new()


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[DatabaseServer]:
    """A server of MariaDB that all tests share."""
    with mariadb() as server:
        yield server


@pytest.fixture
def mariadb_database(mariadb_server: DatabaseServer) -> Database:
    """A database with Sumatra's tables, without records."""
    return mariadb_server.new()


@pytest.fixture(params=SERVERS)
def database_server(request: pytest.FixtureRequest) -> DatabaseServer:
    """Each of the servers in turn."""
    found: DatabaseServer = request.getfixturevalue(f"{request.param}_server")
    return found
