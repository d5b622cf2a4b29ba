"""What the tests with a real Sumatra Server share."""

from __future__ import annotations

import pytest

from tests.peers.server import SumatraServer
from tests.stores.server_place import ServerPlace


@pytest.fixture
def place(server: SumatraServer) -> ServerPlace:
    """What ada sees of a server without any records."""
    return ServerPlace(server)


@pytest.fixture(autouse=True)
def always_plain(plain_client: None) -> None:
    """These tests are about what a client does with a Sumatra Server."""
