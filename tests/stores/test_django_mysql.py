"""A database of MariaDB in Sumatra's Django schema keeps the contract."""

from __future__ import annotations

import pytest

from tests.servers.place import MysqlPlace
from tests.servers.server import Database
from tests.stores.contract import StoreContract
from tests.stores.places import Place


class TestDjangoInMariadb(StoreContract):
    """The contract, kept by a server."""

    # Each step opens a connection.
    look_interrupted_at_every = 3
    write_interrupted_at_every = 3

    @pytest.fixture
    def place(self, mariadb_database: Database) -> Place:
        return MysqlPlace(mariadb_database)
