"""A table with a column that smtd does not know, as a later Sumatra may have it."""

from __future__ import annotations

import pytest

from smtd.errors import StoreRefused
from tests.build import record
from tests.servers.place import place_of
from tests.servers.server import DatabaseServer
from tests.stores.asking import scan_of


@pytest.mark.parametrize("table", ["record", "executable", "dependency"])
async def test_column_that_would_not_be_carried_is_named(database_server: DatabaseServer, table: str) -> None:
    """Else what is in it would be missing in every copy, and nobody would know."""
    place = place_of(database_server.new())
    await place.put(record("a"))
    place.run(f"ALTER TABLE django_store_{table} ADD COLUMN mood varchar(10)")

    with pytest.raises(StoreRefused, match=f"django_store_{table} has the column 'mood'.*use an smtd"):
        await scan_of(place)
