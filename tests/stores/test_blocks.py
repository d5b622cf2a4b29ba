"""A store that has looked before notices every change of any row of any table."""

from __future__ import annotations

import gc
import sqlite3
import threading
import time
from contextlib import closing

import anyio
import pytest
from anyio import to_thread

from smtd.errors import StoreUnreachable
from smtd.stores.django import block_reader, blocks, file_tracker, reader
from smtd.stores.django.file_tracker import FileTracker
from smtd.stores.django.reader import EncodedRow
from smtd.stores.django.rows import Parts
from smtd.stores.django.sqlite import SqliteFile
from tests.build import PROJECT, change, commented, full, key, record, tagged
from tests.stores.asking import create, replace, scan_of
from tests.stores.places import DjangoPlace, copied
from tests.stores.tracked import changed, tracked

pytestmark = pytest.mark.halved

#: Records with a value in every column, some with shared rows and some without.
RECORDS = [
    full("full-1"),
    change(full("full-2"), reason="another one"),
    record("plain-1"),
    tagged(record("plain-2"), "a tag"),
]
TABLES = sorted({table.name for table in blocks.TABLES} - {"django_content_type"})


@pytest.fixture
async def place(tmp_path):
    """An SQLite store with RECORDS."""
    place = DjangoPlace(tmp_path / "records.sqlite")
    await place.put(*RECORDS)
    return place


def rows(place, table):
    """Return the names of the columns of *table*, and the numbers of its rows."""
    columns = [name for _, name, *_ in place.run(f"SELECT * FROM pragma_table_info('{table}')")]
    number = "db_id" if "db_id" in columns else "id"
    return [column for column in columns if column != number], [
        row for (row,) in place.run(f"SELECT {number} FROM {table}")
    ]


def edits(place, table):
    """Return every way to change one value of a row of *table* (if that is possible), and to delete a row."""
    columns, numbers = rows(place, table)
    numbers = sorted({numbers[0], numbers[-1]})  # two rows are enough
    number = "db_id" if table.endswith("_record") else "id"
    changed = [
        f"UPDATE OR IGNORE {table} SET [{column}] ="
        f" CASE WHEN typeof([{column}]) = 'integer' THEN [{column}] + 1 WHEN [{column}] IS NULL"
        f" THEN 'new' ELSE [{column}] || '!' END WHERE {number} = {row}"
        for column in columns
        for row in numbers
    ]
    return [*changed, *[f"DELETE FROM {table} WHERE {number} = {row}" for row in numbers]]


@pytest.mark.parametrize("table", TABLES)
async def test_every_change_of_a_table_is_seen(place, table):
    """Whatever a user changes by hand, in whatever column, a look shows what a first look would."""
    await followed(place, edits(place, table))


async def followed(place, statements):
    """Look after each of *statements* of another program; each look must find what a first look would."""
    assert statements
    async with tracked(place) as store:
        shown = copied(await store.scan())
        for statement in statements:
            with closing(sqlite3.connect(place.location.path, isolation_level=None)) as db:
                db.executescript(statement)

            now = await store.scan()

            assert now == await scan_of(place), statement
            assert now.changes is not None
            differing = {each for each, _ in shown.digests.items() ^ now.digests.items()}
            differing |= shown.unreadable.keys() ^ now.unreadable.keys()
            assert differing <= changed(now), statement
            assert (await store.read({*shown.digests, *now.digests})).keys() == now.digests.keys()
            shown = copied(now)


