"""What Sumatra and other programs may leave in the tables of a Django store."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

import smtd.sqlite
from smtd.errors import StoreRefused, StoreUnreachable
from smtd.records import canonical
from smtd.records.record import Parameters, Record
from smtd.stores.base import DONE, STALE, Change, Result
from smtd.stores.django import schema
from smtd.stores.django import sqlite as dialect
from tests.build import INPUT, OUTPUT, RUNNING, change, commented, full, key, record, tagged
from tests.stores.asking import (
    create,
    delete,
    digests,
    replace,
    scan_of,
    write_and_read,
    write_and_scan,
    write_to,
)
from tests.stores.interrupting import left_behind, running
from tests.stores.places import CORPUS, OWNED, DjangoPlace, copied
from tests.stores.samples import OTHER

pytestmark = pytest.mark.halved

NEW = create(record("new"))


@pytest.fixture
def place(tmp_path: Path) -> DjangoPlace:
    directory = tmp_path / "store"
    directory.mkdir()
    return DjangoPlace(directory / "records")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for the locks of others for a moment only."""
    monkeypatch.setattr(dialect, "connect", partial(smtd.sqlite.connect, patience=0.1))


@pytest.fixture
def trap(tmp_path: Path) -> Iterator[str]:
    """Code that creates a file; a test fails if the file exists in the end."""
    file = tmp_path / "trap"
    yield f"open({str(file)!r}, 'w')"
    assert not file.exists()


def connect(place: DjangoPlace) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(place.path, isolation_level=None))


def twin(place: DjangoPlace, label: str, **columns: Any) -> None:
    """Add a second row of the record *label*, as a writer leaves it that did not see the first one."""
    rows = place.run("SELECT * FROM django_store_record WHERE label = ?", label)
    names = [name for _, name, *_ in place.run("PRAGMA table_info(django_store_record)")]
    values = {**dict(zip(names, rows[0], strict=True)), **columns, "db_id": None}
    place.run(f"INSERT INTO django_store_record VALUES ({', '.join('?' * len(names))})", *values.values())
    (old,), (new,) = place.run("SELECT db_id FROM django_store_record WHERE label = ? ORDER BY 1", label)[-2:]
    place.run(
        "INSERT INTO django_store_taggeditem (object_id, content_type_id, tag_id)"
        " SELECT ?, content_type_id, tag_id FROM django_store_taggeditem WHERE object_id = ?",
        *(new, old),
    )


# Doubled rows


async def test_doubled_helper_rows_are_accepted(place: DjangoPlace) -> None:
    """Writers left equal rows at the same time; smtd uses the first one."""
    await place.put(record())
    for table in ("executable", "repository", "launchmode", "datastore", "parameterset"):
        columns = ", ".join(name for _, name, *_ in place.run(f"PRAGMA table_info(django_store_{table})")[1:])
        place.run(f"INSERT INTO django_store_{table} ({columns}) SELECT {columns} FROM django_store_{table}")
    place.run(
        "UPDATE django_store_record SET executable_id = (SELECT max(id) FROM django_store_executable),"
        " launch_mode_id = (SELECT max(id) FROM django_store_launchmode)"
    )

    async with place.open() as store:
        scan = await store.scan()
        outcomes = await store.write([create(record("new"))])

    references = "executable_id, repository_id, launch_mode_id, datastore_id, parameters_id"
    assert scan.digests == digests(record())
    assert outcomes == [DONE]
    assert place.run(f"SELECT {references} FROM django_store_record WHERE label = 'new'") == [(1, 1, 1, 1, 1)]


async def test_equal_rows_of_one_record_are_one_record(place: DjangoPlace) -> None:
    """smtd changes and deletes them together."""
    await place.put(full("twins"), record("other"))
    twin(place, "twins")
    before = full("twins", input_data=(), output_data=(), dependencies=(), platforms=())
    place.run("DELETE FROM django_store_datakey WHERE output_from_record_id = 1")
    for table in ("input_data", "dependencies", "platforms"):
        place.run(f"DELETE FROM django_store_record_{table}")
    after = commented(tagged(before, "good"), "and more")

    async with place.open() as store:
        first = copied(await store.scan())
        changed = await store.write([replace(before, after)])
        found = await store.read([key("twins")])
        deleted = await store.write([delete(after)])
        last = await store.scan()

    assert first.digests[key("twins")] == canonical.digest(before)
    assert first.unreadable == {}
    assert canonical.differences(found[key("twins")], after) == []
    assert changed == deleted == [DONE]
    assert set(last.digests) == {key("other")}
    assert place.run("SELECT count(*) FROM django_store_record") == [(1,)]


