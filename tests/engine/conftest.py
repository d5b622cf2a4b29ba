"""What most tests of the engine begin with."""

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
    """Let time go on by hand."""
    return stopped(monkeypatch)