FIRST_KEY = "(SELECT min(id) FROM django_store_datakey)"
OWNER = f"UPDATE django_store_datakey SET output_from_record_id = '{{}}' WHERE id = {FIRST_KEY}"
OWNED = f"UPDATE django_store_datakey SET digest = 'z' WHERE id = {FIRST_KEY}"
PLAIN = "UPDATE django_store_record SET {} WHERE label = 'plain-1'"
#: A number that a user gives to a row, together with another change.
NUMBERED = "UPDATE django_store_record SET db_id = {} WHERE label = 'plain-1';"
NUMBERED += "UPDATE django_store_tag SET name = name || '!'"
#: Values that SQLite accepts and no Sumatra writes: a statement before the first look, and those after it.
ODD = {
    # Too far apart to count from one to the other.
    "a number far from all others": (
        PLAIN.format("db_id = 1000000000000"),
        PLAIN.format("outcome = 'seen'"),
    ),
    # JSON would round both to the same.
    "a number that changes in its last digit": (
        PLAIN.format("duration = 0.1 + 0.2"),
        PLAIN.format("duration = 0.3"),
    ),
    "the number 0": ("", NUMBERED.format(0)),
    "a number below 0": ("", NUMBERED.format(-5)),
    "the highest number": ("", NUMBERED.format(2**63 - 1)),
    "another label": ("", PLAIN.format("label = 'new'")),
    "a text in the place of a number, which belongs to no record": (
        "",
        "UPDATE OR IGNORE django_store_record_dependencies SET record_id = 'x';"
        "UPDATE django_store_dependency SET version = 'new'",
    ),
    **{
        f"an owner that is no number, but {owner}": ("", OWNER.format(owner), OWNED)
        for owner in ("1..99999999999", "a..b", "1 99999999999", "x")
    },
}


@pytest.mark.parametrize(("before", "after"), [(before, after) for before, *after in ODD.values()], ids=ODD)
async def test_odd_value_is_compared_like_any_other(place, before, after):
    """Whatever a program has written there."""
    place.run(before)

    await followed(place, after)


async def test_value_that_is_not_text_makes_every_look_whole(place):
    """Sumatra never writes one; smtd still sees every change."""
    place.run("UPDATE django_store_record SET stdout_stderr = x'00ff' WHERE label = 'plain-2'")
    async with tracked(place) as store:
        await store.scan()
        await place.put(commented(RECORDS[2], "seen"))

        scan = await store.scan()

    assert scan.changes is None
    assert scan == await scan_of(place)


async def test_look_reads_only_records_that_may_have_changed(place, monkeypatch):
    """One new record of hundreds, and one edit."""
    await place.put(*[record(f"more-{number:03}") for number in range(600)])
    read = []
    async with tracked(place) as store:
        await store.scan()
        await place.put(record("new"))
        await place.put(commented(record("more-123"), "seen"))
        understood = FileTracker._decoded

        def counted(tracker, raw):
            read.append(raw)
            return understood(tracker, raw)

        monkeypatch.setattr(FileTracker, "_decoded", counted)

        scan = await store.scan()

    assert scan.changes is not None
    assert {key("new"), key("more-123")} <= changed(scan)
    assert len(read) < 300
    assert scan == await scan_of(place)


async def test_look_finds_changes_across_its_pages(place, monkeypatch):
    """Row numbers with gaps, and more rows than are read at a time."""
    monkeypatch.setattr(block_reader, "MAX_ROWS", 256)
    await place.put(*[record(f"more-{number:03}") for number in range(600)])
    place.run("DELETE FROM django_store_record WHERE label BETWEEN 'more-200' AND 'more-450'")
    async with tracked(place) as store:
        await store.scan()
        for label in ("more-000", "more-199", "more-451", "more-599"):
            await place.put(commented(record(label), "seen"))

            scan = await store.scan()

            assert key(label) in changed(scan)
            assert scan == await scan_of(place)


async def test_writes_of_smtd_and_of_others_between_two_looks_are_seen(place):
    async with tracked(place) as store:
        await store.scan()
        await place.put(record("theirs"))
        await store.write([create(record("mine"))])

        scan = await store.scan()

    assert key("theirs") in changed(scan)
    assert key("mine") in scan.digests
    assert scan == await scan_of(place)


@pytest.mark.parametrize("looks", [0, 1])
async def test_own_write_that_another_program_reverts_is_seen(place, looks):
    """The rows are then as at the last comparison of all, with or without a look in between."""
    own = commented(RECORDS[2], "own")
    async with tracked(place) as store:
        await store.scan()
        await store.write([create(record("mine")), replace(RECORDS[2], own)])
        for _ in range(looks):
            scan = await store.scan()
            assert key("mine") in scan.digests
        await place.remove("mine")
        await place.put(RECORDS[2])

        scan = await store.scan()

    assert key("mine") not in scan.digests
    assert scan == await scan_of(place)


