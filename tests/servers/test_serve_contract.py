"""smtd against its own server on PostgreSQL: the contract of a store, by the feed and as an old client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.process import ServerProcess
from tests.servers.served import RemoteFollowedPlace, RemoteServedPlace, new_store, served
from tests.servers.server import Database, DatabaseServer
from tests.stores.contract import ResumedContract, SilentContract
from tests.stores.samples import ALL, GROUPS


@pytest.fixture(scope="module")
def shared(
    postgresql_server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ServerProcess, Database]]:
    """A server that all tests here share, and its database."""
    database = new_store(postgresql_server)
    with served(tmp_path_factory.mktemp("server"), database) as (server,):
        yield server, database


@pytest.mark.halved
class TestFeedStore(ResumedContract):
    """The contract, kept by a client that follows the feed."""

    tried_at_every = 3
    every_sort = ALL[::4]
    look_interrupted_at_every = 3
    write_interrupted_at_every = 30
    many = 40

    @pytest.fixture
    def place(self, shared: tuple[ServerProcess, Database]) -> RemoteFollowedPlace:
        made = RemoteFollowedPlace(*shared)
        made.clear()
        return made


@pytest.mark.soak
@pytest.mark.usefixtures("plain_client")
@pytest.mark.halved
class TestServedStore(SilentContract):
    """The contract, kept by a client that knows no feed, and trusts nothing to be atomic."""

    every_sort = ALL[::4]
    write_interrupted_at_every = 30
    many = 40

    # Old clients cannot name most of the others, or PostgreSQL cannot hold them.
    groups = sorted(GROUPS.keys() - {"texts of all sorts"})

    @pytest.fixture
    def place(self, shared: tuple[ServerProcess, Database]) -> RemoteServedPlace:
        made = RemoteServedPlace(*shared)
        made.clear()
        return made
