"""The one task that writes: who waits while it commits is committed together afterwards."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio

from smtd.errors import StoreUnreachable
from smtd.server.database import Committed, Job, ServedDatabase

log = logging.getLogger("smtd")

#: Jobs of one transaction (measured: 0.24 ms a record in groups of 32, 2.65 ms alone).
GROUP = 32
#: Jobs that may wait: whoever comes then waits outside.
MOST_WAITING = 1000
#: Seconds for which a job is tried while another program has the database locked.
PATIENCE = 60.0
#: For so many seconds after others have written, the database is left alone as long as it was held.
POLITE = 60.0


@dataclass(eq=False, slots=True)
class _Waiting:
    job: Job
    done: anyio.Event = field(default_factory=anyio.Event)
    result: Any = None
    is_given_up: bool = False


class Writer:
    """Does the jobs that are submitted, in their order.

    *committed* is called before those who wait hear of it.
    """

    def __init__(self, database: ServedDatabase, committed: Callable[[Committed], None]) -> None:
        self._database = database
        self._committed = committed
        self._jobs: deque[_Waiting] = deque()
        self._arrived = anyio.Event()
        self._room = anyio.CapacityLimiter(MOST_WAITING)
        #: When others were last seen to write.
        self.others_wrote = float("-inf")

    async def submit(self, job: Job) -> Any:
        """Return what *job* returns once that is committed, or raise what it raised: then it did nothing.

        It is done to its end if it was begun, even if the caller is cancelled. Raises StoreError.
        """
        waiting = _Waiting(job)
        async with self._room:
            self._jobs.append(waiting)
            self._arrived.set()
            try:
                await waiting.done.wait()
            finally:
                waiting.is_given_up = True
        if isinstance(waiting.result, Exception):
            raise waiting.result
        return waiting.result

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived = anyio.Event()
            while jobs := self._next():
                began = anyio.current_time()
                await self._write(jobs)
                now = anyio.current_time()
                if now - self.others_wrote < POLITE:
                    await anyio.sleep(now - began)

    def _next(self) -> list[_Waiting]:
        found: list[_Waiting] = []
        while self._jobs and len(found) < GROUP:
            job = self._jobs.popleft()
            if not job.is_given_up:
                found.append(job)
        return found

    async def _write(self, jobs: list[_Waiting]) -> None:
        until = anyio.current_time() + PATIENCE
        results: list[Any]
        while True:
            try:
                committed = await self._database.transact([waiting.job for waiting in jobs])
            except StoreUnreachable as exc:
                if "locked" in str(exc) and anyio.current_time() < until:
                    continue  # SQLite itself has waited
                results = [exc] * len(jobs)
            except Exception as exc:
                log.exception("the server cannot write")
                results = [exc] * len(jobs)
            else:
                results = list(committed.results)
                self._committed(committed)
            break
        for waiting, result in zip(jobs, results, strict=True):
            waiting.result = result
            waiting.done.set()