async def test_different_rows_under_one_label_are_unreadable(place: DjangoPlace) -> None:
    """smtd does not guess: it reports the label, and reads the others."""
    await place.put(record("twins"), record("other"))
    twin(place, "twins", outcome="another")
    place.run("DELETE FROM django_store_taggeditem WHERE object_id = 3")
    before = place.run("SELECT * FROM django_store_record WHERE label = 'twins'")

    async with place.open() as store:
        scan = await store.scan()
        found = await store.read([key("twins"), key("other")])
        expected = canonical.digest(record("twins"))
        outcomes = await store.write([Change(key("twins"), None, expected), NEW])

    assert set(scan.unreadable) == {key("twins")}
    assert set(scan.digests) == set(found) == {key("other")}
    assert outcomes == [STALE, DONE]
    assert place.run("SELECT * FROM django_store_record WHERE label = 'twins'") == before


@pytest.mark.parametrize("later", [False, True], ids=["first", "second"])
async def test_unreadable_label_does_not_count_as_unfinished(place: DjangoPlace, later: bool) -> None:
    """Even if its rows are of an unfinished run."""
    states = [RUNNING, frozenset({"_finished_"})]
    await place.put(record("twins", tags=states[later], duration=None))
    twin(place, "twins", outcome="another")
    tag = "UPDATE django_store_taggeditem SET tag_id = 2 WHERE object_id = 2"
    place.run("INSERT INTO django_store_tag (name) VALUES (?)", *states[not later])
    place.run(tag)

    scan = await scan_of(place)

    assert set(scan.unreadable) == {key("twins")}
    assert set(scan.unfinished) == set()


async def test_doubled_output_is_one_output(place: DjangoPlace) -> None:
    """smtd deletes both rows together."""
    await place.put(full())
    place.run(
        "INSERT INTO django_store_datakey (path, digest, creation, metadata, output_from_record_id)"
        " SELECT path, digest, creation, metadata, output_from_record_id FROM django_store_datakey"
        " WHERE output_from_record_id IS NOT NULL"
    )
    without = full(output_data=())

    async with place.open() as store:
        scan = await store.scan()
        outcomes = await store.write([replace(full(), without)])
        found = await store.read([key("full")])

    assert scan.digests == digests(full())
    assert outcomes == [DONE]
    assert canonical.differences(found[key("full")], without) == []


# Data that records share

OWNERS = "SELECT id, output_from_record_id FROM django_store_datakey WHERE path = ? ORDER BY id"


MADE = {"output_data": (OUTPUT,)}
#: A present record, another one before and after smtd writes it, and which one then owns the output.
OUTPUTS_OF_TWO = {
    "made by both": (record("one", **MADE), None, record("other", **MADE), [(1, 1), (2, 2)]),
    "made by both, as somebody finds out later": (
        record("one", **MADE),
        record("other"),
        record("other", output_data=(OUTPUT, INPUT)),
        [(1, 1), (2, 2)],
    ),
    "an input before anybody made it": (
        record("one", input_data=(OUTPUT,)),
        None,
        record("other", **MADE),
        [(1, 2)],
    ),
}


@pytest.mark.parametrize(("there", "before", "after", "owners"), OUTPUTS_OF_TWO.values(), ids=OUTPUTS_OF_TWO)
async def test_equal_outputs_of_two_records_stay(
    place: DjangoPlace, there: Record, before: Record | None, after: Record, owners: list[tuple[int, int]]
) -> None:
    """Sumatra would take it away from the first one."""
    await place.put(there, *([before] if before else []))

    outcomes, scan = await write_and_scan(place, [replace(before, after) if before else create(after)])

    assert outcomes == [DONE]
    assert scan.digests == digests(there, after)
    assert place.run(OWNERS, OUTPUT.path) == owners


