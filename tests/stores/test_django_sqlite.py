"""An SQLite file in Sumatra's Django schema keeps the contract."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from smtd.errors import StoreRefused
from tests.build import record
from tests.stores.asking import scan_of
from tests.stores.contract import ResumedContract
from tests.stores.places import DjangoPlace, Place


class TestDjangoInSqlite(ResumedContract):
    """The contract, kept by a database."""

    # There are 170 steps, most of them two waits for one statement.
    write_interrupted_at_every = 3

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return DjangoPlace(tmp_path / "records")


@pytest.mark.parametrize("table", ["record", "executable", "dependency"])
async def test_column_that_would_not_be_carried_is_named(tmp_path: Path, table: str) -> None:
    """A later Sumatra may have it; what is in it would be missing in every copy, and nobody would know."""
    place = DjangoPlace(tmp_path / "records")
    await place.put(record("a"))
    with closing(sqlite3.connect(place.location.path)) as db:
        db.execute(f"ALTER TABLE django_store_{table} ADD COLUMN mood varchar(10)")

    with pytest.raises(StoreRefused, match=f"django_store_{table} has the column 'mood'.*use an smtd"):
        await scan_of(place)
