"""A row of SQLite whose label is lost is one failed record, and not a deletion."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from smtd import pairing
from smtd.merge.sides import SIDES, Side
from tests.build import PROJECT, commented, full, key
from tests.stores.kept import RealPair
from tests.stores.places import DjangoPlace, dumb_place

RECORDS = [full(f"r{number}") for number in range(4)]
LABELS = {record.label for record in RECORDS}
#: The label after the damage.
LOST = {
    "NULL": "NULL",
    "bytes": "x'ff00'",
    "bytes of another text": "x'37'",
    "text that is no Unicode": "CAST(x'72ff' AS TEXT)",
}
lost = pytest.mark.parametrize("value", LOST.values(), ids=LOST.keys())


@pytest.fixture
async def pair(tmp_path):
    """A shelf and an SQLite store that accepts any label, in sync."""
    (tmp_path / "right").mkdir()
    pair = RealPair(tmp_path, dumb_place(tmp_path / "left"), DjangoPlace(tmp_path / "right" / "lab.sqlite"))
    await pair.synced(RECORDS)
    with closing(sqlite3.connect(pair.right.location.path)) as db:
        db.executescript(
            "PRAGMA writable_schema = 1; UPDATE sqlite_master SET sql ="
            " replace(sql, '\"label\" varchar(100) NOT NULL', '\"label\" varchar(100)')"
            " WHERE name = 'django_store_record'"
        )
    return pair


def lose(pair, label, value):
    pair.right.run(f"UPDATE django_store_record SET label = {value} WHERE label = '{label}'")


def mend(pair, label):
    others = ", ".join(f"'{each}'" for each in LABELS - {label})
    pair.right.run(
        f"UPDATE django_store_record SET label = '{label}' WHERE label IS NULL OR label NOT IN ({others})"
    )


@lost
async def test_record_with_a_lost_label_is_deleted_on_no_side(pair, value):
    """Also by the next process; each cycle reports the record.

    Once its label is repaired, edits are synced again.
    """
    lose(pair, "r1", value)
    for report in [await pair.cycle(), await pair.cycle()]:
        assert not report.wrote
        assert "r1" in {failure.label for failure in report.failed}
    assert await pair.labels(Side.LEFT) == LABELS

    mend(pair, "r1")
    await pair.left.put(commented(RECORDS[1], "after"))
    report = await pair.cycle()
    assert (report.ok, report.right.updated, report.left.deleted) == (True, 1, 0)
    assert [await pair.labels(side) for side in SIDES] == [LABELS, LABELS]


@lost
async def test_record_that_loses_its_label_in_an_open_store_is_not_deleted(pair, value):
    """A daemon that knows the rows syncs the others, and this one once its label is repaired."""
    locations = pair.places.map(lambda place: place.location)
    async with pairing.open_stores(locations) as stores:
        await pair.cycle(stores)
        lose(pair, "r1", value)
        await pair.left.put(commented(RECORDS[2], "meanwhile"))
        broken = await pair.cycle(stores)
        again = await pair.cycle(stores)
        mend(pair, "r1")
        mended = await pair.cycle(stores)

    assert (broken.right.updated, broken.left.deleted, again.left.deleted) == (1, 0, 0)
    assert {failure.label for failure in again.failed} >= {"r1"}
    assert (mended.ok, mended.wrote, mended.in_sync) == (True, False, 4)


async def test_deletions_wait_until_a_lost_label_is_repaired(pair):
    """smtd cannot tell which record is the nameless one; afterwards it carries out those of both sides."""
    lose(pair, "r1", "NULL")
    await pair.right.remove("r2")
    await pair.left.remove("r1")

    waiting = await pair.cycle()
    mend(pair, "r1")
    mended = await pair.cycle()

    assert (waiting.left.deleted, waiting.right.deleted) == (0, 0)
    assert {failure.label for failure in waiting.failed} >= {"r1", "r2"}
    assert (mended.ok, mended.left.deleted, mended.right.deleted) == (True, 1, 1)
    assert await pair.labels(Side.LEFT) == LABELS - {"r1", "r2"}


async def test_lost_label_holds_back_no_deletion_in_other_projects(pair):
    await pair.left.put(*RECORDS, project="Other")
    await pair.cycle()
    lose(pair, "r1", f"CASE project_id WHEN '{PROJECT}' THEN NULL ELSE label END")
    await pair.right.remove("r2", project="Other")

    report = await pair.cycle()

    assert report.left.deleted == 1
    assert key("r1") in await pair.records(Side.LEFT)
