"""Fixtures of a server of smtd's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.server.served import Client, Served, serving


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A server with a new store."""
    async with serving(tmp_path) as server:
        yield server


@pytest.fixture
async def ada(served: Served) -> Client:
    """The owner of the project of most tests."""
    client = served.ada
    assert (await client.make()).status == 201
    return client
