"""Two servers of one PostgreSQL database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.process import ServerProcess
from tests.servers.served import new_store, served
from tests.servers.server import Database, DatabaseServer


@pytest.fixture
def database(postgresql_server: DatabaseServer) -> Database:
    """An empty database."""
    return new_store(postgresql_server)


@pytest.fixture
def servers(tmp_path: Path, database: Database) -> Iterator[list[ServerProcess]]:
    """Two processes that serve it."""
    with served(tmp_path / "servers", database, 2) as found:
        yield found
