"""A table with an unknown column, as a later Sumatra may have it."""

from __future__ import annotations

from pathlib import Path

import pytest

from smtd.errors import StoreRefused
from tests.build import record
from tests.servers.fixtures import SERVERS
from tests.servers.place import place_of
from tests.stores.asking import scan_of
from tests.stores.places import DjangoPlace


@pytest.fixture(params=["sqlite", *SERVERS])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> DjangoPlace:
    """A store of each kind that is a database."""
    if request.param == "sqlite":
        return DjangoPlace(tmp_path / "records")
    return place_of(request.getfixturevalue(f"{request.param}_database"))


async def test_unknown_column_is_reported(place: DjangoPlace) -> None:
    """Otherwise its values would be missing in every copy, unnoticed."""
    await place.put(record("a"))
    for table in ("record", "executable", "dependency"):  # the first one in the alphabet is reported
        place.run(f"ALTER TABLE django_store_{table} ADD COLUMN mood varchar(10)")

        with pytest.raises(StoreRefused, match=f"django_store_{table} has the column 'mood'.*use an smtd"):
            await scan_of(place)
