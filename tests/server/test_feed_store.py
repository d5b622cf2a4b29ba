"""smtd against its own server: the contract of a store, with the feed and conditional writes in bulk."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from smtd.records.record import Record
from tests.server import other_digests
from tests.server.place import ServedPlace
from tests.server.process import ServerProcess, server_process
from tests.stores.contract import ResumedContract
from tests.stores.places import DjangoPlace
from tests.stores.samples import ALL


class FollowedPlace(ServedPlace):
    """What an admin sees of a server that tells of its changes."""

    unfit = DjangoPlace.unfit

    def fits(self, record: Record) -> bool:
        return DjangoPlace.fits(self, record)

    def kept(self, record: Record) -> Record:
        return DjangoPlace.kept(self, record)


@pytest.fixture(scope="module")
def later_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server whose smtd writes digests of another version; all tests here share it."""
    with server_process(tmp_path_factory.mktemp("later"), program=other_digests.PROGRAM) as server:
        yield server


class TestFeedStore(ResumedContract):
    """The contract, kept by a client that follows the feed."""

    every_sort = ALL[::5]
    tried_at_every = 3
    write_interrupted_at_every = 12
    many = 40
    look_interrupted_at_every = 3

    @pytest.fixture
    def place(self, shared_server: ServerProcess) -> FollowedPlace:
        made = FollowedPlace(shared_server)
        made.clear()
        return made


@pytest.mark.halved
class TestFeedStoreOfAnotherVersion(ResumedContract):
    """The same where the server's digests mean nothing to the client: it reads the records."""

    every_sort = ALL[::15]
    tried_at_every = 5
    write_interrupted_at_every = 40
    many = 12

    @pytest.fixture
    def place(self, later_server: ServerProcess) -> FollowedPlace:
        made = FollowedPlace(later_server)
        made.clear()
        return made
