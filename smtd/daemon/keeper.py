"""Keeps one pair in step: waits for a reason, lets a burst settle, runs a cycle, and tells how it went."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

import anyio
from anyio import to_thread

from smtd import pairing
from smtd.daemon import heap
from smtd.daemon.backlog import Backlog
from smtd.daemon.events import Events
from smtd.daemon.notice import Condition
from smtd.daemon.opened import OpenedStores
from smtd.daemon.request import Request, Work
from smtd.daemon.rhythm import Rhythm
from smtd.daemon.settings import PairSettings, narrowed
from smtd.daemon.standing import Standing, unheard
from smtd.daemon.status import PairStatus, Proven
from smtd.engine.choose import choose
from smtd.engine.findings import Finding, listed
from smtd.engine.memory import Memory
from smtd.engine.pair import Pair, Policy
from smtd.engine.report import PairReport, turned
from smtd.errors import PlanMoved, SmtdError, StoreRefused, UsageError
from smtd.journal.journal import Journal
from smtd.merge.sides import Both
from smtd.records.record import Key
from smtd.stores.locations import Location
from smtd.watch import Watch

log = logging.getLogger("smtd")

#: For how many times the settle time a burst of changes may keep a cycle waiting.
BURST = 10


async def _nothing(pair: Pair) -> None:
    """Note nothing: the cycle was only planned."""


async def _told(work: Work, pair: Pair, flipped: bool) -> Any:
    """Return the result of *work*, with the sides named as the configuration names them."""
    found = await work(pair)
    return turned(found) if flipped else found


class Keeper:
    """Keeps the pair of *settings* in step, once `run` is running."""

    def __init__(
        self,
        settings: PairSettings,
        locate: Callable[[], Both[Location]],
        journal: Journal,
        watch: Watch,
        events: Events,
        refused: Callable[[], None] = lambda: None,
        note: Callable[[Condition], None] = unheard,
    ) -> None:
        self.settings = settings
        self.paused = False
        #: Moments of the loop's clock: when the pair last turned, for the watchdog.
        self.turned = anyio.current_time()
        self.busy = False
        #: Held while anything is done with the pair.
        self.turns = anyio.Lock()
        #: Set at the end of the next good cycle.
        self.cycled = anyio.Event()
        #: What a proof has found; a person's cycle looks at it in any case.
        self.doubtful: Collection[Key] = ()
        self._memory = Memory()
        self._backlog = Backlog(settings, self.locate, journal)
        self._refused = refused
        self._journal = journal
        self._wake = anyio.Event()
        self._requests: list[Request] = []
        self._answering: list[Request] = []
        self._rhythm = Rhythm(settings.poll, anyio.current_time)
        self._changed_at: float | None = None
        self._touched = False  # files looked otherwise while a cycle ran
        #: When a store that tells of changes has told last (None: not since the last cycle ended).
        self._told_at: float | None = None
        self._told_scope = False
        self._report: PairReport | None = None
        self._standing = Standing(settings, events, note)
        self._stores = OpenedStores(
            settings.name, locate, watch, self.changed, self.told, self._standing.moved_to
        )

    @property
    def name(self) -> str:
        """The name of the pair."""
        return self.settings.name

    @property
    def identities(self) -> tuple[str, ...]:
        """What tells the two stores from all others; none before the first cycle."""
        return self._stores.identities

    @property
    def projects(self) -> Collection[str] | None:
        """The projects that are kept (None: all of both stores), once the stores were found."""
        locations = self._stores.locations
        return (self.settings.policy if locations is None else self.settings.scoped(locations)).projects

    async def policy(self) -> Policy:
        """Return how the pair is kept where its stores are now. Raises SmtdError."""
        return self.settings.scoped(await self.locate())

    @property
    def report(self) -> PairReport | None:
        """What the last good cycle did and left."""
        return self._report

    @property
    def _listed(self) -> set[Key]:
        """The keys that the last good cycle listed: a person who asks sees what they are now."""
        return {*listed(self._report)}

    @property
    def status(self) -> PairStatus:
        """How the pair is now."""
        status, clock = self._standing.status, anyio.current_time()
        status.lag_seconds = 0.0 if self._changed_at is None else round(clock - self._changed_at, 3)
        status.next_cycle = None
        if not self.busy and not self.paused:
            until = timedelta(seconds=max(0.0, self._rhythm.due - clock))
            status.next_cycle = (datetime.now(timezone.utc) + until).isoformat(timespec="seconds")
        return status

    def changed(self) -> None:
        """Note that a store looks otherwise; while a cycle runs it may have been its own write."""
        if self.busy:
            self._touched = True
            return
        if self._changed_at is None:
            self._changed_at = anyio.current_time()
        self._wake.set()

    def told(self) -> None:
        """Note that a store itself says that it looks otherwise, or can be heard no more."""
        self._told_at = anyio.current_time()
        self.changed()

    def request(self, request: Request) -> None:
        """Have a cycle run for *request* as soon as possible, even while the pair is paused."""
        self._requests.append(request)
        self._wake.set()

    def pause(self) -> None:
        """Run no cycle but those that are asked for."""
        self.paused = True
        self._wake.set()

    def resume(self) -> None:
        """Go on after `pause`; what happened meanwhile is carried now."""
        self.paused = False
        self._rhythm.at_once()
        self._wake.set()

    async def locate(self) -> Both[Location]:
        """Return where the stores are now. Raises SmtdError."""
        return await self._stores.locate()

    async def is_settled(self) -> bool:
        """Say whether no store was written to since the last cycle, as far as they can tell; in the turn."""
        return self._changed_at is None and await self._stores.are_settled()

    def proven(self, proven: Proven, findings: Collection[Finding]) -> None:
        """Show how far the proof of the pair is, and what it has found."""
        self._standing.proven(proven, findings)
        self.doubtful = [finding.key for finding in findings]

    async def run(self) -> None:
        """Keep the pair in step until cancelled."""
        try:
            while True:
                self._answering = await self._reason()
                if self.paused and not self._answering:
                    self._standing.enter("paused")
                    continue
                if not self._answering:
                    await self._settled()
                    if self._requests or self.paused:
                        self._wake.set()
                        continue
                async with self.turns:
                    self.busy, self._touched = True, False
                    try:
                        await self._turn(self._answering)
                    finally:
                        self.busy = False
                if self._standing.status.state == "offline":
                    await self._count_waiting()
        finally:
            with anyio.CancelScope(shield=True):
                await self._stores.end()
            for request in (*self._answering, *self._requests):
                request.give_up()

    async def _reason(self) -> list[Request]:
        """Wait until there is a reason for a cycle; return the requests that are one."""
        while True:
            self.turned = anyio.current_time()
            wait = float("inf") if self.paused else max(0.0, self._rhythm.due - self.turned)
            with anyio.move_on_after(wait):
                await self._wake.wait()
            self._wake = anyio.Event()
            requests, self._requests = self._requests, []
            if (
                requests
                or self.paused
                or self._changed_at is not None
                or anyio.current_time() >= self._rhythm.due
            ):
                return requests

    async def _settled(self) -> None:
        """Wait until the files have been as they are for the settle time, or a burst has lasted too long.

        Whoever asks for a cycle, or for a pause, does not have to wait for that.
        """
        if self._changed_at is None or self._stores.locations is None:
            return
        with anyio.move_on_after(self.settings.settle * BURST):
            while True:
                quiet = await self._stores.age()
                if self._told_at is not None:
                    quiet = min(quiet, anyio.current_time() - self._told_at)
                wait = self.settings.settle - quiet
                if not 0 < wait <= self.settings.settle:
                    return
                with anyio.move_on_after(wait):
                    await self._wake.wait()
                if self._requests or self.paused:
                    return
                self._wake = anyio.Event()

    async def _turn(self, requests: list[Request]) -> None:
        """Answer plans and other work, and run one cycle if it is time for one or somebody asks."""
        apart = [request for request in requests if request.dry_run or request.work]
        others = [request for request in requests if request not in apart]
        for request in apart:
            await self._aside(request)
        if apart and not others:
            return
        asked = [request for request in others if await self._wished(request)]
        if others and not asked:
            return
        policy = self.settings.policy
        insist = any(each.insist for each in asked)
        doubtful = frozenset(self.doubtful if insist else ()).union(*(each.doubtful for each in asked))
        if asked:
            hold = policy.hold_unfinished and not any(each.include_unfinished for each in asked)
            policy = replace(policy, insist=insist, hold_unfinished=hold)
        only = next((request.only for request in asked if request.only), None)
        changed, self._changed_at = self._changed_at, None
        outcome = await self._tried(partial(self._cycle, policy, only=only, doubtful=doubtful))
        if isinstance(outcome, PairReport):
            self._succeeded(outcome)
        elif isinstance(outcome, PlanMoved):
            self._changed_at = changed or anyio.current_time()
            self._wake.set()
        else:
            self._changed_at = changed
            self._failed(outcome)
        for request in asked:
            request.answer(outcome)

    async def _count_waiting(self) -> None:
        """Show how many records wait; what changes meanwhile wakes the pair."""
        found = await self._tried(self._backlog.count)
        self._standing.waits(None if isinstance(found, SmtdError) else found)

    async def _wished(self, request: Request) -> bool:
        """Write down what *request* wishes, if anything; say whether its cycle may follow."""
        if request.wish is None:
            return True

        async def write_down(pair: Pair, flipped: bool) -> None:
            assert request.wish is not None
            await choose(pair, request.wish.flipped if flipped else request.wish, self._listed)

        outcome = await self._tried(partial(self._worked, write_down))
        if isinstance(outcome, SmtdError):
            request.answer(outcome)
            return False
        return True

    async def _aside(self, request: Request) -> None:
        """Answer what needs no cycle; what changes meanwhile is for the next one."""
        status = self._standing.status
        before, status.state = (status.state, status.pending), "scanning"
        if request.work is not None:
            outcome = await self._tried(partial(self._worked, partial(_told, request.work)))
        else:
            doubtful = {*self.doubtful, *self._listed}
            plan = partial(self._cycle, self.settings.policy, dry_run=True, doubtful=doubtful)
            outcome = await self._tried(plan)
        status.state, status.pending = before
        if self._changed_at is None and (self._touched or request.work is not None):
            self._changed_at = anyio.current_time()
        if self._changed_at is not None:
            self._wake.set()
        request.answer(outcome)

    async def _tried(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Return what *work* returns, or its error; the stores are closed after one of theirs."""
        try:
            return await work()
        except (UsageError, PlanMoved) as exc:
            return exc
        # The error stays in no variable here: it knows this frame, and the two would keep in memory all
        # that the failed work held.
        except SmtdError as exc:
            await self._stores.close()
            return exc
        except Exception as exc:
            # A defect of smtd's must not stop the other pairs; this one is tried again.
            log.exception("pair %s: a defect in smtd", self.name)
            await self._stores.close()
            return SmtdError(f"a defect in smtd ({type(exc).__name__}); see its log, and report it")

    async def _cycle(
        self,
        policy: Policy,
        *,
        dry_run: bool = False,
        only: str | None = None,
        doubtful: Collection[Key] = (),
    ) -> PairReport:
        locations, stores = await self._stores.ready()
        policy = replace(policy, projects=self.settings.scoped(locations).projects)
        report = await pairing.sync(
            self._journal,
            self.name,
            locations,
            stores,
            policy,
            dry_run=dry_run,
            only=only,
            progress=self._progress,
            ended=_nothing if dry_run else self._ended,
            doubtful=doubtful,
            memory=self._memory,
        )
        if report.moved or self._memory.was_whole:
            await to_thread.run_sync(heap.trim)
        return report

    async def _worked(self, work: Callable[[Pair, bool], Awaitable[Any]]) -> Any:
        self._memory = Memory()
        locations, stores = await self._stores.ready()
        policy = self.settings.scoped(locations)
        async with pairing.opened(self._journal, self.name, locations, stores, policy) as (pair, flipped):
            return await work(pair, flipped)

    async def _ended(self, pair: Pair) -> None:
        """Take the files to be known as they are, unless somebody else wrote to them during the cycle."""
        self._told_at = None  # what is told from here on has not been looked at
        await self._tell_scope(pair)
        if not await self._stores.note(pair):
            self._changed_at = anyio.current_time()

    async def _tell_scope(self, pair: Pair) -> None:
        """Say once that the pair keeps fewer projects than before, if it does, and how to keep them all."""
        projects = pair.policy.projects
        if self._told_scope or self.settings.names_projects or projects is None:
            return
        self._told_scope = True
        proofs = pair.journal.proofs
        if await proofs.count(None) > await proofs.count(projects):
            log.warning(narrowed(self.name, *projects))

    def _progress(self, phase: str, done: int, total: int) -> None:
        self.turned = anyio.current_time()
        self._standing.progressed(phase, done, total)

    def _succeeded(self, report: PairReport) -> None:
        self._report = report
        self._backlog.clear()
        again = None if report.again is None else report.again - time.time()
        self._rhythm.succeeded(moved=report.moved, watched=self._stores.are_watched, again=again)
        if self._told_at is not None:
            self._changed_at = self._changed_at or self._told_at
        if self._changed_at is not None:
            self._wake.set()
        self._standing.succeeded(report, paused=self.paused)
        self.cycled.set()
        self.cycled = anyio.Event()

    def _failed(self, exc: SmtdError) -> None:
        if isinstance(exc, StoreRefused):
            self._refused()
        self._stores.expect(self.settings.places)
        self._rhythm.failed(exc, touched=self._touched)
        self._standing.failed(exc)
