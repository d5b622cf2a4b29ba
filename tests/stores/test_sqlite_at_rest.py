"""What a store in an SQLite file keeps in memory after a read."""

from __future__ import annotations

import gc
from typing import Any, cast

import pytest

from smtd import pairing
from smtd.engine.pair import Policy
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both
from smtd.sqlite import Connection
from smtd.stores.django.ids import REORDER_WINDOW
from smtd.stores.django.reader import EncodedRow
from smtd.stores.django.sqlite_store import SqliteStore
from tests.build import key, record
from tests.stores.places import DjangoPlace

LABELS = [f"run-{number}" for number in range(20)]


async def test_rows_are_released_at_rest(tmp_path: Any) -> None:
    """The thread of the connection would keep its last result until its next call."""
    place = DjangoPlace(tmp_path / "records.sqlite")
    await place.put(*map(record, LABELS))
    async with place.open() as store:
        assert len(await store.read(list(map(key, LABELS)))) == len(LABELS)
        store.rest()
        gc.collect()

        assert not [one for one in gc.get_objects() if isinstance(one, EncodedRow)]


async def test_pages_are_released_after_a_cycle(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each connection would keep two megabytes of them."""
    places = Both(DjangoPlace(tmp_path / "left.sqlite"), DjangoPlace(tmp_path / "right.sqlite"))
    await places.left.put(*map(record, LABELS))
    holding: set[Connection] = set()
    fetch_each, run = Connection.fetch_each, Connection.run

    async def noted_fetch(db: Connection, queries: Any) -> Any:
        if any("django_store_record r" in sql for sql, _ in queries):
            holding.add(db)
        return await fetch_each(db, queries)

    async def noted_run(db: Connection, sql: str, parameters: Any = ()) -> int:
        if sql == "PRAGMA shrink_memory":
            holding.discard(db)
        return await run(db, sql, parameters)

    monkeypatch.setattr(Connection, "fetch_each", noted_fetch)
    monkeypatch.setattr(Connection, "run", noted_run)
    locations = places.map(lambda place: place.location)
    async with open_journal(tmp_path / "state") as journal, pairing.open_stores(locations) as stores:
        report = await pairing.sync(journal, "pair", locations, stores, Policy())
        assert (report.ok, report.right.created) == (True, len(LABELS))

        assert not holding


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
