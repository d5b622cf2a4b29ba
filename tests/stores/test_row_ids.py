"""Which rows have a key, if no index of the journal has that."""

from __future__ import annotations

from typing import Any, cast

from smtd.sqlite import Connection
from smtd.stores.django.ids import REORDER_WINDOW
from smtd.stores.django.sqlite_store import SqliteStore
from tests.build import key, record
from tests.stores.places import DjangoPlace


async def test_rows_of_earlier_looks_are_known_after_a_rest(tmp_path: Any, monkeypatch: Any) -> None:
    """A look at a server reads only new rows, and no older ones."""
    place = DjangoPlace(tmp_path / "records.sqlite")
    await place.put(record("old"), record("new"))
    place.run(f"UPDATE django_store_record SET db_id = {3 * REORDER_WINDOW} WHERE label = 'new'")
    async with place.open() as opened:
        store = cast(SqliteStore, opened)
        await store.scan()
        await store.read([key("old")])
        monkeypatch.setattr(Connection, "exclusive", False)
        store.rest()
        store._ids.add(3 * REORDER_WINDOW, key("new"))

        assert (await store.read([key("old")])).keys() == {key("old")}
