"""Fixtures of most tests of the engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.servers import Clock, stopped
from tests.engine.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two empty stores that have never been synced."""
    return World(tmp_path)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock of the test, which moves only when the test moves it."""
    return stopped(monkeypatch)
