"""The status of one pair, as `smtd status --json` prints it, and the events and notices of its changes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Literal, TypeAlias

import msgspec

from smtd.daemon.events import Events
from smtd.daemon.notice import Condition, Trouble
from smtd.daemon.pair_log import PairLog
from smtd.daemon.settings import PairSettings
from smtd.daemon.unanswered import Unanswered
from smtd.engine.report import PairReport, SideReport
from smtd.engine.scrub.findings import Finding
from smtd.errors import SmtdError, StoreUnreachable
from smtd.journal.events import now
from smtd.merge.sides import SIDES, Both
from smtd.output import shapes
from smtd.output.shapes import Shape
from smtd.stores.location import Location
from smtd.text import encodable

log = logging.getLogger("smtd")

#: Failures and findings that the status names, and reasons for which records wait.
MOST_FAILURES, MOST_REASONS = 20, 20


State: TypeAlias = Literal["starting", "idle", "scanning", "applying", "paused", "offline", "halted"]


class SideStatus(msgspec.Struct):
    """One side of a pair, and how many records it had at the last look (None: there was none)."""

    location: str
    records: int | None = None


class Proven(msgspec.Struct, frozen=True):
    """How many of the records with a baseline were verified, each at the time *since* or later."""

    records: int = 0
    of: int = 0
    since: str | None = None
    findings: int = 0


class PairStatus(msgspec.Struct):
    """The status of a pair: times are ISO 8601 in UTC; *problem* says what is wrong and how to repair it.

    *pending* of *total* steps of the running cycle are still to be done. For an offline pair, *pending* is
    the number of records that changed on the readable side (None: unknown). *unanswered*: a server that smtd
    is waiting for (None: for none). *failures* lists some of the *failed* records, with the reason,
    *findings* some of those that a scrub found. *waiting* says for some reasons how many records in conflict
    or held wait for each.
    """

    pair: str
    state: State
    left: SideStatus
    right: SideStatus
    mode: str = "two-way"
    in_sync: int = 0
    pending: int | None = 0
    total: int = 0
    conflicts: int = 0
    held: int = 0
    waiting: list[Shape] = []
    held_by_kind: dict[str, int] = {}
    failed: int = 0
    failures: list[Shape] = []
    lag_seconds: float = 0.0
    last_cycle: str | None = None
    next_cycle: str | None = None
    problem: str | None = None
    unanswered: Unanswered | None = None
    proven: Proven = Proven()
    findings: list[Shape] = []


class StatusTracker:
    """Keeps the status of the pair of *settings*; reports changes to *events*, to the log and to *note*.

    A state that stays the same is reported once, however often a cycle ends in it. No method waits.
    """

    def __init__(self, settings: PairSettings, events: Events, note: Callable[[Condition], None]) -> None:
        sides = settings.words.map(lambda word: SideStatus("" if "://" in word else encodable(word)))
        self._status = PairStatus(
            settings.name, "starting", sides.left, sides.right, settings.policy.mode.value
        )
        self._name = settings.name
        self._events = events
        self._note = note
        self._unhealthy: State | None = None
        #: The log lines about the pair.
        self.log = PairLog(settings.name)

    @property
    def state(self) -> State:
        """What the pair is doing, or why it cannot sync."""
        return self._status.state

    def snapshot(
        self, *, lag: float, next_cycle: float | None, unanswered: Unanswered | None = None
    ) -> PairStatus:
        """Return the status, with the seconds of *lag* and those until the *next_cycle* (None: not known)."""
        due = None
        if next_cycle is not None:
            moment = datetime.now(timezone.utc) + timedelta(seconds=max(0.0, next_cycle))
            due = moment.isoformat(timespec="seconds")
        return msgspec.structs.replace(
            self._status, lag_seconds=round(lag, 3), next_cycle=due, unanswered=unanswered
        )

    def relocated(self, before: Both[Location] | None, now: Both[Location]) -> None:
        """Record that the stores are at *now*, and were at *before* (None: not found before)."""
        for side in SIDES:
            if before is not None and before[side] != now[side]:
                where = (self._name, side.value, now[side], before[side])
                log.warning("pair %s: its %s store is now %s (was %s)", *where)
                self._report("store changed", side=side.value, location=str(now[side]))
        self._status.left.location, self._status.right.location = str(now.left), str(now.right)

    def progressed(self, phase: str, done: int, total: int) -> None:
        """Record that a cycle is in *phase*, with *done* of *total* steps done."""
        self.transition("applying" if phase == "applying" else "scanning")
        self._status.pending, self._status.total = total - done, total

    def succeeded(self, report: PairReport, *, paused: bool) -> None:
        """Record that a cycle succeeded."""
        status = self._status
        before = (status.conflicts, status.held, status.failed)
        status.in_sync, status.pending, status.problem = report.in_sync, 0, None
        status.conflicts, status.held = len(report.conflicts), len(report.held)
        status.waiting = shapes.waiting(report)[:MOST_REASONS]
        status.held_by_kind = dict(Counter(each.kind.value for each in report.held))
        status.failed = len(report.failed)
        status.failures = [shapes.failure(each) for each in report.failed[:MOST_FAILURES]]
        for side, counted in ((status.left, report.left), (status.right, report.right)):
            side.records = counted.records + counted.grown
        status.last_cycle = now()
        for which in report.adopted:
            log.warning(
                "pair %s: its %s store or the journal was replaced or restored; nothing is deleted",
                *(self._name, which.value),
            )
            self._report("store replaced", side=which.value)
        counts = {"conflicts": status.conflicts, "held": status.held, "failed": status.failed}
        if report.wrote or before != tuple(counts.values()):
            self._report("synced", left=_counts(report.left), right=_counts(report.right), **counts)
        self.transition("paused" if paused else "idle")
        self.log.succeeded(report)
        self._note(Condition(self._name, conflicts=report.conflicts, holds=report.held))

    def confirmed(self) -> None:
        """The stores say that nothing has changed since the last cycle: if that was good, so is the pair."""
        if self._status.state == "idle":
            self._note(Condition(self._name))

    def failed(self, exc: SmtdError) -> None:
        """Record that a cycle ended with an error."""
        self._status.problem, self._status.pending = encodable(str(exc)), None
        state: Trouble = "offline" if isinstance(exc, StoreUnreachable) else "halted"
        self.transition(state)
        self._note(Condition(self._name, state, str(exc)))

    def backlog(self, records: int | None, *, next_try: float) -> None:
        """Record how many *records* wait while the pair is offline (None: unknown).

        *next_try*: the seconds until smtd tries again.
        """
        self._status.pending = records
        self.log.waits(records, next_try)

    def proven(self, proven: Proven, findings: Collection[Finding]) -> None:
        """Record how much a scrub has proven, and its *findings*."""
        self._status.proven = proven
        self._status.findings = [shapes.finding(each, self._name) for each in list(findings)[:MOST_FAILURES]]

    @contextmanager
    def querying(self) -> Iterator[None]:
        """Show during a `with` block that stores are read, and restore the state: this is no cycle."""
        before = self._status.state, self._status.pending
        self._status.state = "scanning"
        try:
            yield
        finally:
            self._status.state, self._status.pending = before

    def transition(self, state: State) -> None:
        """Enter *state*; report it if the pair becomes unhealthy or recovers."""
        self._status.state = state
        if state in ("offline", "halted") and state != self._unhealthy:
            self._unhealthy = state
            (self.log.offline if state == "offline" else self.log.halted)(self._status.problem or "")
            self._report(state, problem=self._status.problem)
        elif state == "idle" and self._unhealthy:
            self._unhealthy = None
            self.log.recovered()
            self._report("recovered")

    def _report(self, what: str, **facts: object) -> None:
        self._events.add(what, pair=self._name, **facts)


def _counts(side: SideReport) -> dict[str, int]:
    return {"created": side.created, "updated": side.updated, "deleted": side.deleted}
