"""The index has smtd's own writes before the next look at the rows, and hides no change of others."""

from __future__ import annotations

import pytest

from smtd.engine import observe
from smtd.records import canonical
from smtd.stores.base import DONE, Change
from smtd.stores.django import sqlite
from smtd.stores.django.file_tracker import FileTracker
from smtd.stores.renamed import RenamedStore
from tests.build import PROJECT, change, commented, full, key, record, tagged
from tests.stores.asking import create, scan_of
from tests.stores.places import DjangoPlace, copied
from tests.stores.tracked import Tracked, changed, tracked

RECORDS = [full("full-1"), record("plain-1"), tagged(record("plain-2"), "a tag")]


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """Do not wait for a moment in which no program writes."""
    monkeypatch.setattr(sqlite, "QUIET", 1e-9)


@pytest.fixture
async def place(tmp_path):
    """An SQLite store with RECORDS."""
    place = DjangoPlace(tmp_path / "records.sqlite")
    await place.put(*RECORDS)
    return place


@pytest.fixture
def understood(monkeypatch):
    """The list of labels of the rows that looks have read."""
    found = []
    real = FileTracker._decoded

    def noted(tracker, raw):
        found.append(raw.row[2])
        return real(tracker, raw)

    monkeypatch.setattr(FileTracker, "_decoded", noted)
    return found


async def seen_anew(place):
    """Return what a store shows that has never looked before."""
    return copied(await scan_of(place))


async def test_row_that_replaces_another_leaves_no_phantom(place):
    """A program gave one record's row the label of another one, and smtd wrote to that."""
    async with tracked(place) as store:
        await store.scan()
        before = (await store.read([key("plain-1")]))[key("plain-1")]
        place.run("DELETE FROM django_store_record WHERE label = 'plain-1'")
        await place.put(record("soon"))
        place.run("UPDATE django_store_record SET label = 'plain-1' WHERE label = 'plain-2'")
        place.run("DELETE FROM django_store_taggeditem")
        place.run(
            "CREATE UNIQUE INDEX refuse ON django_store_record (project_id) WHERE label IN ('soon', 'bad')"
        )
        await store.write([create(record("bad"))])  # and drops the row numbers
        held = (await store.read([key("plain-1")]))[key("plain-1")]
        after = commented(held, "own")
        assert await store.write([Change(key("plain-1"), after, canonical.digest(held))]) == [DONE]
        await store.read([key("plain-1")])

        scan = await store.scan()

        assert before.label == "plain-1"
        assert key("plain-2") not in scan.digests
        assert scan == await seen_anew(place)


async def test_blocks_changed_by_others_are_not_learned(place, understood, monkeypatch):
    """smtd learns the blocks again after many own writes, but only if that is useful."""
    monkeypatch.setattr(observe, "MANY_WRITTEN", 20)
    await place.put(*[record(f"more-{number:03}") for number in range(600)])
    async with tracked(place) as store:
        await store.scan()
        await filled(store)
        await place.put(record("new"))
        assert not await store.end_cycle()
        understood.clear()

        assert await store.scan() == await seen_anew(place)

    labels = [label for label in understood if label.startswith("more-")]
    assert len(labels) < 600 + 600  # the first half of them are the looks of `seen_anew`


async def filled(store, count=30):
    """Write many records to *store*, and read them back, as a cycle does."""
    made = [record(f"run-{number:03}") for number in range(count)]
    await store.scan()
    assert await store.write([create(one) for one in made]) == [DONE] * count
    assert len(await store.read([key(one.label) for one in made])) == count
    return made


@pytest.fixture(params=["new", "old"])
def target(request, place, tmp_path):
    """A store that does not exist yet, and one that does."""
    return place if request.param == "old" else DjangoPlace(tmp_path / "target.sqlite")


async def test_records_that_were_read_back_are_not_read_again(target, understood, monkeypatch):
    monkeypatch.setattr(observe, "MANY_WRITTEN", 20)
    async with tracked(target) as store:
        await filled(store, 900)
        assert await store.end_cycle()
        await target.put(record("new"))
        understood.clear()

        scan = await store.scan()

        assert "new" in understood
        assert len(understood) < 300  # those in the block of the new one, or in a neighbouring block
        assert changed(scan) == {key("new")}
        assert scan == await seen_anew(target)


@pytest.mark.parametrize("learns", [True, False])
@pytest.mark.parametrize("when", ["before the token", "after the token"])
async def test_changes_of_own_writes_by_others_are_seen(target, monkeypatch, learns, when):
    """They edit one of them, delete one, and rename one."""
    monkeypatch.setattr(observe, "MANY_WRITTEN", 20 if learns else 1000)
    async with tracked(target) as store:
        made = await filled(store)
        if when == "after the token":
            await store.end_cycle()
        target.run("UPDATE django_store_record SET outcome = 'edited' WHERE label = 'run-003'")
        await target.remove("run-004")
        target.run("UPDATE django_store_record SET label = 'other' WHERE label = 'run-005'")
        if when == "before the token":
            await store.end_cycle()

        scan = await store.scan()

        assert scan == await seen_anew(target)
        assert scan.digests[key("run-003")] != canonical.digest(made[3])
        assert await store.scan() == scan


async def test_edit_that_came_between_write_and_reading_back_is_seen(target, monkeypatch):
    monkeypatch.setattr(observe, "MANY_WRITTEN", 1)
    async with tracked(target) as store:
        await store.scan()
        made = record("run")
        assert await store.write([create(made)]) == [DONE]
        target.run("UPDATE django_store_record SET outcome = 'edited' WHERE label = 'run'")
        (back,) = (await store.read([key("run")])).values()
        await store.end_cycle()

        scan = await store.scan()

    assert back.outcome == "edited"
    assert scan == await seen_anew(target)


async def test_own_write_that_others_reverted_is_seen(place, monkeypatch):
    """The rows are as at the last look, but not as read back."""
    monkeypatch.setattr(observe, "MANY_WRITTEN", 1000)
    async with tracked(place) as store:
        before = copied(await store.scan())
        after = change(RECORDS[1], outcome="written")
        assert await store.write([Change(key("plain-1"), after, before.digests[key("plain-1")])]) == [DONE]
        await store.read([key("plain-1")])
        await store.end_cycle()
        outcome = RECORDS[1].outcome or ""
        place.run(f"UPDATE django_store_record SET outcome = '{outcome}' WHERE label = 'plain-1'")

        scan = await store.scan()

        assert scan == before
        assert key("plain-1") in changed(scan)


async def test_records_of_other_projects_are_not_read_each_time(place, understood):
    """Their rows are above those of all shown records."""
    await place.put(*[record(f"other-{number}") for number in range(300)], project="Other")
    async with tracked(place) as plain:
        renamed = Tracked(RenamedStore(plain._store, {PROJECT: PROJECT}), plain._index)
        await renamed.scan()
        place.run("UPDATE django_store_record SET outcome = 'seen' WHERE label = 'plain-1'")
        understood.clear()

        scan = await renamed.scan()

    assert changed(scan) == {key("plain-1")}
    assert len(understood) <= 128