@pytest.mark.parametrize("deed", ["delete", "change"])
async def test_input_stays_when_its_producer_is_deleted(place: DjangoPlace, deed: str) -> None:
    """A record keeps its inputs, whatever happens to the record that had made them."""
    producer = record("producer", output_data=(OUTPUT, INPUT))
    consumer = record("consumer", input_data=(OUTPUT,))
    await place.put(producer, consumer)
    after = None if deed == "delete" else change(producer, output_data=(INPUT,))

    outcomes, scan = await write_and_scan(place, [Change(key("producer"), after, canonical.digest(producer))])

    assert outcomes == [DONE]
    assert scan.digests[key("consumer")] == canonical.digest(consumer)
    assert place.run(OWNERS, OUTPUT.path) == [(1, None)]
    assert len(place.run(OWNERS, INPUT.path)) == (0 if deed == "delete" else 1)


async def test_input_is_written_again_if_its_row_is_gone(place: DjangoPlace) -> None:
    """Another program deleted the row after smtd last used it."""
    one, other = record("one", input_data=(OUTPUT,)), record("other", input_data=(OUTPUT,))

    async with place.open() as store:
        await store.write([create(one)])
        # As Sumatra does when it deletes the record that made the data.
        place.run("DELETE FROM django_store_record_input_data")
        place.run("DELETE FROM django_store_datakey")
        outcomes = await store.write([create(other)])
        scan = await store.scan()

    assert outcomes == [DONE]
    assert scan.digests == digests(change(one, input_data=()), other)
    assert place.run("PRAGMA foreign_key_check") == []


async def test_delete_leaves_no_rows_of_the_record(place: DjangoPlace) -> None:
    """Nothing refers to a deleted record."""
    await place.put(full("gone"), full("other"))
    other = place.forms()[key("other")]

    outcomes = await write_to(place, [delete(full("gone"))])

    assert outcomes == [DONE]
    assert place.forms() == {key("other"): other}
    assert place.run("PRAGMA foreign_key_check") == []
    for table, column in OWNED.items():
        assert place.run(f"SELECT * FROM {table} WHERE {column} = 1") == []


# Tags

TAGS = (
    "SELECT r.tags, group_concat(t.name, ',') FROM django_store_record r"
    " LEFT JOIN django_store_taggeditem i ON i.object_id = r.db_id AND i.content_type_id ="
    " (SELECT id FROM django_content_type WHERE app_label = 'django_store' AND model = 'record')"
    " LEFT JOIN django_store_tag t ON t.id = i.tag_id GROUP BY r.db_id"
)


@pytest.mark.parametrize("before", [{"_running_"}, set(), {"_finished_", "été"}], ids=len)
async def test_tags_are_written_to_column_and_tables(place: DjangoPlace, before: set[str]) -> None:
    """Where Sumatra looks for them and where it shows them, in every write."""
    old, new = record(tags=frozenset(before)), record(tags=frozenset({"_finished_", "figure-2"}))

    async with place.open() as store:
        await store.write([create(old)])
        created = place.run(TAGS)
        await store.write([replace(old, new)])
        changed = place.run(TAGS)

    assert [set(filter(None, (text or "").split(","))) for text in created[0]] == [before, before]
    assert [set(text.split(",")) for text in changed[0]] == [new.tags, new.tags]


async def test_content_type_may_have_any_number(place: DjangoPlace) -> None:
    """smtd looks up Django's number for records; tags of objects with other numbers are not theirs."""
    await place.put(full())
    place.run("DELETE FROM django_store_taggeditem")
    place.run("UPDATE django_content_type SET id = id + 100 WHERE model = 'record'")
    place.run("INSERT INTO django_content_type (app_label, model) VALUES ('blog', 'record')")
    place.run("INSERT INTO django_store_tag (id, name) VALUES (77, 'foreign')")
    place.run(
        "INSERT INTO django_store_taggeditem (object_id, content_type_id, tag_id)"
        " SELECT 1, id, 77 FROM django_content_type WHERE app_label = 'blog'"
    )

    async with place.open() as store:
        bare = full(tags=frozenset())
        found = await store.read([key("full")])
        outcomes = await store.write([replace(bare, full())])
        again = await store.read([key("full")])

    assert found[key("full")].tags == frozenset()
    assert outcomes == [DONE]
    assert again[key("full")].tags == full().tags
    assert ("full", 77) not in place.run("SELECT name, id FROM django_store_tag")
    assert place.run("SELECT count(*) FROM django_store_taggeditem WHERE tag_id = 77") == [(1,)]


