"""How one pair stands: its status, and what is told of it when that changes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from smtd.daemon.events import Events, now
from smtd.daemon.notice import Condition, Trouble
from smtd.daemon.settings import PairSettings
from smtd.daemon.status import PairStatus, Proven, SideStatus, State
from smtd.engine.findings import Finding
from smtd.engine.report import PairReport, SideReport
from smtd.errors import SmtdError, StoreUnreachable
from smtd.merge.sides import SIDES, Both
from smtd.stores.locations import Location
from smtd.text import encodable

log = logging.getLogger("smtd")

#: Failures and findings that the status names.
MOST_FAILURES = 20


def unheard(condition: Condition) -> None:
    """Tell nobody how the pair is."""


class Standing:
    """Notes how the pair of *settings* is, and tells *events*, the log and *note* when that changes.

    What stays as it was is not told again, however often it is tried.
    """

    def __init__(self, settings: PairSettings, events: Events, note: Callable[[Condition], None]) -> None:
        sides = settings.words.map(lambda word: SideStatus("" if "://" in word else encodable(word)))
        self.status = PairStatus(
            settings.name, "starting", sides.left, sides.right, settings.policy.mode.value
        )
        self._name = settings.name
        self._events = events
        self._note = note
        self._ill: State | None = None

    def moved_to(self, before: Both[Location] | None, now: Both[Location]) -> None:
        """The stores are at *now*; if they were elsewhere *before*, that is told."""
        for side in SIDES:
            if before is not None and before[side] != now[side]:
                where = (self._name, side.value, now[side], before[side])
                log.warning("pair %s: its %s store is now %s (was %s)", *where)
                self.tell("store changed", side=side.value, location=str(now[side]))
        self.status.left.location, self.status.right.location = str(now.left), str(now.right)

    def progressed(self, phase: str, done: int, total: int) -> None:
        """A cycle is at *phase*, with *done* of *total* steps behind it."""
        self.enter("applying" if phase == "applying" else "scanning")
        self.status.pending, self.status.total = total - done, total

    def succeeded(self, report: PairReport, *, paused: bool) -> None:
        """A cycle ended well."""
        status = self.status
        before = (status.conflicts, status.held, status.failed)
        status.in_sync, status.pending, status.problem = report.in_sync, 0, None
        status.conflicts, status.held = len(report.conflicts), len(report.held)
        status.failed, status.failures = len(report.failed), report.failed[:MOST_FAILURES]
        for side, told in ((status.left, report.left), (status.right, report.right)):
            side.records = told.records + told.grown
        status.last_cycle = now()
        for which in report.adopted:
            log.warning(
                "pair %s: its %s store was replaced or restored, or the journal was; nothing is deleted",
                *(self._name, which),
            )
            self.tell("store replaced", side=which)
        counts = {"conflicts": status.conflicts, "held": status.held, "failed": status.failed}
        if report.moved or before != tuple(counts.values()):
            self.tell("synced", left=_counts(report.left), right=_counts(report.right), **counts)
        self.enter("paused" if paused else "idle")
        self._note(Condition(self._name, conflicts=report.conflicts, holds=report.held))

    def failed(self, exc: SmtdError) -> None:
        """A cycle ended with an error."""
        self.status.problem, self.status.pending = encodable(str(exc)), None
        state: Trouble = "offline" if isinstance(exc, StoreUnreachable) else "halted"
        self.enter(state)
        self._note(Condition(self._name, state, str(exc)))

    def waits(self, records: int | None) -> None:
        """So many *records* changed that cannot travel now (None: unknown)."""
        self.status.pending = records

    def proven(self, proven: Proven, findings: Collection[Finding]) -> None:
        """A proof is so far, and has found that."""
        self.status.proven, self.status.findings = proven, list(findings)[:MOST_FAILURES]

    def enter(self, state: State) -> None:
        """Be in *state*; a pair that gets ill or well is told of."""
        self.status.state = state
        if state in ("offline", "halted") and state != self._ill:
            self._ill = state
            log.warning("pair %s is %s: %s", self._name, state, self.status.problem)
            self.tell(state, problem=self.status.problem)
        elif state == "idle" and self._ill:
            self._ill = None
            log.info("pair %s is well again", self._name)
            self.tell("recovered")

    def tell(self, what: str, **facts: object) -> None:
        """Tell of an event."""
        self._events.add(what, pair=self._name, **facts)


def _counts(side: SideReport) -> dict[str, int]:
    return {"created": side.created, "updated": side.updated, "deleted": side.deleted}
