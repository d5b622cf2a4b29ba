"""What one change costs where a store is a shelf: one read of the file, and one rewrite if it changes."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager

import anyio
import pytest

from smtd import pairing
from smtd.engine.memory import Memory
from smtd.engine.pair import Policy
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both
from smtd.signature import SETTLE
from smtd.stores.shelf.dumb import DumbFile
from tests.build import commented, record
from tests.stores.places import DjangoPlace, dumb_place


@pytest.fixture
def calls(monkeypatch):
    """How often a shelf is read whole, and written."""
    found: Counter[str] = Counter()

    def counted(name):
        real = getattr(DumbFile, name)

        def call(file, *values):
            found[name] += 1
            return real(file, *values)

        monkeypatch.setattr(DumbFile, name, call)

    counted("read")
    counted("replace")
    return found


@asynccontextmanager
async def mirrored(directory, left, right):
    """Give what runs a cycle of the pair of places, whose stores stay open."""
    locations, memory = Both(left.location, right.location), Memory()
    async with open_journal(directory / "journal") as journal, pairing.open_stores(locations) as stores:

        async def cycle():
            await anyio.sleep(4 * SETTLE)  # until nobody has written for a moment
            policy = Policy(insist=False)
            return await pairing.sync(journal, "pair", locations, stores, policy, memory=memory)

        yield cycle


async def test_shelf_is_read_once_and_written_once(tmp_path, calls):
    """For a change of either side, however many records it has."""
    shelf, database = dumb_place(tmp_path / "shelf"), DjangoPlace(tmp_path / "records.sqlite")
    made = [record(f"run-{number:03}") for number in range(200)]
    await shelf.put(*made)
    await database.put(*made)
    async with mirrored(tmp_path, shelf, database) as cycle:
        assert (await cycle()).ok
        assert (await cycle()).ok

        await database.put(commented(made[7], "seen"))
        calls.clear()
        to_shelf = await cycle()
        assert (to_shelf.left.updated, dict(calls)) == (1, {"read": 1, "replace": 1})

        await shelf.put(commented(made[8], "seen"))
        calls.clear()
        to_database = await cycle()
        assert (to_database.right.updated, dict(calls)) == (1, {"read": 1})
