"""What a store knows without looking at all its rows again: what others added, and what it wrote itself."""

from __future__ import annotations

import pytest

from smtd.records import canonical
from smtd.stores.base import DONE, Change, Result
from smtd.stores.django import file_sight, sqlite
from smtd.stores.django.file_sight import FileSight
from tests.build import PROJECT, change, commented, full, key, record, tagged
from tests.stores.places import DjangoPlace, copied

RECORDS = [full("full-1"), record("plain-1"), tagged(record("plain-2"), "a tag")]


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """Nobody waits for a moment in which nobody writes."""
    monkeypatch.setattr(sqlite, "QUIET", 1e-9)


@pytest.fixture
async def place(tmp_path):
    """An SQLite store with RECORDS."""
    place = DjangoPlace(tmp_path / "records.sqlite")
    await place.put(*RECORDS)
    return place


@pytest.fixture
def understood(monkeypatch):
    """The labels of the rows that looks have understood."""
    found = []
    real = FileSight._understood

    def noted(sight, raw, *pool):
        found.append(raw.row[2])
        return real(sight, raw, *pool)

    monkeypatch.setattr(FileSight, "_understood", noted)
    return found


def changed(scan):
    """Return the keys that may be otherwise than in the scan before."""
    return set(scan.changes.keys)


async def seen_anew(place):
    """Return what a store shows that has never looked before."""
    async with place.open() as store:
        return copied(await store.scan())


async def test_new_records_are_told_and_nothing_else(place, understood):
    async with place.open() as store:
        before = copied(await store.scan())
        await place.put(commented(RECORDS[1], "seen"))
        await place.put(full("new"))
        understood.clear()

        found = copied(await store.arrivals())

        assert understood == ["new"]
        assert changed(found) == {key("new")}
        assert found.digests == {**before.digests, key("new"): canonical.digest(full("new"))}
        then = await store.scan()
        assert then == await seen_anew(place)
        assert key("plain-1") in changed(then)


async def test_store_that_was_never_looked_at_tells_of_nothing_new(place):
    async with place.open() as store:
        assert await store.arrivals() is None
        await store.scan([PROJECT])

        assert await store.arrivals() is None
        found = await store.arrivals([PROJECT])
        assert found is not None
        assert changed(found) == set()


async def test_nothing_new_is_told_while_somebody_writes(place, monkeypatch):
    """A save of Sumatra's is several commits: who waits for its end can look at everything."""
    async with place.open() as store:
        await store.scan()
        monkeypatch.setattr(sqlite, "QUIET", 60.0)
        await place.put(record("new"))

        assert await store.arrivals() is None


async def test_new_record_that_is_taken_back_is_gone(place):
    """Between two looks the rows are as they were, and there was something all the same."""
    async with place.open() as store:
        await store.scan()
        await place.put(record("new"))
        await store.arrivals()
        await place.remove("new")

        scan = await store.scan()

        assert key("new") in scan.changes.keys
        assert scan == await seen_anew(place)


async def test_nothing_new_is_told_where_a_record_is_gone(place):
    """A look at everything tells what that means."""
    async with place.open() as store:
        await store.scan()
        await place.remove("plain-2")
        await place.put(record("new"))

        assert await store.arrivals() is None

        assert await store.scan() == await seen_anew(place)


@pytest.mark.parametrize("bound", ["MANY", "MOST"])
async def test_so_many_new_records_are_looked_at_with_all_others(place, monkeypatch, bound):
    """Whether too many to hurry for, or to keep in mind."""
    async with place.open() as store:
        await store.scan()
        monkeypatch.setattr(file_sight, bound, 3)
        await place.put(*[record(f"new-{number}") for number in range(5)])

        assert await store.arrivals() is None

        assert await store.scan() == await seen_anew(place)


async def test_record_that_was_made_anew_is_one_record(place):
    """Its first row is gone, and looked for."""
    async with place.open() as store:
        await store.scan()
        await place.remove("plain-1")
        await place.put(change(record("plain-1"), reason="another one"))

        found = copied(await store.arrivals())

        assert found == await seen_anew(place)
        assert await store.scan() == await seen_anew(place)


