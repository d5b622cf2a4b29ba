"""A PostgreSQL database in Sumatra's Django schema keeps the contract."""

from __future__ import annotations

import pytest

from tests.servers.place import PostgresqlPlace
from tests.servers.server import Database
from tests.stores.contract import StoreContract
from tests.stores.places import Place


class TestDjangoInPostgresql(StoreContract):
    """The contract, kept by a server."""

    # Each step opens a connection.
    look_interrupted_at_every = 5
    write_interrupted_at_every = 7

    @pytest.fixture
    def place(self, postgresql_database: Database) -> Place:
        return PostgresqlPlace(postgresql_database)
