"""Stores of rows, whose changes any process finds from their index."""

from __future__ import annotations

import pytest

from smtd.engine import cycle, observe
from smtd.merge.sides import SIDES
from smtd.records.canonical import digest
from smtd.stores.django import sqlite
from smtd.stores.django.file_tracker import FileTracker
from tests.build import commented, key, record, tagged
from tests.stores.kept import RealPair
from tests.stores.places import DjangoPlace

MADE = [record(f"run-{number:03}") for number in range(300)]


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    """Do not wait for a moment in which no program writes."""
    monkeypatch.setattr(sqlite, "QUIET", 1e-9)


@pytest.fixture
def read(monkeypatch):
    """The labels of the records that looks have read."""
    found = []
    understood = FileTracker._decoded

    def noted(tracker, raw):
        found.append(raw.row[2])
        return understood(tracker, raw)

    monkeypatch.setattr(FileTracker, "_decoded", noted)
    return found


@pytest.fixture(params=[0, 1_000_000], ids=["learns what it wrote", "reads what it wrote"])
async def files(request, tmp_path, monkeypatch):
    """A pair of two SQLite files in sync; each of its cycles is one of a new process."""
    monkeypatch.setattr(observe, "MANY_WRITTEN", request.param)
    left, right = (DjangoPlace(tmp_path / f"{name}.sqlite") for name in ("left", "right"))
    files = await RealPair(tmp_path / "state", left, right).synced(MADE)
    await files.cycle()
    return files


async def test_one_change_costs_the_records_of_its_block(files, read):
    """In a process that has not seen the stores before."""
    await files.left.put(commented(MADE[7], "seen"))
    await files.right.put(tagged(MADE[9], "right"))
    read.clear()

    report = await files.cycle()

    left, right = [await files.records(side) for side in SIDES]
    assert (report.left.updated, report.right.updated, report.in_sync) == (1, 1, 300)
    assert left == right
    assert digest(left[key("run-007")]) == digest(commented(MADE[7], "seen"))


async def test_unchanged_store_is_not_read(files, read):
    await files.cycle()

    assert read == []


async def test_deletion_right_after_a_write_of_smtd_is_carried(files):
    """The rows then equal those from before the write."""
    await files.left.put(record("new"))
    assert (await files.cycle()).right.created == 1
    await files.right.remove("new")

    report = await files.cycle()

    assert (report.left.deleted, report.in_sync) == (1, 300)


async def test_rechecked_record_is_read(files, read):
    """Although its rows are unchanged."""
    read.clear()

    await files.on_pair(cycle.run, recheck=[key("run-003")])

    assert "run-003" in read


async def test_exchanged_store_is_read_whole(files, tmp_path):
    """And the records that it lacks are not deleted."""
    other = DjangoPlace(tmp_path / "other.sqlite")
    await other.put(*MADE[:200])
    other.location.path.rename(files.right.location.path)

    report = await files.cycle()

    left, right = [await files.records(side) for side in SIDES]
    assert (report.left.deleted, report.right.created) == (0, 100)
    assert left == right


async def test_file_whose_rows_cannot_be_compared_is_synced_too(files):
    """It has a value that Sumatra never writes, so each look reads it whole."""
    files.right.run("UPDATE django_store_record SET stdout_stderr = x'00ff' WHERE label = 'run-100'")
    await files.cycle()
    await files.left.put(commented(MADE[7], "seen"), record("new"))

    report = await files.cycle()
    await files.right.put(tagged(MADE[9], "right"))
    then = await files.cycle()

    assert (report.right.created, report.right.updated, then.left.updated) == (1, 1, 1)
