"""The contract for stores on this machine; those that need other programs join it where they are tested."""

from __future__ import annotations

from pathlib import Path

import pytest

from smtd.stores.shelf import loaded
from tests.stores.contract import ReadContract, ResumedContract
from tests.stores.old_place import OldPlace
from tests.stores.places import DjangoPlace, MemoryPlace, Place, dumb_place, sqlite3_place
from tests.stores.resting import RestingPlace


class TestMemoryStore(ResumedContract):
    """The contract for the store in memory, which is the reference."""

    @pytest.fixture
    def place(self) -> Place:
        return MemoryPlace()


class TestDjangoInSqlite(ResumedContract):
    """The contract for an SQLite file in Sumatra's Django schema."""

    # There are 170 steps, most of them two waits for one statement.
    write_interrupted_at_every = 3

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return DjangoPlace(tmp_path / "records")


class TestShelfOnDumb(ResumedContract):
    """The contract for a shelf in the three files of dbm.dumb."""

    # Each of 30 steps starts processes.
    write_interrupted_at_every = 2

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return dumb_place(tmp_path / "records")


@pytest.mark.halved
class TestShelfThatRests(ResumedContract):
    """The contract for a shelf that keeps nothing between two calls, as large ones between cycles."""

    look_interrupted_at_every = 3
    write_interrupted_at_every = 5
    tried_at_every = 5

    @pytest.fixture
    def place(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
        monkeypatch.setattr(loaded, "LARGE_AT_REST", 0)
        return RestingPlace(dumb_place(tmp_path / "records"))


@pytest.mark.halved
class TestShelfOnSqlite3(ResumedContract):
    """The contract for a shelf in the file of dbm.sqlite3."""

    # All steps but the last are those of the shelf on dbm.dumb.
    look_interrupted_at_every = 4
    write_interrupted_at_every = 6
    tried_at_every = 5

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return sqlite3_place(tmp_path / "records")


class TestOldDatabase(ReadContract):
    """The contract for a database of Sumatra 0.7, which is read-only."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return OldPlace(tmp_path / "old" / "records")