async def test_missing_content_type_is_created(place: DjangoPlace) -> None:
    """Django has no number for records yet in a store without any."""
    await place.put(record())
    place.run("DELETE FROM django_store_taggeditem")
    place.run("DELETE FROM django_content_type")

    outcomes, found = await write_and_read(place, [create(full())], [key("full")])

    assert outcomes == [DONE]
    assert found[key("full")].tags == full().tags


# Invalid values


#: The rows of the record `bad`.
OF_BAD = {
    **{
        table: f"id = (SELECT {reference}_id FROM django_store_record WHERE label = 'bad')"
        for table, reference in (
            *(("launchmode", "launch_mode"), ("datastore", "datastore"), ("parameterset", "parameters")),
        )
    },
    "datakey": "output_from_record_id = 1",
    "record": "label = 'bad'",
}


def wrong(trap: str) -> dict[str, tuple[str, ...]]:
    """Return, by name, a table, what is set there, and a value that Sumatra would run or fail on.

    Which parameters cannot be read is in tests/records/test_hostile.py.
    """
    deep = "[" * 50_000 + "]" * 50_000
    return {
        "code in a launch mode": ("launchmode", "parameters = ?", f"{{'working_directory': {trap}}}"),
        "a list in place of a launch mode": ("launchmode", "parameters = ?", "[1]"),
        "nothing in place of a launch mode": ("launchmode", "parameters = ?", ""),
        "a launch mode that is nested": ("launchmode", "parameters = ?", deep),
        "a launch mode that is signed": ("launchmode", "parameters = ?", "-" * 50_000 + "1"),
        "a launch mode with a zero": ("launchmode", "parameters = ?", "{'a': '\0'}\0"),
        "code in a data store": ("datastore", "parameters = ?", f"{{'root': {trap}}}"),
        "code in parameters": ("parameterset", "content = ?", f"a = {trap}"),
        "code in metadata": ("datakey", "metadata = ?", f"{{'a': {trap}}}"),
        "metadata that is a list": ("datakey", "metadata = ?", "[1]"),
        "metadata that is nested": ("datakey", "metadata = ?", deep),
        "a creation that is none": ("datakey", "creation = 'then'"),
        "a path that is no Unicode": ("datakey", "path = CAST(x'ff' AS TEXT)"),
        "a time that is none": ("record", "timestamp = 'yesterday'"),
        "a time that is a number": ("record", "timestamp = 5"),
        "a time before all": ("record", "timestamp = '0001-01-01 00:00:00+05:00'"),
        "a time after all": ("record", "timestamp = '9999-12-31 23:59:59-05:00'"),
        "a duration that is bytes": ("record", "duration = x'00ff'"),
        "a label that is bytes": ("record", "label = x'626164'"),
        "a project that is bytes": ("record", "project_id = CAST(project_id AS BLOB)"),
        "a duration that is none": ("record", "duration = 'long'"),
        "a text that is no Unicode": ("record", "outcome = CAST(x'ff' AS TEXT)"),
        "a text that is bytes": ("record", "outcome = x'ff'"),
        "a launch mode that is gone": ("record", "launch_mode_id = 99"),
        "parameters that are gone": ("record", "parameters_id = 99"),
        "a data store that is gone": ("record", "datastore_id = 99"),
        "an executable that is gone": ("record", "executable_id = 99"),
    }


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", wrong(""))
async def test_invalid_value_makes_its_record_unreadable(place: DjangoPlace, trap: str, name: str) -> None:
    """In one line; nothing is run, the others are read, and the record does not count as deleted."""
    table, setting, *values = wrong(trap)[name]
    own = {field: OTHER[field] for field in ("launch_mode", "datastore", "input_datastore", "parameters")}
    await place.put(full("bad"), record("good", **own))
    place.run(f"UPDATE django_store_{table} SET {setting} WHERE {OF_BAD[table]}", *values)

    async with place.open() as store:
        scan = await store.scan()
        found = await store.read([key("bad"), key("good")])
        outcomes = await store.write([NEW, delete(full("bad"))])

    assert set(scan.unreadable) == {key("bad")}
    assert "\n" not in scan.unreadable[key("bad")]
    assert len(scan.unreadable[key("bad")]) < 400
    assert set(scan.digests) == set(found) == {key("good")}
    assert outcomes == [DONE, STALE]


