"""A table with a column that smtd does not know, as a later Sumatra may have it."""

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


@pytest.mark.parametrize("table", ["record", "executable", "dependency"])
async def test_column_that_would_not_be_carried_is_named(place: DjangoPlace, table: str) -> None:
    """Else what is in it would be missing in every copy, and nobody would know."""
    await place.put(record("a"))
    place.run(f"ALTER TABLE django_store_{table} ADD COLUMN mood varchar(10)")

    with pytest.raises(StoreRefused, match=f"django_store_{table} has the column 'mood'.*use an smtd"):
        await scan_of(place)
