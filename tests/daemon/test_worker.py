"""One pair and its worker, without a process."""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import ref

import anyio
import pytest

from smtd import pairing
from smtd.daemon import store_session
from smtd.daemon.dirty import ChangeSource
from smtd.daemon.events import Events
from smtd.daemon.jobs import Job, Preview, Sync, SyncOptions
from smtd.daemon.worker import Worker
from smtd.engine.report import PairReport
from smtd.engine.resolve import Resolution, resolve
from smtd.errors import SmtdError, StoreUnreachable, UsageError
from smtd.journal.decisions import Choice
from smtd.journal.journal import open_journal
from smtd.merge.sides import Both
from smtd.stores.location import Location
from smtd.stores.registry import open_store
from smtd.watch import Watch
from tests.daemon.working import SETTINGS, put, until_in_sync


async def test_change_during_a_plan_is_synced_by_the_next_cycle(
    worker: Worker, locations: Both[Location], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan only looks."""
    sync, preview, cycles = pairing.sync, pairing.preview, []

    async def synced(*args: Any, **options: Any) -> Any:
        cycles.append("sync")
        return await sync(*args, **options)

    async def previewed(*args: Any, **options: Any) -> Any:
        cycles.append("preview")
        report = await preview(*args, **options)
        await put(locations.left, "more")
        worker.dirty.notice(ChangeSource.FILES)
        return report

    monkeypatch.setattr(pairing, "sync", synced)
    monkeypatch.setattr(pairing, "preview", previewed)
    plan = Preview()
    worker.submit_nowait(plan)

    assert (await plan.wait()).right.created == 0
    await until_in_sync(worker, 2)

    assert cycles[:2] == ["preview", "sync"]


async def test_change_noticed_right_after_a_cycle_causes_another_one(
    worker: Worker, locations: Both[Location], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cycle has compared the stores, and nothing else would notice the change before the next poll."""
    sync, cycled, late = pairing.sync, [], ["late"]

    async def watched(*args: Any, **options: Any) -> Any:
        report = await sync(*args, **options)
        if late:
            await put(locations.left, late.pop())
            worker.dirty.notice(ChangeSource.FILES)
        cycled.append(report.in_sync)
        return report

    monkeypatch.setattr(pairing, "sync", watched)
    await worker.submit(Sync())
    await until_in_sync(worker, 2)

    assert (cycled[0], cycled[-1]) == (1, 2)


async def test_own_write_noticed_during_a_cycle_causes_no_other_one(
    worker: Worker, locations: Both[Location], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a watch sees then is what smtd itself has just written."""
    sync, cycles = pairing.sync, []

    async def watched(*args: Any, progress: Any, **options: Any) -> Any:
        def writing(*phase: Any) -> None:
            worker.dirty.notice(ChangeSource.FILES)
            worker.dirty.notice(ChangeSource.REPORT)
            progress(*phase)

        cycles.append("cycle")
        return await sync(*args, progress=writing, **options)

    monkeypatch.setattr(pairing, "sync", watched)
    await put(locations.left, "more")
    await worker.submit(Sync())

    assert cycles == ["cycle"]
    assert worker.dirty.touched
    assert worker.dirty.since is None


@pytest.mark.parametrize("job", [Preview, Sync])
async def test_change_noticed_after_a_job_is_new(job: Callable[[], Job[PairReport]], worker: Worker) -> None:
    """Another program made it."""
    await worker.submit(job())
    worker.dirty.notice(ChangeSource.FILES)

    assert worker.dirty.since is not None


@pytest.mark.parametrize(
    ("error", "opened"),
    [(StoreUnreachable("it is away"), ["opened"] * 2), (UsageError("name two"), [])],
    ids=["of a store", "of a person"],
)
async def test_change_stays_when_a_cycle_fails(
    error: SmtdError, opened: list[str], worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lag grows; the stores are opened again for the next cycle only if they failed."""
    seen = []

    async def fails(*_args: Any, **_options: Any) -> Any:
        raise error

    def watched(location: Location) -> Any:
        seen.append("opened")
        return open_store(location)

    worker.pause()
    worker.dirty.set()
    monkeypatch.setattr(store_session, "open_store", watched)
    with monkeypatch.context() as patched:
        patched.setattr(pairing, "sync", fails)
        with pytest.raises(type(error)):
            await worker.submit(Sync())
    waiting = worker.dirty.since
    await worker.submit(Sync())

    assert waiting is not None
    assert (worker.dirty.since, seen) == (None, opened)


async def test_store_that_cannot_be_closed_stops_nothing(
    worker: Worker, locations: Both[Location], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an error the stores are closed; another error then does not stop the worker."""

    async def fails(*_args: Any, **_options: Any) -> Any:
        raise StoreUnreachable("gone")

    def broken() -> Any:
        raise sqlite3.OperationalError("disk I/O error")

    worker.session._open.callback(broken)
    with monkeypatch.context() as patched:
        patched.setattr(pairing, "sync", fails)
        first = Sync()
        worker.submit_nowait(first)
        await first.done.wait()
    again = Sync()
    worker.submit_nowait(again)

    assert str(first.outcome) == "gone"
    assert (await again.wait()).in_sync == 1


class Answer:
    """The memory of a look: for example 32 MiB of an answer that is not from a Sumatra Server."""


async def test_failed_look_leaves_nothing_in_memory(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is released when the next one ends: the garbage collector runs seldom in the daemon."""
    held: list[ref[Answer]] = []

    async def fails(*_args: Any, **_options: Any) -> Any:
        answer = Answer()
        held.append(ref(answer))
        raise StoreUnreachable("it is away")

    monkeypatch.setattr(pairing, "sync", fails)
    gc.disable()
    try:
        for _ in range(2):
            asked = Sync()
            worker.submit_nowait(asked)
            await asked.done.wait()
        first = held[0]()
    finally:
        gc.enable()

    assert first is None


async def test_problem_is_reported_once_and_not_at_every_try(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many tries follow, and however far each one gets."""
    sync, tries = pairing.sync, []
    away = True

    async def failing(*args: Any, progress: Any, **options: Any) -> Any:
        tries.append(away)
        progress("scanning", 0, 0)
        if away:
            raise StoreUnreachable("it is away")
        return await sync(*args, progress=progress, **options)

    monkeypatch.setattr(pairing, "sync", failing)
    for _ in range(3):
        asked = Sync()
        worker.submit_nowait(asked)
        await asked.done.wait()
        assert isinstance(asked.outcome, StoreUnreachable)
    away = False
    asked = Sync()
    worker.submit_nowait(asked)
    await asked.wait()

    told = [event["event"] async for event in worker._tracker._events.since(0, follow=False)]
    assert tries[:3] == [True, True, True]
    assert told.count("offline") == told.count("recovered") == 1


async def test_pair_halts_when_the_journal_is_found_damaged(
    locations: Both[Location], tmp_path: Path
) -> None:
    """It says what to do, and writes nothing to the stores any more."""
    path = tmp_path / "state" / "journal.sqlite"
    async with open_journal(tmp_path / "state") as journal, anyio.create_task_group() as group:
        worker = Worker(SETTINGS, lambda: locations, journal, Watch(), Events(journal.events))
        first, second = Sync(), Sync()
        worker.submit_nowait(first)
        group.start_soon(worker.run)
        await first.wait()
        for pragma in ("wal_checkpoint(TRUNCATE)", "shrink_memory"):  # so that it reads from the disk
            await journal._db.run(f"PRAGMA {pragma}")
        data = path.read_bytes()
        path.write_bytes(data[:4096] + b"\xa5" * (len(data) - 4096))
        await put(locations.left, "more")

        worker.submit_nowait(second)
        await second.done.wait()
        group.cancel_scope.cancel()

    assert worker.status.state == "halted"
    assert "is damaged" in str(worker.status.problem)
    assert "start it again: it keeps the file, syncs the stores from scratch and deletes nothing" in str(
        worker.status.problem
    )
    async with open_store(locations.right) as store:
        assert [key.label for key in (await store.scan()).digests] == ["run"]


@pytest.mark.parametrize("source", list(ChangeSource))
async def test_change_during_a_failed_resolution_is_synced_by_the_next_cycle(
    worker: Worker, locations: Both[Location], monkeypatch: pytest.MonkeyPatch, source: ChangeSource
) -> None:
    """The reported change is not forgotten."""

    async def watched(*args: Any, **options: Any) -> Any:
        await put(locations.left, "more")
        worker.dirty.notice(source)
        return await resolve(*args, **options)

    monkeypatch.setattr("smtd.daemon.worker.resolve", watched)

    with pytest.raises(UsageError, match="no conflict matches"):
        await worker.submit(Sync(SyncOptions(resolution=Resolution(Choice.LEFT))))
    await until_in_sync(worker, 2)
