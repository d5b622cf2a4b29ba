"""A shelf in the three files of dbm.dumb keeps the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from smtd.stores.shelf import loaded
from tests.stores.contract import ResumedContract
from tests.stores.places import Place, dumb_place
from tests.stores.resting import RestingPlace


class TestShelfOnDumb(ResumedContract):
    """The contract, kept by dbm.dumb."""

    # Each of 30 steps starts processes.
    write_interrupted_at_every = 2

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return dumb_place(tmp_path / "records")


class TestShelfThatRests(ResumedContract):
    """The contract, kept by a shelf that keeps nothing between two calls: as large ones do between cycles."""

    look_interrupted_at_every = 3
    write_interrupted_at_every = 5

    @pytest.fixture
    def place(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
        monkeypatch.setattr(loaded, "LARGE_AT_REST", 0)
        return RestingPlace(dumb_place(tmp_path / "records"))