async def test_row_that_gets_the_label_of_a_new_one_is_found_by_the_next_look(place):
    """What was added is one of two rows then."""
    async with place.open() as store:
        await store.scan()
        await place.put(commented(record("new"), "another one"))
        place.run("UPDATE django_store_record SET label = 'new' WHERE label = 'plain-1'")

        found = await store.arrivals()

        assert found is None or found.partial
        scan = await store.scan()
        assert key("new") in scan.unreadable
        assert scan == await seen_anew(place)


async def test_store_that_was_written_to_by_nobody_is_known_whole(place):
    async with place.open() as store:
        await store.scan()

        still = await store.arrivals()
        await place.put(commented(RECORDS[1], "seen"))
        then = await store.arrivals()

    assert (still.partial, then.partial) == (False, True)


async def test_row_that_took_the_place_of_another_leaves_no_phantom(place):
    """Somebody gave one record's row the label of another one, and smtd wrote to that."""
    async with place.open() as store:
        await store.scan()
        before = (await store.read([key("plain-1")]))[key("plain-1")]
        place.run("DELETE FROM django_store_record WHERE label = 'plain-1'")
        await place.put(record("soon"))
        place.run("UPDATE django_store_record SET label = 'plain-1' WHERE label = 'plain-2'")
        place.run("DELETE FROM django_store_taggeditem")
        place.run(
            "CREATE UNIQUE INDEX refuse ON django_store_record (project_id) WHERE label IN ('soon', 'bad')"
        )
        await store.write([Change(key("bad"), record("bad"), None)])  # and forgets the numbers of rows
        held = (await store.read([key("plain-1")]))[key("plain-1")]
        after = commented(held, "own")
        assert await store.write([Change(key("plain-1"), after, canonical.digest(held))]) == [DONE]
        await store.read([key("plain-1")])

        scan = await store.scan()

        assert before.label == "plain-1"
        assert key("plain-2") not in scan.digests
        assert scan == await seen_anew(place)


async def test_nothing_new_is_told_while_no_numbers_of_rows_are_known(place, understood):
    """They are forgotten when a transaction is rolled back; all rows would pass for new ones."""
    place.run(
        "CREATE UNIQUE INDEX refuse ON django_store_record (project_id) WHERE label IN ('plain-1', 'bad')"
    )
    async with place.open() as store:
        await store.scan()
        (outcome,) = await store.write([Change(key("bad"), record("bad"), None)])
        await place.put(record("new"))

        assert outcome.result is Result.REFUSED
        assert await store.arrivals() is None
        assert await store.scan() == await seen_anew(place)


async def test_blocks_that_others_have_changed_meanwhile_are_kept(place, understood, monkeypatch):
    """After many own writes they are learned anew, but not when that would be for nothing."""
    monkeypatch.setattr(file_sight, "MANY", 20)
    await place.put(*[record(f"more-{number:03}") for number in range(600)])
    async with place.open() as store:
        await store.scan()
        await filled(store)
        await place.put(record("new"))
        assert await store.token() is None
        understood.clear()

        assert await store.scan() == await seen_anew(place)

    labels = [label for label in understood if label.startswith("more-")]
    assert len(labels) < 600 + 600  # of which the first half is what `seen_anew` looked at


async def test_after_too_many_own_writes_all_is_looked_at(target, monkeypatch):
    monkeypatch.setattr(file_sight, "MOST", 20)
    async with target.open() as store:
        made = await filled(store)
        await store.token()
        target.run("UPDATE django_store_record SET outcome = 'edited' WHERE label = 'run-003'")

        scan = await store.scan()

        assert scan == await seen_anew(target)
        assert scan.digests[key("run-003")] != canonical.digest(made[3])


async def test_new_record_of_another_project_is_nobodys(place):
    async with place.open() as store:
        before = copied(await store.scan([PROJECT]))
        await place.put(record("elsewhere"), project="Other")

        found = await store.arrivals([PROJECT])

        assert found == before
        assert changed(found) == set()


