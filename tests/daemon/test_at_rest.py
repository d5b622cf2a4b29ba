"""An idle pair runs few cycles, whatever its files are like."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace

import anyio
import pytest

from smtd import pairing
from smtd.daemon import malloc
from smtd.daemon.events import Events
from smtd.daemon.jobs import Sync
from smtd.daemon.runner import MANY
from smtd.daemon.worker import Worker
from smtd.journal.journal import open_journal
from smtd.merge.decide import Mode
from smtd.watch import Watch
from tests.daemon.working import SETTINGS, put, two_files, until_in_sync, working


@pytest.fixture
def cycles(monkeypatch):
    """The list of cycles that began."""
    begun, sync = [], pairing.sync

    async def counted(*words, **more):
        begun.append(words)
        return await sync(*words, **more)

    monkeypatch.setattr(pairing, "sync", counted)
    return begun


async def run(locations, directory, mode):
    """Run a worker for a second and a half."""
    settings = replace(SETTINGS, settle=0.2, policy=replace(SETTINGS.policy, mode=mode))
    async with open_journal(directory / "state") as journal:
        worker = Worker(settings, lambda: locations, journal, Watch(), Events(journal.events))
        with anyio.move_on_after(1.5):
            await worker.run()


async def test_missing_source_costs_few_cycles(tmp_path, cycles):
    await run(await two_files(tmp_path), tmp_path, Mode.RIGHT_TO_LEFT)

    assert len(cycles) <= 5


@pytest.mark.root
async def test_write_ahead_log_costs_root_few_cycles(tmp_path, cycles):
    """For root, SQLite sets the owner of each log that it opens, which changes its ctime."""
    locations = await two_files(tmp_path)
    with closing(sqlite3.connect(locations.left.path)) as db:
        db.execute("PRAGMA journal_mode = wal")
    await run(locations, tmp_path, Mode.TWO_WAY)

    assert len(cycles) <= 5


async def test_memory_of_many_records_goes_back_to_the_system(tmp_path, monkeypatch):
    """After each cycle that wrote many, not only after the first one; one record is not worth it."""
    locations, trimmed = await two_files(tmp_path), []
    async with working(locations, tmp_path) as worker:
        await until_in_sync(worker, 1)
        monkeypatch.setattr(malloc, "trim", lambda: trimmed.append("trimmed"))
        for count, labels in ((1, ["one"]), (MANY, [f"run-{number}" for number in range(MANY)])):
            await put(locations.left, *labels)
            before = worker.status.in_sync
            worker.submit_nowait(Sync())
            await until_in_sync(worker, before + count)
            assert trimmed == ["trimmed"] * (count == MANY)
