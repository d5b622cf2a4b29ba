"""Fixtures of most tests of the daemon."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from smtd.daemon.worker import Worker
from smtd.merge.sides import Both
from smtd.stores.location import Location
from tests.build import full
from tests.daemon.sqlite_stores import put
from tests.daemon.working import two_files, working


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """An SQLite store with the record "run"."""
    put(tmp_path / "left.sqlite", full("run"))
    return tmp_path / "left.sqlite"


@pytest.fixture
def right(tmp_path: Path) -> Path:
    """A store that does not exist yet."""
    return tmp_path / "right.sqlite"


@pytest.fixture
async def locations(tmp_path: Path) -> Both[Location]:
    """A file with the record "run", and one that does not exist yet."""
    return await two_files(tmp_path)


@pytest.fixture
async def worker(locations: Both[Location], tmp_path: Path) -> AsyncIterator[Worker]:
    """A worker of the two after its first cycle."""
    async with working(locations, tmp_path) as made:
        yield made
