"""The contract for a PostgreSQL database in Sumatra's Django schema."""

from __future__ import annotations

import pytest

from tests.servers.place import PostgresqlPlace, emptied
from tests.servers.server import DatabaseServer
from tests.stores.contract import StoreContract
from tests.stores.places import Place


@pytest.mark.halved
class TestDjangoInPostgresql(StoreContract):
    """The contract for a server."""

    # Each step opens a connection.
    look_interrupted_at_every = 5
    write_interrupted_at_every = 7

    @pytest.fixture
    def place(self, postgresql_server: DatabaseServer) -> Place:
        return PostgresqlPlace(emptied(postgresql_server))