@pytest.mark.parametrize(
    "label", ["CAST('run' AS BLOB)", "CAST(x'72ff6e' AS TEXT)"], ids=["bytes", "no Unicode"]
)
async def test_repaired_label_is_read_again(place: DjangoPlace, label: str) -> None:
    """A label that is not text is reported; once it is text again, the record is as before."""
    await place.put(record(), record("other"))

    async with place.open() as store:
        await store.scan()
        place.run(f"UPDATE django_store_record SET label = {label} WHERE label = 'run'")
        broken = dict((await store.scan()).unreadable)
        place.run("UPDATE django_store_record SET label = 'run' WHERE label != 'other'")
        after = await store.scan()

    assert list(broken.values()) == ["its label or its project is not text; correct it there"]
    assert all(of.label.encode() for of in broken)
    assert (set(after.digests), dict(after.unreadable)) == ({key("run"), key("other")}, {})


async def test_row_without_a_label_is_reported_by_its_number(place: DjangoPlace) -> None:
    """It hides no other record."""
    await place.put(record(), record("other"))
    with connect(place) as db:
        db.executescript(
            "PRAGMA writable_schema = 1; UPDATE sqlite_master SET sql ="
            " replace(sql, '\"label\" varchar(100) NOT NULL', '\"label\" varchar(100)')"
            " WHERE name = 'django_store_record'"
        )
    place.run("UPDATE django_store_record SET label = NULL WHERE label = 'run'")

    scan = await scan_of(place)

    assert set(scan.digests) == {key("other")}
    assert set(scan.unreadable) == {key("(row 1, without a name)")}


OUTPUT_METADATA = "'{''mimetype'': ''text/csv'', ''encoding'': None, ''size'': 4096}'"
OTHERWISE_WRITTEN = {
    "a time with an offset": "record SET timestamp = '2024-03-31 05:30:00.123456+05:00'",
    "metadata as before 0.7": f"datakey SET metadata = {OUTPUT_METADATA} WHERE path = 'run/result.csv'",
}


@pytest.mark.parametrize("statement", OTHERWISE_WRITTEN.values(), ids=OTHERWISE_WRITTEN)
async def test_values_in_other_notations_are_read(place: DjangoPlace, statement: str) -> None:
    """Django accepts a time with an offset; metadata once was a dictionary of Python."""
    await place.put(full())
    place.run(f"UPDATE django_store_{statement}")

    assert (await scan_of(place)).digests == digests(full())


async def test_row_without_a_project_is_no_record(place: DjangoPlace) -> None:
    """As for Sumatra."""
    await place.put(record(), record("other"))
    place.run("UPDATE django_store_record SET project_id = NULL WHERE label = 'other'")
    before = place.run("SELECT * FROM django_store_record WHERE label = 'other'")

    async with place.open() as store:
        scan = await store.scan()
        outcomes = await store.write([create(record("other"))])

    assert set(scan.digests) == {key("run")}
    assert outcomes == [DONE]
    assert place.run("SELECT * FROM django_store_record WHERE project_id IS NULL") == before


async def test_record_that_the_database_refuses_holds_back_no_other(place: DjangoPlace) -> None:
    """The others of its batch land."""
    await place.put(record("old"))
    place.run(
        "CREATE UNIQUE INDEX one_of_two ON django_store_record (project_id || '')"
        " WHERE label IN ('old', 'bad')"
    )
    labels = ["first", "bad", "last"]
    # Helper rows that are rolled back with the refused batch must not be used afterwards.
    records = [
        full(label, user=label, parameters=Parameters("dict", repr({"of": label}))) for label in labels
    ]

    (first, bad, last), scan = await write_and_scan(place, [create(one) for one in records])

    assert (first, last) == (DONE, DONE)
    assert bad.result is Result.REFUSED
    assert "one_of_two" in bad.reason
    assert scan.digests == digests(record("old"), records[0], records[2])


