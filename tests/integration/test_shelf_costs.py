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
from smtd.records import canonical
from smtd.signature import SETTLE
from smtd.stores.base import DONE, LARGE_AT_REST, STALE, Change
from smtd.stores.shelf import child, messages, store
from smtd.stores.shelf.dumb import DumbFile
from tests.build import commented, key, record
from tests.stores.contract import create, delete, replace
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


@pytest.mark.parametrize(("kept", "reads"), [(LARGE_AT_REST, 1), (0, 2)])
async def test_shelf_is_read_once_and_written_once(tmp_path, calls, monkeypatch, kept, reads):
    """For a change of either side, however many records it has; a large one is read once more to write it."""
    monkeypatch.setattr(store, "LARGE_AT_REST", kept)
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
        assert (to_shelf.left.updated, dict(calls)) == (1, {"read": reads, "replace": 1})

        await shelf.put(commented(made[8], "seen"))
        calls.clear()
        to_database = await cycle()
        assert (to_database.right.updated, dict(calls)) == (1, {"read": 1})


@pytest.fixture
def asked(monkeypatch):
    """The labels that child processes were asked for (None: all records)."""
    found = []
    real = child.ask

    async def ask(request, *expected, **words):
        if isinstance(request, messages.Read):
            found.append(request.labels)
        return await real(request, *expected, **words)

    monkeypatch.setattr(child, "ask", ask)
    return found


async def test_records_of_a_shelf_that_is_as_it_was_are_loaded_once(tmp_path, asked):
    """However often they are read: it takes long where there are many."""
    shelf = dumb_place(tmp_path / "shelf")
    await shelf.put(*[record(f"run-{number}") for number in range(5)])
    asked.clear()
    async with shelf.open() as opened:
        for labels in (["run-1"], ["run-1"], ["run-2", "run-1"], ["run-2"], ["nowhere"], ["nowhere"]):
            found = await opened.read([key(label) for label in labels])
            assert {one.label for one in found} == set(labels) - {"nowhere"}
        assert [sorted(labels) for labels in asked] == [["run-1"], ["run-1", "run-2"], ["nowhere"]]

        await opened.scan()
        await opened.read([key("run-3")])
        assert asked[3:] == [None]

        await shelf.put(commented(record("run-1"), "seen"))
        (one,) = (await opened.read([key("run-1")])).values()
        assert one.outcome == "seen"


async def test_scan_loads_only_what_was_written_since_the_last_one(tmp_path, asked):
    """Nothing if nobody wrote, and by others anything."""
    shelf = dumb_place(tmp_path / "shelf")
    old = [record(f"run-{number}") for number in range(5)]
    await shelf.put(*old)
    async with shelf.open() as opened:
        first = dict((await opened.scan()).digests)
        assert (await opened.scan()).digests == first
        assert asked == [None]

        edited = commented(old[1], "seen")
        stale = Change(key("run-3"), None, b"another")
        changes = [create(record("new")), replace(old[1], edited), delete(old[2]), stale]
        assert await opened.write(changes) == [DONE, DONE, DONE, STALE]
        digests = dict((await opened.scan()).digests)
        assert [labels and sorted(labels) for labels in asked] == [None, ["new", "run-1", "run-2", "run-3"]]
        assert digests[key("run-1")] == canonical.digest(edited)
        assert {of.label for of in digests} == {"new", "run-0", "run-1", "run-3", "run-4"}

        await shelf.put(commented(old[4], "by others"))
        assert (await opened.scan()).digests != digests
        assert asked[2:] == [None]
