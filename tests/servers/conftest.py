"""Processes that serve a database; modules say in `SERVER` on which server, if it is not PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.process import ServerProcess
from tests.servers.served import COUNT, new_store, served
from tests.servers.server import Database


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Database:
    """An empty database."""
    return new_store(request.getfixturevalue(getattr(request.module, "SERVER", "postgresql_server")))


@pytest.fixture
def servers(tmp_path: Path, database: Database) -> Iterator[list[ServerProcess]]:
    """The processes that serve it: two, where several can."""
    with served(tmp_path / "servers", database, COUNT[database.server.scheme]) as found:
        yield found