async def test_update_writes_only_changed_columns_and_rows(place: DjangoPlace) -> None:
    """A change of tags and outcome touches no others."""
    before = full()
    await place.put(before)
    rows = place.forms()[key("full")]
    names = [name for _, name, *_ in place.run("PRAGMA table_info(django_store_record)")]

    async with place.open() as store:
        after = commented(tagged(before, "good"), "and more")
        assert await store.write([replace(before, after)]) == [DONE]

    now = place.forms()[key("full")]
    changed = [name for name, old, new in zip(names, rows[0][0], now[0][0], strict=True) if old != new]
    assert sorted(changed) == ["outcome", "tags"]
    assert now[2:] == rows[2:]


# The file


async def test_new_file_has_the_journal_mode_of_sumatra(place: DjangoPlace) -> None:
    """As if Sumatra had created it."""
    await place.put(record())

    assert place.run("PRAGMA journal_mode") == [("delete",)]
    assert set(place.files()) == {"records"}


@pytest.mark.parametrize("content", [None, "empty", "without tables"])
async def test_missing_or_unused_file_is_an_empty_store(place: DjangoPlace, content: str | None) -> None:
    """Reading does not change that, and leaves no thread."""
    if content is not None:
        place.path.touch()
    if content == "without tables":
        place.run("PRAGMA user_version = 1")
    before = place.files()

    async with place.open() as store:
        await store.scan()
        threads = running()
        found = await store.projects(), (await store.scan()).digests, await store.read([key("run")])
        token = await store.token()
        looked, left = place.files(), left_behind(threads)
        outcomes = await store.write([NEW])

    assert found == ([], {}, {})
    assert token is None
    assert (looked, left) == (before, set())
    assert outcomes == [DONE]


@pytest.mark.parametrize("old", ["django074.sqlite", "no migrations", "another program"])
async def test_unknown_schema_is_refused(place: DjangoPlace, old: str) -> None:
    """smtd would misread it; each call reports that in one sentence, and changes nothing."""
    if old.endswith(".sqlite"):
        shutil.copyfile(CORPUS / old, place.path)
    else:
        await place.put(record())
        place.run(
            "DROP TABLE django_migrations" if old == "no migrations" else "DELETE FROM django_migrations"
        )
    before = place.files()

    async with place.open() as store:
        with pytest.raises(StoreRefused, match=r"not a record store of Sumatra 0\.8\.1") as told:
            await store.scan()
        threads = running()
        for look in (store.projects(), store.read([key("run")]), store.write([NEW])):
            with pytest.raises(StoreRefused):
                await look
        assert left_behind(threads) == set()

    assert str(place.path) in str(told.value)
    assert "\n" not in str(told.value)
    assert place.files() == before


async def test_replaced_file_is_noticed(place: DjangoPlace, tmp_path: Path) -> None:
    """smtd does not go on with the old one."""
    await place.put(record())
    other = DjangoPlace(tmp_path / "other")
    await other.put(record("restored"))

    async with place.open() as store:
        assert await store.write([create(record("older"))]) == [DONE]
        other.path.rename(place.path)
        with suppress(StoreUnreachable):
            assert set((await store.scan()).digests) == {key("restored")}
        assert await store.read([key("run"), key("older")]) == {}
        assert await store.write([NEW]) == [DONE]

    assert set(place.forms()) == {key("restored"), key("new")}


async def test_read_and_write_meet_the_file_that_is_at_the_path_now(
    place: DjangoPlace, tmp_path: Path
) -> None:
    """Another file has come there since the last look, with other rows under the same ids."""
    await place.put(record("old"))
    other = DjangoPlace(tmp_path / "other")
    await other.put(record("another"), record("restored"))

    async with place.open() as store:
        assert set((await store.scan()).digests) == {key("old")}
        other.path.rename(place.path)
        assert set(await store.read([key("old"), key("restored")])) == {key("restored")}

    third = DjangoPlace(tmp_path / "third")
    await third.put(record("third"))
    async with place.open() as store:
        assert key("restored") in (await store.scan()).digests
        third.path.rename(place.path)
        assert await store.write([NEW]) == [DONE]

    assert set(place.forms()) == {key("third"), key("new")}


