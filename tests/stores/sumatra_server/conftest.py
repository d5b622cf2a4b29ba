"""Fixtures for the tests with a real Sumatra Server."""

from __future__ import annotations

import pytest

from tests.peers.server import SumatraServer
from tests.stores.server_place import ServerPlace


@pytest.fixture
def place(server: SumatraServer) -> ServerPlace:
    """ada's view of a server without records."""
    return ServerPlace(server)


@pytest.fixture(autouse=True)
def always_plain(plain_client: None) -> None:
    """These tests are about what a client does with a Sumatra Server."""
