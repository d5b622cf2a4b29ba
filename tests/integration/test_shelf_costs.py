"""What one change in a shelf costs: one read of the file, and one rewrite if it changes."""

from __future__ import annotations

import dbm.dumb
from collections import Counter
from contextlib import asynccontextmanager

import anyio
import pytest

from smtd import pairing
from smtd.engine.pair import Policy
from smtd.filestat import SETTLE
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both
from smtd.stores.base import DONE, Change
from smtd.stores.shelf import child, child_requests, messages
from smtd.stores.shelf import steps as steps_of
from smtd.stores.shelf.dumb import DumbFile
from tests.build import commented, key, record
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
    """Yield a function that runs a cycle of the pair of places, whose stores stay open."""
    locations = Both(left.location, right.location)
    async with open_journal(directory / "journal") as journal, pairing.open_stores(locations) as stores:

        async def cycle():
            await anyio.sleep(4 * SETTLE)  # until no program has written for a moment
            policy = Policy(force_retry=False)
            return await pairing.sync(journal, "pair", locations, stores, policy)

        yield cycle


async def test_shelf_is_read_once_for_each_step(tmp_path, calls):
    """To see changes, or to write and read back, however many records it has."""
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
        assert (to_shelf.left.updated, dict(calls)) == (1, {"read": 2, "replace": 1})

        await shelf.put(commented(made[8], "seen"))
        calls.clear()
        to_database = await cycle()
        assert (to_database.right.updated, dict(calls)) == (1, {"read": 1})


@pytest.fixture
def asked(monkeypatch):
    """The labels that child processes had to read (None: all records)."""
    found = []
    real = child.ask

    async def ask(request, *expected, **words):
        if isinstance(request, messages.Read):
            found.append(request.labels)
        return await real(request, *expected, **words)

    monkeypatch.setattr(child, "ask", ask)
    return found


async def test_records_of_an_unchanged_shelf_are_loaded_once(tmp_path, asked):
    """However often they are read, as loading many takes long."""
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


@pytest.fixture
def steps(monkeypatch):
    """How many child processes were started, and indexes written."""
    found: Counter[str] = Counter()
    run, write = child.run, DumbFile._write_index

    async def counted_run(*words):
        found["children"] += 1
        return await run(*words)

    def counted_write(*words):
        found["indexes"] += 1
        return write(*words)

    monkeypatch.setattr(child, "run", counted_run)
    monkeypatch.setattr(DumbFile, "_write_index", counted_write)
    return found


async def test_many_projects_cost_as_many_steps_as_two(tmp_path, steps):
    """They are written, and read back, together."""
    taken = []
    for count in (2, 60):
        shelf = dumb_place(tmp_path / str(count))
        changes = [Change(key("run", f"P{number}"), record("run"), None) for number in range(count)]
        async with shelf.open() as opened:
            steps.clear()
            await opened.scan()
            assert set(await opened.write(changes)) == {DONE}
            assert len(await opened.read([change.key for change in changes])) == count
            assert len((await opened.scan()).digests) == count
            assert await opened.token() is not None
        async with shelf.open() as opened:
            assert len((await opened.scan()).digests) == count
        taken.append(dict(steps))

    assert taken == [{"children": 4, "indexes": 1}] * 2


async def test_projects_are_written_in_steps_of_limited_size(tmp_path, steps, monkeypatch):
    """So that memory does not grow with the number of writes."""
    monkeypatch.setattr(steps_of, "BATCH", 1)
    changes = [Change(key("run", f"P{number}"), record("run"), None) for number in range(3)]
    async with dumb_place(tmp_path / "shelf").open() as opened:
        assert set(await opened.write(changes)) == {DONE}

    assert steps["indexes"] == 3


async def test_projects_are_loaded_in_steps_of_limited_size(tmp_path, steps, monkeypatch):
    """So that no process needs more memory than for a project of that size."""
    shelf = dumb_place(tmp_path / "shelf")
    for number in range(6):
        await shelf.put(record("run"), project=f"P{number}")
    with dbm.dumb.open(str(shelf.location.path), "r") as file:
        size = max(len(file[name]) for name in file)
    monkeypatch.setattr(child_requests, "LARGE", 2 * (-(-size // 512) * 512) + 1)
    async with shelf.open() as opened:
        steps.clear()
        assert len((await opened.scan()).digests) == 6

    assert steps["children"] == 3