async def test_nothing_is_written_to_an_empty_file_in_the_place_of_a_store(
    place: DjangoPlace, tmp_path: Path
) -> None:
    """Neither tables nor a record: a cycle looks at it first."""
    await place.put(record())
    empty = tmp_path / "empty"
    empty.touch()

    async with place.open() as store:
        await store.scan()
        empty.rename(place.path)
        with pytest.raises(StoreUnreachable, match="empty file"):
            await store.write([NEW])

    assert place.path.read_bytes() == b""


async def test_directory_replaced_by_a_file_is_an_error(place: DjangoPlace) -> None:
    """Also for a caller that only asks for changes."""
    await place.put(record())

    async with place.open() as store:
        await store.scan()
        token = await store.token()
    shutil.rmtree(place.path.parent)
    place.path.parent.touch()
    async with place.open() as store:
        assert token is not None
        with pytest.raises(StoreUnreachable):
            await store.scan()
        with pytest.raises(StoreUnreachable):
            await store.unchanged_since(token)


async def test_two_objects_can_create_a_store_at_once(place: DjangoPlace) -> None:
    """One of them creates it, and the writes of both land."""
    outcomes = []

    async def make(label: str) -> None:
        outcomes.extend(await write_to(place, [create(record(label))]))

    async with anyio.create_task_group() as group:
        for label in ("one", "other", "third"):
            group.start_soon(make, label)

    assert outcomes == [DONE, DONE, DONE]
    assert set(place.forms()) == {key("one"), key("other"), key("third")}


# Other programs


