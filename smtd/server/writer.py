"""The only task that writes. Jobs that arrive while it commits share the next transaction."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio

from smtd.errors import StoreError, StoreUnreachable
from smtd.server.database import Job, ServedDatabase

log = logging.getLogger("smtd")

#: The most changes in one transaction, unless one job has more (measured: 0.24 ms per record in groups of 32,
#: 2.65 ms alone).
GROUP_SIZE = 32
#: The most jobs of callers that are queued or running: further callers wait before they queue theirs.
MOST_WAITING = 1000
#: Seconds for which jobs are tried again while another program has the database locked.
LOCK_TIMEOUT = 60.0
#: Seconds between the first two tries, and at most. (If SQLite waited itself, readers would wait, too.)
RETRY_PAUSES = 0.001, 0.05
#: For this many seconds after another program wrote, the server pauses after each of its transactions, for
#: as long as that took.
YIELD_PERIOD = 60.0
#: Seconds to finish the waiting jobs when the server stops.
SHUTDOWN_GRACE = 1.0


@dataclass(eq=False, slots=True)
class _Pending:
    job: Job
    #: Says of the result of the job whether it is done; if not, the job runs again.
    until: Callable[[Any], bool]
    #: How many changes it may make.
    size: int
    done: anyio.Event = field(default_factory=anyio.Event)
    result: Any = None
    is_abandoned: bool = False
    has_started: bool = False

    @property
    def is_cancelled(self) -> bool:
        """Whether its caller no longer waits, and it has not run yet."""
        return self.is_abandoned and not self.has_started


def _once(_result: Any) -> bool:
    """Say that a job need not run again."""
    return True


class Writer:
    """Runs submitted jobs in order."""

    def __init__(self, database: ServedDatabase) -> None:
        self._database = database
        self._jobs: deque[_Pending] = deque()
        self._arrived = anyio.Event()
        self._is_over = False
        self._capacity = anyio.CapacityLimiter(MOST_WAITING)
        #: When the last transaction began; other programs had to wait for its end.
        self._began = 0.0
        #: When another program was last seen to have written.
        self.last_foreign_write = float("-inf")

    async def submit(self, job: Job, until: Callable[[Any], bool] = _once, *, size: int = 1) -> Any:
        """Run *job*; return its result once it is committed, or raise what it raised: then it did nothing.

        *until* says whether a result is final; if not, the job runs again, in another transaction, after the
        jobs that wait. Once begun, a job is finished even if the caller is cancelled. It makes up to *size*
        changes. Raises StoreError.
        """
        if self._is_over:
            raise _shutting_down()
        pending = _Pending(job, until, size)
        async with self._capacity:
            self._jobs.append(pending)
            self._arrived.set()
            try:
                await pending.done.wait()
            finally:
                pending.is_abandoned = True
        if isinstance(pending.result, Exception):
            raise pending.result
        return pending.result

    async def run(self) -> None:
        """Run jobs until cancelled, and then for up to SHUTDOWN_GRACE seconds those that wait."""
        try:
            while True:
                await self._arrived.wait()
                self._arrived = anyio.Event()
                while jobs := self._next_jobs():
                    await self._write(jobs)
                    now = anyio.current_time()
                    if (
                        self._database.backend.has_unfair_lock
                        and now - self.last_foreign_write < YIELD_PERIOD
                    ):
                        await anyio.sleep(now - self._began)
        finally:
            self._is_over = True
            with anyio.move_on_after(SHUTDOWN_GRACE, shield=True):
                while jobs := self._next_jobs():
                    await self._write(jobs)

    def _next_jobs(self) -> list[_Pending]:
        found: list[_Pending] = []
        left = GROUP_SIZE
        while self._jobs and (not found or self._jobs[0].size <= left):
            job = self._jobs.popleft()
            if not job.is_cancelled:
                found.append(job)
                left -= job.size
        return found

    async def _write(self, jobs: list[_Pending]) -> None:
        results: list[Any] = [_shutting_down()] * len(jobs)
        try:
            results = await self._run_jobs([pending.job for pending in jobs])
        finally:
            for pending, result in zip(jobs, results, strict=True):
                pending.has_started = True
                if not isinstance(result, Exception) and not pending.until(result):
                    self._jobs.append(pending)
                    continue
                pending.result = result
                pending.done.set()

    async def _run_jobs(self, jobs: list[Job]) -> list[Any]:
        """Run *jobs* in one transaction; return for each its result, or the exception that it raised."""
        deadline = anyio.current_time() + LOCK_TIMEOUT
        pause, longest = RETRY_PAUSES
        while True:
            self._began = anyio.current_time()
            try:
                with anyio.CancelScope(shield=True):  # else it might commit without its callers learning that
                    committed = await self._database.transact(jobs)
            except StoreError as exc:
                if not self._database.backend.is_locked(exc) or anyio.current_time() > deadline:
                    return [exc] * len(jobs)
                await anyio.sleep(pause)
                pause = min(2 * pause, longest)
            except Exception as exc:
                log.exception("the server cannot write")
                return [exc] * len(jobs)
            else:
                return list(committed.results)


def _shutting_down() -> StoreUnreachable:
    return StoreUnreachable("the server is shutting down; try again")
