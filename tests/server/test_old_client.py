"""smtd against its own server as a plain Sumatra Server: the contract of a store, without the feed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.place import ServedPlace
from tests.server.process import ServerProcess, server_process
from tests.stores.contract import SilentContract
from tests.stores.samples import ALL


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that all tests here share."""
    with server_process(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.mark.usefixtures("plain_client")
@pytest.mark.halved
class TestServedStore(SilentContract):
    """The contract, kept by a client that trusts nothing to be atomic, on a server where all is."""

    # What the server makes of each sort is in test_record_form.py.
    every_sort = ALL[::4]
    tried_at_every = 3
    write_interrupted_at_every = 10
    many = 40
    look_interrupted_at_every = 3

    @pytest.fixture
    def place(self, shared_server: ServerProcess) -> ServedPlace:
        made = ServedPlace(shared_server)
        made.clear()
        return made