async def test_scan_waits_for_the_rest_of_a_save(place: DjangoPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A save of Sumatra is never one commit."""
    # Even on a busy machine the save continues within a second.
    monkeypatch.setattr(dialect, "QUIET", 1.0)
    await place.put(full())
    tags = place.run("SELECT object_id, content_type_id, tag_id FROM django_store_taggeditem")
    place.run("DELETE FROM django_store_taggeditem")
    scans = []

    async def scan() -> None:
        scans.append(await scan_of(place))

    async with anyio.create_task_group() as group:
        group.start_soon(scan)
        await anyio.wait_all_tasks_blocked()
        for row in tags:
            place.run(
                "INSERT INTO django_store_taggeditem (object_id, content_type_id, tag_id) VALUES (?, ?, ?)",
                *row,
            )

    assert scans[0].digests == digests(full())


async def test_lock_during_the_check_of_the_schema_is_no_wrong_schema(
    place: DjangoPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """smtd tries again."""
    await place.put(record())
    fetch = smtd.sqlite.Connection.fetch

    async def locked(self: smtd.sqlite.Connection, sql: str, parameters: Any = ()) -> Any:
        if "django_migrations" in sql:
            raise sqlite3.OperationalError("database is locked")
        return await fetch(self, sql, parameters)

    monkeypatch.setattr(smtd.sqlite.Connection, "fetch", locked)
    with pytest.raises(StoreUnreachable, match="locked"):
        await scan_of(place)


async def test_write_fails_whole_while_another_program_reads(place: DjangoPlace, impatient: None) -> None:
    """If the program does not stop; the error says so."""
    await place.put(record())
    before = place.forms()

    with connect(place) as db:
        db.execute("BEGIN")
        db.execute("SELECT * FROM django_store_record").fetchall()
        with pytest.raises(StoreUnreachable, match="locked by another program"):
            await write_to(place, [NEW])

    assert place.forms() == before


@asynccontextmanager
async def counted(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Yield the lists of transactions and of pauses."""
    kinds: list[str] = []
    pauses: list[float] = []
    transaction, sleep = smtd.sqlite.Connection.transaction, anyio.sleep

    def begin(self: smtd.sqlite.Connection, kind: str = "IMMEDIATE") -> Any:
        kinds.append(kind)
        return transaction(self, kind)

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(seconds)

    with monkeypatch.context() as patch:
        patch.setattr(smtd.sqlite.Connection, "transaction", begin)
        patch.setattr(anyio, "sleep", pause)
        yield kinds, pauses


@pytest.mark.parametrize(("is_new", "transactions"), [(False, 3), (True, 2)])
async def test_transactions_are_short_in_a_store_with_records(
    place: DjangoPlace, monkeypatch: pytest.MonkeyPatch, is_new: bool, transactions: int
) -> None:
    """smtd writes at most a hundred records at a time, and then releases the lock.

    It fills a new store at once after it created the tables, as no other program can be using it yet.
    """
    if not is_new:
        await place.put(record())

    async with place.open() as store, counted(monkeypatch) as (kinds, pauses):
        assert store.capabilities.batch == (500 if is_new else 100)
        outcomes = await store.write([create(record(f"run-{n}")) for n in range(250)])

    assert set(outcomes) == {DONE}
    assert kinds.count("IMMEDIATE") == transactions
    assert is_new or len([pause for pause in pauses if pause > 0]) == 3


SUMATRA_LIKE = """
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], timeout=5, isolation_level=None)
columns = ", ".join(
    row[1] for row in db.execute("PRAGMA table_info(django_store_record)") if row[1] not in ("db_id", "label")
)
print("ready", flush=True)
for number in range(100000):
    started = time.monotonic()
    db.execute(
        f"INSERT INTO django_store_record (label, {columns}) SELECT ?, {columns}"
        " FROM django_store_record WHERE db_id = 1", (f"theirs-{number}",)
    )
    db.execute("UPDATE django_store_record SET outcome = 'saved' WHERE label = ?", (f"theirs-{number}",))
    print(time.monotonic() - started, flush=True)
    if sys.stdin.readable() and __import__("select").select([sys.stdin], [], [], 0.01)[0]:
        break
"""


async def test_sumatra_saves_while_smtd_writes_many(place: DjangoPlace) -> None:
    """A program that waits five seconds for locks, as Sumatra does, completes all of its saves."""
    await place.put(record())
    changes = [create(full(f"run-{n}")) for n in range(1000)]
    writer = start(SUMATRA_LIKE, place)
    assert writer.stdout is not None
    writer.stdout.readline()

    outcomes = await write_to(place, changes)
    waits, errors = finished(writer)

    assert set(outcomes) == {DONE}
    assert errors == ""
    assert len(waits) > 3
    assert max(waits) < 4
    saved = place.run("SELECT count(*) FROM django_store_record WHERE outcome = 'saved'")
    assert saved == [(len(waits),)]


def start(script: str, place: DjangoPlace) -> subprocess.Popen[str]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", script, str(place.path)], text=True, **pipes)  # type: ignore[call-overload, no-any-return]


def finished(writer: subprocess.Popen[str]) -> tuple[list[float], str]:
    """Let the writer end, and return how long each of its saves took, and its errors."""
    assert writer.stdin is not None
    assert writer.stdout is not None
    assert writer.stderr is not None
    with writer, writer.stdin:
        with suppress(BrokenPipeError):  # its error is in its output
            writer.stdin.write("\n")
            writer.stdin.flush()
        # Not `communicate`, which skips what came with the line that has been read already.
        return [float(line) for line in writer.stdout], writer.stderr.read()


SELECTS_OF_PARTS = (
    *(schema.SELECT_TAGS, schema.SELECT_INPUTS, schema.SELECT_OUTPUTS),
    *(schema.SELECT_DEPENDENCIES, schema.SELECT_PLATFORMS),
)


@pytest.mark.parametrize(
    "select",
    [
        f"{schema.SELECT_RECORDS} WHERE r.db_id IN (?, ?)",
        *(each.format(ids="?, ?") for each in SELECTS_OF_PARTS),
    ],
)
async def test_reading_some_records_scans_no_table(place: DjangoPlace, select: str) -> None:
    """SQLite finds them by their row numbers."""
    await place.put(full("full"))

    plan = [detail for *_, detail in place.run(f"EXPLAIN QUERY PLAN {select}", 1, 2)]

    assert plan != []
    assert [step for step in plan if step.startswith("SCAN") or "(content_type_id=?)" in step] == []
