"""Between two cycles the stores of a pair release what they can read again."""

from __future__ import annotations

import gc
from contextlib import suppress

import pytest

from smtd import pairing
from smtd.engine.pair import Policy
from smtd.errors import StoreUnreachable
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both
from smtd.stores.base import Change
from smtd.stores.wrapped import WrappedStore
from tests.build import record
from tests.stores.places import DjangoPlace, dumb_place


class NotingStore(WrappedStore):
    """Records its calls, and fails if it should."""

    def __init__(self, store, *, is_away=False):
        super().__init__(store)
        self.asked = []
        self._is_away = is_away

    def rest(self):
        self.asked.append("rest")
        super().rest()

    async def write(self, changes):
        self.asked.append("write")
        return await super().write(changes)

    async def _reading(self, call):
        self.asked.append("look")
        if self._is_away:
            raise StoreUnreachable("the store is away")
        return await call()


@pytest.fixture
async def synced(tmp_path):
    """A function that syncs a shelf of a hundred records with a new database, with such stores."""
    shelf, database = dumb_place(tmp_path / "shelf"), DjangoPlace(tmp_path / "records.sqlite")
    await shelf.put(*[record(f"rested-{number}") for number in range(100)])
    locations = Both(shelf.location, database.location)
    async with open_journal(tmp_path / "journal") as journal, pairing.open_stores(locations) as stores:

        async def sync(**right):
            noting = Both(NotingStore(stores.left), NotingStore(stores.right, **right))
            with suppress(StoreUnreachable):
                await pairing.sync(journal, "pair", locations, noting, Policy())
            return noting

        yield sync


@pytest.mark.parametrize("is_away", [False, True])
async def test_stores_rest_when_a_cycle_has_ended(synced, is_away):
    """Both of them, however it ended, and no call follows."""
    noting = await synced(is_away=is_away)

    assert ("write" in noting.right.asked) is not is_away
    for store in (noting.left, noting.right):
        assert store.asked[-1] == "rest"


async def test_last_written_batch_is_released(synced):
    """The database kept it for the read-back."""
    await synced()

    changes = [one for one in gc.get_objects() if isinstance(one, Change)]
    assert [one for one in changes if one.key.label.startswith("rested-")] == []