async def test_first_own_writes_to_a_new_store_hide_no_change(place):
    """Its blocks were not known before."""
    place = DjangoPlace(place.location.path.with_name("new.sqlite"))
    async with tracked(place) as store:
        await store.scan()
        await store.write(list(map(create, RECORDS)))
        await store.scan()
        await store.scan()
        await place.remove(RECORDS[1].label)

        scan = await store.scan()

    assert key(RECORDS[1].label) not in scan.digests
    assert scan == await scan_of(place)


async def test_other_projects_are_not_shown(place):
    """A change elsewhere does not count; a record that moves there is gone."""
    async with tracked(place) as store:
        await store.scan({PROJECT})
        await place.put(record("elsewhere"), project="Other")
        assert key("elsewhere", "Other") not in (await store.scan({PROJECT})).digests
        place.run("UPDATE django_store_record SET project_id = 'Other' WHERE label = 'plain-1'")

        scan = await store.scan({PROJECT})

    assert key("plain-1") not in scan.digests
    assert scan == await scan_of(place, {PROJECT})


async def test_failed_look_hides_no_change(place, monkeypatch):
    """The next look finds what the failed one had found, but not read."""
    async with tracked(place) as store:
        await store.scan()
        await place.put(commented(RECORDS[2], "seen"))
        with monkeypatch.context() as broken:
            broken.setattr(FileTracker, "_decoded", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                await store.scan()

        scan = await store.scan()

    assert key("plain-1") in changed(scan)
    assert scan == await scan_of(place)


def test_hash_of_a_row_distinguishes_numbers_with_the_same_hash():
    """In Python -1 and -2 have."""
    raws = [EncodedRow((1, PROJECT, "run", number), Parts([], [], [], [], [])) for number in (-1, -2, -2)]

    assert hash(raws[0].row) == hash(raws[1].row)
    assert raws[0].row_hash != raws[1].row_hash
    assert raws[1].row_hash == raws[2].row_hash


@pytest.fixture
def meanwhile(place, monkeypatch):
    """Let others run a statement in the next look, after it compared rows and before it reads records."""

    def during(statement):
        hash_all = blocks.hash_all

        async def then(*words):
            found = await hash_all(*words)
            await to_thread.run_sync(place.run, statement)
            monkeypatch.setattr(blocks, "hash_all", hash_all)
            return found

        monkeypatch.setattr(blocks, "hash_all", then)

    return during


@pytest.mark.parametrize("looks", [0, 1], ids=["the first look", "a later look"])
async def test_change_that_is_reverted_after_a_look_is_seen(place, meanwhile, looks):
    """The rows then equal those that were compared, but not those that were read."""
    async with tracked(place) as store:
        for _ in range(looks):
            await store.scan()
        place.run("UPDATE django_store_record SET reason = 'other' WHERE label = 'plain-2'")
        meanwhile("UPDATE django_store_record SET outcome = 'typo' WHERE label = 'plain-1'")
        await store.scan()
        place.run("UPDATE django_store_record SET outcome = '' WHERE label = 'plain-1'")

        scan = await store.scan()

    assert scan == await scan_of(place)


@pytest.fixture
def sizes(monkeypatch):
    """The list of how many rows a block has, for each table at each look."""
    found = []
    read = block_reader._blocks

    def noted(db, guard, part, *others):
        found.append(part.size)
        return read(db, guard, part, *others)

    monkeypatch.setattr(block_reader, "_blocks", noted)
    return found


async def test_look_with_two_threads_finds_the_same_as_with_one(place, monkeypatch):
    async with tracked(place) as store:
        await store.scan()
        monkeypatch.setattr(block_reader, "LARGE", 0)
        place.run("UPDATE django_store_tag SET name = 'another' WHERE name = 'a tag'")
        await place.put(commented(RECORDS[2], "seen"))

        scan = await store.scan()

    assert changed(scan) == {key("plain-1"), key("plain-2")}
    assert scan == await scan_of(place)


async def test_error_of_one_of_two_threads_ends_the_look(place, monkeypatch):
    monkeypatch.setattr(block_reader, "LARGE", 0)
    async with tracked(place) as store:
        await store.scan()
        fetch, turns = block_reader._fetch, iter(range(3))

        def fetched(*words):
            if next(turns, None) is None:
                raise sqlite3.OperationalError("database is locked")
            return fetch(*words)

        monkeypatch.setattr(block_reader, "_fetch", fetched)
        await place.put(commented(RECORDS[2], "seen"))

        with pytest.raises(StoreUnreachable, match="locked by another program"):
            await store.scan()
        monkeypatch.setattr(block_reader, "_fetch", fetch)
        scan = await store.scan()

    assert scan == await scan_of(place)


async def test_blocks_of_large_records_are_small(place, sizes, monkeypatch):
    """Otherwise one block would be more text than SQLite can make, or than fits in memory."""
    monkeypatch.setattr(blocks, "LEAST_RECORDS", 1)
    monkeypatch.setattr(blocks, "MAX_BLOCK_BYTES", 20_000)
    monkeypatch.setattr(block_reader, "MAX_STEP_BYTES", 60_000)
    await place.put(*[change(record(f"large-{number}"), stdout_stderr="x" * 5000) for number in range(40)])
    async with tracked(place) as store:
        await store.scan()
        await place.put(commented(record("large-7"), "seen"))

        scan = await store.scan()

    assert max(sizes) <= 4
    assert key("large-7") in changed(scan)
    assert scan == await scan_of(place)


async def test_new_store_does_not_count_as_one_of_large_records(tmp_path, sizes):
    """Its tables take more space than its records."""
    place = DjangoPlace(tmp_path / "new.sqlite")
    await place.put(record("first"))
    async with tracked(place) as store:
        await store.scan()

    assert sizes == [min(table.size, blocks.SMALL_BLOCK) for table in blocks.TABLES]


async def test_text_too_long_for_a_block_makes_every_look_whole(place, monkeypatch):
    """And the database does not count as damaged."""

    def too_long(db, *_):
        db.execute("SELECT zeroblob(2000000000)").fetchall()
        raise AssertionError("SQLite makes longer texts than it says")

    async with tracked(place) as store:
        await store.scan()
        monkeypatch.setattr(block_reader, "_blocks", too_long)
        await place.put(commented(RECORDS[2], "seen"))

        scan = await store.scan()

    assert scan.changes is None
    assert scan == await scan_of(place)


@pytest.mark.parametrize("mode", ["wal", "delete"])
async def test_text_that_is_not_unicode_hides_no_later_commit(place, mode):
    """Nor does it stop other programs from committing."""
    place.run(f"PRAGMA journal_mode = {mode}")
    place.run("UPDATE django_store_record SET reason = CAST(x'ff41' AS TEXT) WHERE label = 'plain-2'")
    gc.disable()
    try:
        async with tracked(place) as store:
            await store.scan()
            place.run("DELETE FROM django_store_record WHERE label = 'plain-1'")

            scan = await store.scan()
    finally:
        gc.enable()

    assert key("plain-1") not in scan.digests


@pytest.mark.parametrize("patience", [0, 20])
async def test_first_look_beside_steady_writers_misses_nothing(place, monkeypatch, patience):
    """Between any two pages rows are added, changed, reverted and deleted."""
    monkeypatch.setattr(file_tracker, "PATIENCE", patience)
    monkeypatch.setattr(reader, "PAGE", 5)
    await place.put(*[record(f"more-{number:02}") for number in range(30)])
    statements = [
        "UPDATE django_store_record SET outcome = 'typo' WHERE label IN ('plain-1', 'more-12', 'more-29')",
        "UPDATE django_store_record SET outcome = '' WHERE label IN ('plain-1', 'more-12', 'more-29')",
        "DELETE FROM django_store_record WHERE label IN ('plain-2', 'more-28')",
        "UPDATE django_store_record SET label = 'new' WHERE label = 'more-01'",
        "UPDATE django_store_parameterset SET content = 'seed = 99'",
    ]
    pages = reader.pages

    async def interrupted(db, projects):
        async for page in pages(db, projects):
            yield page
            if statements:
                await to_thread.run_sync(place.run, statements.pop(0))

    monkeypatch.setattr(reader, "pages", interrupted)
    async with tracked(place) as store:
        first = await store.scan()
        assert statements == []

        second = await store.scan()

    assert first.changes is None
    assert second == await scan_of(place)
    if patience:
        assert first == second
        assert second.changes is not None


async def test_edit_that_only_one_page_of_the_first_look_saw_is_not_kept(place, monkeypatch):
    """It is reverted before the rows are compared again."""
    monkeypatch.setattr(reader, "PAGE", 2)
    pages = reader.pages

    async def interrupted(db, projects):
        place_run = place.run
        await to_thread.run_sync(
            place_run, "UPDATE django_store_record SET outcome = 'typo' WHERE label = 'plain-1'"
        )
        async for page in pages(db, projects):
            await to_thread.run_sync(
                place_run, "UPDATE django_store_record SET outcome = '' WHERE label = 'plain-1'"
            )
            yield page

    monkeypatch.setattr(reader, "pages", interrupted)
    async with tracked(place) as store:
        await store.scan()
        monkeypatch.setattr(reader, "pages", pages)

        assert await store.scan() == await scan_of(place)


@pytest.mark.parametrize("blob", [True, False], ids=["with a value that is not text", "all text"])
async def test_first_look_survives_rows_that_cannot_be_compared(place, monkeypatch, blob):
    """During it a program writes a value that SQLite cannot concatenate, and edits a record read before."""
    monkeypatch.setattr(reader, "PAGE", 2)
    value = "x'00ff'" if blob else "'text'"
    statements = [
        "UPDATE django_store_record SET outcome = 'seen' WHERE label = 'full-1'",
        f"UPDATE django_store_record SET stdout_stderr = {value} WHERE label = 'plain-2'",
    ]
    pages = reader.pages

    async def interrupted(db, projects):
        async for page in pages(db, projects):
            while statements:
                await to_thread.run_sync(place.run, statements.pop(0))
            yield page

    monkeypatch.setattr(reader, "pages", interrupted)
    async with tracked(place) as store:
        first = await store.scan()

        assert await store.token() is None or first == await scan_of(place)
        assert await store.scan() == await scan_of(place)


@pytest.mark.parametrize("looks", [1, 2])
async def test_own_write_that_is_reverted_and_changed_during_a_look_is_seen(place, meanwhile, looks):
    """Its rows compare as before the write, and are read in a passing state."""
    own = commented(RECORDS[2], "own")
    async with tracked(place) as store:
        await store.scan()
        await store.write([replace(RECORDS[2], own)])
        await place.put(RECORDS[2])
        meanwhile("UPDATE django_store_record SET outcome = 'typo' WHERE label = 'plain-1'")
        for _ in range(looks):
            await store.scan()
        await place.put(RECORDS[2])

        scan = await store.scan()

    assert scan == await scan_of(place)


@pytest.mark.parametrize("quiet", [True, False])
async def test_look_beside_writers_has_its_begin_and_its_end(place, quiet, monkeypatch):
    """A record settles from the end of one look to the beginning of another."""
    read: list[float] = []
    begin_look = SqliteFile.begin_look

    async def begin(file, *, wait):
        await begin_look(file, wait=False)
        return quiet

    async def tracked_until(tracker, *words, **more):
        look = await real(tracker, *words, **more)
        read.append(time.time())
        return look

    real = FileTracker.track
    monkeypatch.setattr(SqliteFile, "begin_look", begin)
    monkeypatch.setattr(FileTracker, "track", tracked_until)
    began = time.time()
    async with tracked(place) as store:
        look = await store.track(store._index)

    assert (look.busy is None) == quiet
    assert quiet or began <= look.busy.began <= read[0] <= look.busy.ended


@pytest.mark.parametrize("large", [False, True], ids=["one thread", "two threads"])
async def test_cancelled_look_leaves_no_thread(place, monkeypatch, large):
    """It ends with its statement, even if another program makes that wait."""
    monkeypatch.setattr(block_reader, "LARGE", 0 if large else block_reader.LARGE)
    fetch, begun, ended = block_reader._fetch, threading.Event(), []

    def slow(*words):
        begun.set()
        time.sleep(0.05)
        ended.append(words)
        return fetch(*words)

    monkeypatch.setattr(block_reader, "_fetch", slow)
    async with tracked(place) as store, anyio.create_task_group() as group:
        group.start_soon(store.scan)
        await to_thread.run_sync(begun.wait)
        group.cancel_scope.cancel()
    statements = len(ended)
    await anyio.sleep(0.2)

    assert 0 < len(ended) == statements < 5