async def test_own_writes_are_told_with_what_is_new(place):
    async with place.open() as store:
        before = copied(await store.scan())
        after = commented(RECORDS[1], "seen")
        assert await store.write([Change(key("plain-1"), after, before.digests[key("plain-1")])]) == [DONE]
        await place.put(record("new"))

        found = copied(await store.arrivals())

        assert changed(found) == {key("plain-1"), key("new")}
        assert found == await seen_anew(place)
        assert await store.scan() == await seen_anew(place)


async def filled(store, count=30):
    """Write many records to *store*, and read them back, as a cycle does."""
    made = [record(f"run-{number:03}") for number in range(count)]
    await store.scan()
    assert await store.write([Change(key(one.label), one, None) for one in made]) == [DONE] * count
    assert len(await store.read([key(one.label) for one in made])) == count
    return made


@pytest.fixture(params=["new", "old"])
def target(request, place, tmp_path):
    """A store that is not there yet, and one that is."""
    return place if request.param == "old" else DjangoPlace(tmp_path / "target.sqlite")


async def test_what_was_read_back_is_not_looked_at_again(target, understood, monkeypatch):
    monkeypatch.setattr(file_sight, "MANY", 20)
    async with target.open() as store:
        await filled(store, 900)
        assert await store.token() is not None
        await target.put(record("new"))
        understood.clear()

        scan = await store.scan()

        assert "new" in understood
        assert len(understood) < 300  # those in the same block of rows as the new one, or beside it
        assert len(changed(scan)) >= 901
        assert scan == await seen_anew(target)


@pytest.mark.parametrize("learns", [True, False])
@pytest.mark.parametrize("when", ["before the token", "after the token"])
async def test_what_others_do_to_own_writes_is_seen(target, monkeypatch, learns, when):
    """They edit one of them, delete one, put one back as it was, and give one another label."""
    monkeypatch.setattr(file_sight, "MANY", 20 if learns else 1000)
    async with target.open() as store:
        made = await filled(store)
        if when == "after the token":
            await store.token()
        target.run("UPDATE django_store_record SET outcome = 'edited' WHERE label = 'run-003'")
        await target.remove("run-004")
        target.run("UPDATE django_store_record SET label = 'other' WHERE label = 'run-005'")
        if when == "before the token":
            await store.token()

        scan = await store.scan()

        assert scan == await seen_anew(target)
        assert scan.digests[key("run-003")] != canonical.digest(made[3])
        assert await store.scan() == scan


async def test_edit_that_came_between_write_and_reading_back_is_seen(target, monkeypatch):
    monkeypatch.setattr(file_sight, "MANY", 1)
    async with target.open() as store:
        await store.scan()
        made = record("run")
        assert await store.write([Change(key("run"), made, None)]) == [DONE]
        target.run("UPDATE django_store_record SET outcome = 'edited' WHERE label = 'run'")
        (back,) = (await store.read([key("run")])).values()
        await store.token()

        scan = await store.scan()

    assert back.outcome == "edited"
    assert scan == await seen_anew(target)


async def test_own_write_that_others_took_back_is_seen(place, monkeypatch):
    """The rows are as they were at the last look, and what was read back is not."""
    monkeypatch.setattr(file_sight, "MANY", 1000)
    async with place.open() as store:
        before = copied(await store.scan())
        after = change(RECORDS[1], outcome="written")
        assert await store.write([Change(key("plain-1"), after, before.digests[key("plain-1")])]) == [DONE]
        await store.read([key("plain-1")])
        await store.token()
        outcome = RECORDS[1].outcome or ""
        place.run(f"UPDATE django_store_record SET outcome = '{outcome}' WHERE label = 'plain-1'")

        scan = await store.scan()

        assert scan == before
        assert key("plain-1") in scan.changes.keys


async def test_equal_keys_and_digests_of_two_stores_are_the_same_objects(place, tmp_path):
    """As many are in memory as there are records, on both sides."""
    async with place.open() as left, DjangoPlace(tmp_path / "right.sqlite").open() as right:
        scan = await left.scan()
        await right.scan()
        records = await left.read(list(scan.digests))
        await right.write([Change(one, records[one], None) for one in scan.digests])
        await right.read(list(scan.digests))

        other = await right.scan()

        keys = {one: one for one in scan.digests}
        assert other.digests == scan.digests
        assert all(one is keys[one] and digest is scan.digests[one] for one, digest in other.digests.items())
