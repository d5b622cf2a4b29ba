"""One process after another syncs a pair: each looks only at changed sides."""

from __future__ import annotations

import os
import shutil

import anyio
import pytest

from smtd import pairing
from smtd.engine.pair import Policy
from smtd.filestat import SETTLE
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both, Side
from smtd.stores.django.sqlite_store import SqliteStore
from smtd.stores.shelf.store import ShelfStore
from tests.build import RUNNING, change, commented, key, record, tagged
from tests.stores.places import DjangoPlace, dumb_place

pytestmark = pytest.mark.halved

MADE = [record(f"run-{number}") for number in range(30)]


@pytest.fixture
def looked_at(monkeypatch):
    """The list of locations of stores that were looked at as a whole."""
    found = []

    def noting(kind):
        real = kind.scan

        async def scan(store, projects=None):
            found.append(store.location)
            return await real(store, projects)

        monkeypatch.setattr(kind, "scan", scan)

    def tracking(real):
        async def track(store, *words, **more):
            found.append(store.location)
            return await real(store, *words, **more)

        monkeypatch.setattr(SqliteStore, "track", track)

    tracking(SqliteStore.track)
    noting(ShelfStore)
    return found


def database(directory):
    directory.mkdir()
    return DjangoPlace(directory / "records.sqlite")


def shelf(directory):
    return dumb_place(directory)


async def process(directory, left, right, **policy):
    """Sync as a process that has only what is on the disk."""
    await anyio.sleep(4 * SETTLE)  # until no program has written for a moment
    locations = Both(left.location, right.location)
    async with open_journal(directory / "journal") as journal, pairing.open_stores(locations) as stores:
        return await pairing.sync(journal, "pair", locations, stores, Policy(**policy))


async def held(place):
    """Return the contents of the store at *place*."""
    async with place.open() as store:
        return dict((await store.scan()).digests)


@pytest.mark.parametrize("left_kind", [shelf, database])
@pytest.mark.parametrize("right_kind", [shelf, database])
async def test_only_the_changed_side_is_looked_at(tmp_path, looked_at, left_kind, right_kind):
    left, right = left_kind(tmp_path / "left"), right_kind(tmp_path / "right")
    await left.put(*MADE)
    await right.put(*MADE)
    assert (await process(tmp_path, left, right)).ok
    names = [str(place.location) for place in (left, right)]

    await left.put(commented(MADE[3], "seen"), record("new"))
    await left.remove("run-4")
    looked_at.clear()
    report = await process(tmp_path, left, right)
    assert looked_at == names[:1]
    assert (report.ok, report.right.created, report.right.updated, report.right.deleted) == (True, 1, 1, 1)

    looked_at.clear()
    assert not (await process(tmp_path, left, right)).wrote
    assert looked_at == []

    await right.put(tagged(MADE[5], "right"))
    looked_at.clear()
    report = await process(tmp_path, left, right)
    assert looked_at == names[1:]
    assert (report.ok, report.left.updated, report.in_sync) == (True, 1, 30)

    await left.put(commented(MADE[6], "left"))
    await right.put(tagged(MADE[6], "right"))
    looked_at.clear()
    report = await process(tmp_path, left, right)
    assert sorted(looked_at) == sorted(names)
    there = await held(left)
    assert there == await held(right)
    assert there.keys() == {key("new"), *(key(one.label) for one in MADE)} - {key("run-4")}


async def test_unfinished_run_is_held_again_after_a_restore(tmp_path):
    """It was copied once because a user asked for it, and the other store was restored since."""
    left, right = database(tmp_path / "left"), database(tmp_path / "right")
    await left.put(*MADE)
    assert (await process(tmp_path, left, right)).ok
    shutil.copy2(right.path, tmp_path / "backup")
    await left.put(change(record("long"), tags=RUNNING, duration=None))
    assert (await process(tmp_path, left, right, hold_unfinished=False)).right.created == 1
    assert (await process(tmp_path, left, right)).ok
    os.replace(tmp_path / "backup", right.path)

    report = await process(tmp_path, left, right)

    assert report.adopted == [Side.RIGHT]
    assert [held.label for held in report.held] == ["long"]
    assert key("long") not in await held(right)
