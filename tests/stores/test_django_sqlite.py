"""An SQLite file in Sumatra's Django schema keeps the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stores.contract import ResumedContract
from tests.stores.places import DjangoPlace, Place


class TestDjangoInSqlite(ResumedContract):
    """The contract, kept by a database."""

    # There are 170 steps, most of them two waits for one statement.
    write_interrupted_at_every = 3

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return DjangoPlace(tmp_path / "records")
