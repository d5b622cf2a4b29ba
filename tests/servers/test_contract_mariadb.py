"""The contract for a database of MariaDB in Sumatra's Django schema."""

from __future__ import annotations

import pytest

from tests.servers.place import MysqlPlace, emptied
from tests.servers.server import DatabaseServer
from tests.stores.contract import StoreContract
from tests.stores.places import Place


@pytest.mark.halved
class TestDjangoInMariadb(StoreContract):
    """The contract for a server."""

    # Each step opens a connection.
    look_interrupted_at_every = 3
    write_interrupted_at_every = 3

    @pytest.fixture
    def place(self, mariadb_server: DatabaseServer) -> Place:
        return MysqlPlace(emptied(mariadb_server))
