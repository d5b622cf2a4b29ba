"""What happens to a job: its result, its error, a client that leaves, and a worker that stops."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
import pytest

from smtd.daemon.jobs import Exclusive, Job, Preview, Query, Sync, SyncOptions
from smtd.daemon.worker import Worker
from smtd.engine.pair import Pair
from smtd.errors import PlanChanged, SmtdError, StoreUnreachable
from smtd.merge.sides import Both
from smtd.stores.location import Location
from tests.daemon.working import put, until_in_sync, working


class Busy:
    """Keeps a worker busy with a job until `end`."""

    def __init__(self) -> None:
        self.begun = anyio.Event()
        self._end = anyio.Event()

    async def __call__(self, pair: Pair | None = None) -> str:
        self.begun.set()
        await self._end.wait()
        return "done"

    def end(self) -> None:
        """Let the job end."""
        self._end.set()


@pytest.fixture
async def busy(worker: Worker) -> AsyncIterator[Busy]:
    """What the worker is busy with."""
    made = Busy()
    worker.submit_nowait(Exclusive(made))
    await made.begun.wait()
    yield made
    made.end()


async def name_of(pair: Pair) -> str:
    """Return the name of *pair*."""
    return pair.name


async def test_result_is_returned_to_the_client(worker: Worker) -> None:
    """For each kind of job."""
    assert await worker.submit(Query(name_of)) == "pair"
    assert (await worker.submit(Preview())).in_sync == 1
    assert (await worker.submit(Sync())).in_sync == 1
    assert await worker.submit(Exclusive(worker.session.is_unchanged)) is True


@pytest.mark.parametrize("kind", [Query, Exclusive])
async def test_error_is_raised_to_the_client_and_the_worker_continues(
    kind: Callable[[Any], Job[Any]], worker: Worker
) -> None:
    """An SmtdError stays what it is."""

    async def fails(*_: object) -> None:
        raise StoreUnreachable("it is away")

    with pytest.raises(StoreUnreachable, match="it is away"):
        await worker.submit(kind(fails))

    assert (await worker.submit(Sync())).in_sync == 1


@pytest.mark.parametrize("kind", [Query, Exclusive])
async def test_bug_is_logged_and_the_worker_continues(
    kind: Callable[[Any], Job[Any]], worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    """The client gets an error that says that it is a bug."""

    async def fails(*_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(SmtdError, match=r"a bug in smtd \(ZeroDivisionError\); see its log"):
        await worker.submit(kind(fails))

    assert "pair pair: a bug in smtd" in caplog.text
    assert (await worker.submit(Sync())).in_sync == 1


async def test_jobs_of_a_pair_run_one_at_a_time(worker: Worker, busy: Busy) -> None:
    """Others wait for the running one."""
    job = Query(name_of)
    worker.submit_nowait(job)
    await anyio.wait_all_tasks_blocked()
    waiting = not job.done.is_set()
    busy.end()

    assert waiting
    assert await job.wait() == "pair"


async def cancelled(call: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """Cancel *call* once it waits."""
    async with anyio.create_task_group() as group:
        group.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()


async def test_job_runs_even_if_its_client_leaves(
    worker: Worker, busy: Busy, locations: Both[Location]
) -> None:
    """Also one that has not begun: a user who disconnects still wants the result."""
    await put(locations.left, "more")
    job = Sync()
    await cancelled(lambda: worker.submit(job))
    left_first = not job.done.is_set()
    busy.end()

    assert left_first
    assert (await job.wait()).in_sync == 2


async def test_exclusive_work_that_has_not_begun_is_withdrawn_with_its_client(
    worker: Worker, busy: Busy
) -> None:
    """The stores that it would read belong to the client, and are closed by then."""
    begun = []

    async def work() -> None:
        begun.append("begun")

    await cancelled(lambda: worker.submit(Exclusive(work)))
    busy.end()
    await worker.submit(Sync())

    assert begun == []


async def test_client_leaves_exclusive_work_only_when_it_has_ended(worker: Worker) -> None:
    """So that its stores are not closed while it reads."""
    order, busy = [], Busy()

    async def client() -> None:
        try:
            await worker.submit(Exclusive(busy))
        finally:
            order.append("client has left")

    async with anyio.create_task_group() as group:
        group.start_soon(client)
        await busy.begun.wait()
        group.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await anyio.wait_all_tasks_blocked()
            order.append("work ends")
            busy.end()

    assert order == ["work ends", "client has left"]


@pytest.mark.parametrize("kind", [Query, Exclusive])
async def test_stopped_worker_leaves_no_client_waiting(
    kind: Callable[[Any], Job[Any]], locations: Both[Location], tmp_path: Path
) -> None:
    """Whether its job runs, waits, or comes later."""
    async with working(locations, tmp_path) as worker:
        busy = Busy()
        jobs: list[Job[Any]] = [kind(busy), Preview()]
        worker.submit_nowait(jobs[0])
        worker.submit_nowait(jobs[1])
        await busy.begun.wait()
    jobs.append(Sync())
    worker.submit_nowait(jobs[2])

    for job in jobs:
        with pytest.raises(
            StoreUnreachable, match="the pair was stopped before its cycle ended; run the command again"
        ):
            await job.wait()
    assert not worker.running


async def test_paused_pair_runs_only_requested_jobs(worker: Worker, locations: Both[Location]) -> None:
    """A change waits until the pair is resumed, or a client asks for a cycle."""
    worker.pause()
    await put(locations.left, "more")
    worker.dirty.set()
    await worker.submit(Query(name_of))
    await anyio.wait_all_tasks_blocked()
    before = worker.status

    assert (before.state, before.in_sync, before.next_cycle) == ("paused", 1, None)
    assert (await worker.submit(Sync())).in_sync == 2
    assert worker.status.state == "paused"


async def test_query_that_only_reads_starts_no_cycle(worker: Worker) -> None:
    """Any other one does, as it may have written."""
    await worker.submit(Sync())
    await worker.submit(Query(name_of, only_reads=True))
    assert worker.dirty.since is None

    worker.pause()
    await worker.submit(Query(name_of))
    assert worker.dirty.since is not None


async def test_endless_clients_do_not_delay_a_cycle(worker: Worker, locations: Both[Location]) -> None:
    """One job precedes a cycle that is due, and then the cycle runs."""
    await put(locations.left, "more")

    async def again(pair: Pair | None = None) -> str:
        if worker.status.in_sync == 1:
            worker.submit_nowait(Exclusive(again))
        return "again"

    worker.dirty.set()
    worker.submit_nowait(Exclusive(again))
    await until_in_sync(worker, 2)


async def test_outdated_plan_is_followed_by_an_ordinary_cycle(
    worker: Worker, locations: Both[Location]
) -> None:
    """It syncs the change, although no watch notices the files."""
    await put(locations.left, "more")

    with pytest.raises(PlanChanged):
        await worker.submit(Sync(SyncOptions(expected_plan="another")))
    await until_in_sync(worker, 2)
