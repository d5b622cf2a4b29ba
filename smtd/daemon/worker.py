"""The worker of one pair: a task that waits for a job, a change or the schedule, and then runs a cycle."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Any, TypeVar

import anyio

from smtd.daemon.backlog import Backlog
from smtd.daemon.dirty import ChangeSource, DirtyFlag
from smtd.daemon.events import Events
from smtd.daemon.jobs import Exclusive, Inbox, Job, Preview, Query, Sync, SyncOptions, caught
from smtd.daemon.notice import Condition
from smtd.daemon.runner import PairRunner
from smtd.daemon.schedule import FALLBACK_POLL, Schedule
from smtd.daemon.settings import PairSettings
from smtd.daemon.status import PairStatus, Proven, StatusTracker
from smtd.daemon.store_session import StoreSession
from smtd.engine.report import PairReport
from smtd.engine.resolve import resolve
from smtd.engine.scrub.findings import Finding, listed
from smtd.errors import PlanChanged, SmtdError, StoreRefused
from smtd.journal.journal import Journal
from smtd.merge.sides import SIDES, Both
from smtd.records.record import Key
from smtd.stores.location import Location
from smtd.watch import Watch

T = TypeVar("T")


class Worker:
    """Keeps the pair of *settings* in sync while `run` runs.

    Only the task of `run` uses the session of the pair's stores: it does one thing at a time, and holds no
    lock while it waits for the next. All other tasks submit jobs to it, or call methods that change its
    state and return at once. Every state change is synchronous; what has to be awaited comes after it.
    """

    def __init__(
        self,
        settings: PairSettings,
        locate: Callable[[], Both[Location]],
        journal: Journal,
        watch: Watch,
        events: Events,
        refused: Callable[[], None] = lambda: None,
        note: Callable[[Condition], None] = lambda condition: None,
        first_cycles: anyio.Lock | None = None,
        count: Callable[[Collection[str], PairReport, float | None], None] = lambda *cycle: None,
    ) -> None:
        clock = anyio.current_time
        self.settings = settings
        #: The report of the last successful cycle.
        self.report: PairReport | None = None
        #: Keys with findings of a scrub: a cycle that a user asks for reads them again in any case.
        self.suspects: Collection[Key] = ()
        #: Set at the end of the next successful cycle.
        self.cycle_done = anyio.Event()
        #: For the watchdog: whether a job runs, and when it last made progress.
        self.running, self.last_progress = False, clock()
        self.dirty = DirtyFlag(clock, self._wake)
        self._wakeup = anyio.Event()
        #: Whether a job was taken before a cycle that was due.
        self._overtaken = False
        self._refused, self._count = refused, count
        self._inbox = Inbox[Job[Any]](self._wake, "cycle")
        self._schedule = Schedule(settings.poll, settings.settle, clock)
        self._tracker = StatusTracker(settings, events, note)
        self.session = StoreSession(settings, locate, watch, self.dirty, self._tracker.relocated)
        self._runner = PairRunner(
            *(settings, journal, self.session, self.dirty, self._progressed),
            first_cycles=first_cycles or anyio.Lock(),
        )
        self._backlog = Backlog(settings, self.session.locate, journal)

    # For other tasks.

    def submit_nowait(self, job: Job[Any]) -> None:
        """Have *job* run as soon as possible, also while the pair is paused.

        It gets an outcome in any case: StoreUnreachable if the worker stops first.
        """
        self._inbox.put(job)

    async def submit(self, job: Job[T]) -> T:
        """Have *job* run as `submit_nowait` does, and return its result. Raises the SmtdError it ends with.

        If the client is cancelled, its job still runs. A job that does not outlive its client is withdrawn
        instead, or waited for if it has begun.
        """
        self.submit_nowait(job)
        try:
            return await job.wait()
        except anyio.get_cancelled_exc_class():
            if not job.outlives_client and not self._inbox.withdraw(job):
                with anyio.CancelScope(shield=True):
                    await job.done.wait()
            raise

    def pause(self) -> bool:
        """Run only requested cycles from now on; a running cycle continues. Say whether that is new."""
        is_new = not self.paused
        if is_new:
            self._tracker.log.paused()
        self._schedule.pause()
        self._wake()
        return is_new

    def resume(self) -> bool:
        """End a pause, and sync changes made during it now. Say whether there was a pause."""
        was_paused = self.paused
        if was_paused:
            self._tracker.log.resumed()
        self._schedule.resume()
        self._wake()
        return was_paused

    def proven(self, proven: Proven, findings: Collection[Finding]) -> None:
        """Show the progress and the findings of the scrub of the pair."""
        self._tracker.proven(proven, findings)
        self.suspects = [finding.key for finding in findings]

    @property
    def name(self) -> str:
        """The name of the pair."""
        return self.settings.name

    @property
    def listed(self) -> Collection[Key]:
        """The keys that the last cycle listed: a decision about them is made by what they are now."""
        return {*listed(self.report)}

    @property
    def paused(self) -> bool:
        """Whether only requested cycles run."""
        return self._schedule.paused

    @property
    def status(self) -> PairStatus:
        """The current status of the pair."""
        now = anyio.current_time()
        next_cycle = None if self.running or self.paused else self._schedule.next_poll - now
        return self._tracker.snapshot(
            lag=0.0 if self.dirty.since is None else now - self.dirty.since,
            next_cycle=next_cycle,
            unanswered=self.session.questions.unanswered,
        )

    # The task.

    async def run(self) -> None:
        """Keep the pair in sync until cancelled; then give all remaining jobs an outcome."""
        try:
            while True:
                await self._perform(await self._next_job())
        finally:
            with anyio.CancelScope(shield=True):
                await self.session.end()
            self._inbox.close()

    async def _next_job(self) -> Job[Any]:
        """Wait for a job, or until a cycle is due, which is the worker's own job.

        Jobs come first, and neither they nor a pause wait for a burst of changes to settle. But only one job
        may precede a cycle that is due, so that an endless row of clients cannot delay it.
        """
        while True:
            self.last_progress = anyio.current_time()
            self._wakeup = anyio.Event()
            if self.paused:
                self._tracker.transition("paused")
            elif self.dirty.since is not None:
                self.dirty.observe(await self.session.age())
            wait = self._schedule.due(self.dirty) - anyio.current_time()
            if not (wait <= 0 and self._overtaken) and (job := self._inbox.take()) is not None:
                self._overtaken = wait <= 0
                return job
            if wait <= 0:
                self._overtaken = False
                return Sync(SyncOptions(force_retry=False))
            with anyio.move_on_after(min(wait, FALLBACK_POLL)) as waiting:
                await self._wakeup.wait()
            if waiting.cancelled_caught and self.session.are_followed:
                self._tracker.confirmed()

    async def _perform(self, job: Job[Any]) -> None:
        """Run *job*, and give its outcome to all jobs that were taken with it."""
        self.running = not isinstance(job, Exclusive)  # these report no progress, and may take long
        try:
            self._inbox.finish(await self._run(job))
        finally:
            self.running = False
        if isinstance(job, Sync) and self._tracker.state == "offline":
            await self._count_backlog()

    async def _run(self, job: Job[Any]) -> Any:
        """Return the result or the error of *job*."""
        if isinstance(job, Exclusive):
            return await caught(self.name, job.work)
        self.dirty.mask()
        try:
            if isinstance(job, Sync):
                return await self._sync(job.options)
            if isinstance(job, Preview):
                recheck = {*self.suspects, *self.listed}
                return await self._query(partial(self._runner.preview, recheck), may_write=False)
            assert isinstance(job, Query)
            return await self._query(partial(self._runner.query, job.work), may_write=not job.only_reads)
        finally:
            self.dirty.unmask(*ChangeSource)

    async def _sync(self, options: SyncOptions) -> PairReport | SmtdError:
        """Run a cycle as *options* say, and record how it ended."""
        if options.resolution is not None:
            # Read what the last cycle listed again: the user decides about the current state.
            wish = partial(resolve, wish=options.resolution, recheck=self.listed)
            if isinstance(error := await caught(self.name, partial(self._runner.query, wish)), SmtdError):
                if self.dirty.touched:
                    self.dirty.set()
                return error
        suspects = self.suspects if options.force_retry else ()
        since, began = self.dirty.take(), anyio.current_time()
        outcome = await caught(
            self.name, partial(self._runner.sync, options, options.recheck.union(suspects))
        )
        if isinstance(outcome, PairReport):
            now = anyio.current_time()
            self._count(self.session.identities, outcome, None if since is None else now - since)
            self._succeeded(outcome, now - began)
        else:
            self.dirty.restore(since)
            self._failed(outcome)
        return outcome

    def _succeeded(self, report: PairReport, took: float) -> None:
        self.report = report
        self._backlog.clear()
        again = None if report.again is None else report.again - time.time()
        session = self.session
        self._schedule.succeeded(
            moved=report.wrote,
            watched=session.are_watched,
            # Nothing announces that a side can be written again.
            followed=session.are_followed and not any(report.side(side).read_only for side in SIDES),
            rereads=session.rereads,
            again=again,
            took=took if session.settles_by_key else None,
        )
        self._tracker.succeeded(report, paused=self.paused)
        self.cycle_done.set()
        self.cycle_done = anyio.Event()

    def _failed(self, exc: SmtdError) -> None:
        if isinstance(exc, PlanChanged):
            self.dirty.set()
            return
        if isinstance(exc, StoreRefused):
            self._refused()
        self.session.watch_candidates()
        self._schedule.failed(exc, touched=self.dirty.touched)
        self._tracker.failed(exc)

    async def _query(self, work: Callable[[], Awaitable[T]], *, may_write: bool) -> T | SmtdError:
        """Return the outcome of *work*; the next cycle syncs what changed meanwhile."""
        with self._tracker.querying():
            outcome = await caught(self.name, work)
        if self.dirty.touched or may_write:
            self.dirty.set()
        return outcome

    async def _count_backlog(self) -> None:
        """Show how many records wait while a store is unreachable; a change still wakes the worker."""
        found = await caught(self.name, self._backlog.count)
        records = None if isinstance(found, SmtdError) else found
        self._tracker.backlog(records, next_try=self._schedule.next_poll - anyio.current_time())

    def _progressed(self, phase: str, done: int, total: int) -> None:
        self.last_progress = anyio.current_time()
        self._tracker.progressed(phase, done, total)

    def _wake(self) -> None:
        self._wakeup.set()
