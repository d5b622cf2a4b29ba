"""smtd against its own server on MariaDB: the contract of a store, by the feed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.process import ServerProcess
from tests.servers.served import FollowedMysqlPlace, new_store, served
from tests.servers.server import Database, DatabaseServer
from tests.stores.contract import ResumedContract
from tests.stores.samples import ALL

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shared(
    mariadb_server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ServerProcess, Database]]:
    """A server that all tests here share, and its database."""
    database = new_store(mariadb_server)
    with served(tmp_path_factory.mktemp("server"), database) as (server,):
        yield server, database


class TestFeedStore(ResumedContract):
    """The contract, kept by a client that follows the feed."""

    tried_at_every = 6
    every_sort = ALL[::8]
    write_interrupted_at_every = 60
    many = 20

    @pytest.fixture
    def place(self, shared: tuple[ServerProcess, Database]) -> FollowedMysqlPlace:
        made = FollowedMysqlPlace(*shared)
        made.clear()
        return made
