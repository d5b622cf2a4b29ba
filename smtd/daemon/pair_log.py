"""The log lines about one pair: one line when something happened, and none when nothing did."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator

from smtd.engine.report import Conflict, Held, Hold, PairReport, SideReport
from smtd.merge.sides import SIDES
from smtd.output.counts import from_now, plural
from smtd.output.english import sentence

log = logging.getLogger("smtd")

#: The most records that a line names.
FEW = 3


class PairLog:
    """Logs what happens to the pair *name*. A conflict or hold is logged when a cycle first finds it."""

    def __init__(self, name: str) -> None:
        self._name = name
        #: The names of the records that the last cycle found in conflict or held.
        self._known: Collection[tuple[str, ...]] = frozenset()
        #: Why the pair has become offline, until that is logged.
        self._problem: str | None = None

    def succeeded(self, report: PairReport) -> None:
        """Log what a cycle wrote, and the conflicts and holds that the cycle before it did not have."""
        if report.wrote:
            log.info("pair %s synced: %s", self._name, written(report))
        if line := conflicts([each for each in report.conflicts if _name(each) not in self._known]):
            log.warning("pair %s %s; see smtd conflicts %s", self._name, line, self._name)
        for kind, line in holds([each for each in report.held if _name(each) not in self._known]):
            level = logging.INFO if kind is Hold.RUNNING else logging.WARNING
            log.log(level, "pair %s %s; see smtd holds %s", self._name, line, self._name)
        self._known = {*map(_name, report.conflicts), *map(_name, report.held)}

    def halted(self, problem: str) -> None:
        """Log that a person has to act."""
        self._problem = None
        log.warning("pair %s is halted: %s", self._name, problem)

    def offline(self, problem: str) -> None:
        """Have the next call of `waits` log that a store cannot be reached."""
        self._problem = problem

    def waits(self, records: int | None, next_try: float) -> None:
        """Log that the pair has become offline, if it has: *records* wait (None: unknown).

        *next_try*: the seconds until smtd tries again.
        """
        if self._problem is None:
            return
        waiting = "" if records is None else f"; {plural(records, 'record')} changed since the last sync"
        log.warning(
            "pair %s is offline: %s%s; next try %s",
            *(self._name, self._problem, waiting, from_now(next_try)),
        )
        self._problem = None

    def recovered(self) -> None:
        """Log that the pair syncs again."""
        self._problem = None
        log.info("pair %s has recovered", self._name)

    def paused(self) -> None:
        """Log that the pair has cycles only on request."""
        log.info("pair %s is paused; smtd resume %s ends that", self._name, self._name)

    def resumed(self) -> None:
        """Log that the pair is no longer paused."""
        log.info("pair %s is resumed", self._name)


def written(report: PairReport) -> str:
    """Return what a cycle wrote, such as `2 created, 1 deleted on the right`."""
    parts = [(side, _counts(report.side(side))) for side in SIDES]
    return "; ".join(f"{counts} on the {side.value}" for side, counts in parts if counts)


def _counts(side: SideReport) -> str:
    counts = {"created": side.created, "updated": side.updated, "deleted": side.deleted}
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)


def conflicts(found: Collection[Conflict]) -> str:
    """Return that records are newly in conflict (empty: none is)."""
    if not found:
        return ""
    return f"has {plural(len(found), 'new conflict')}: {_named(found)}"


def holds(found: Iterable[Held]) -> Iterator[tuple[Hold, str]]:
    """Yield for each reason that records are newly held for it, with the kind of the hold."""
    groups: defaultdict[tuple[Hold, str], list[Held]] = defaultdict(list)
    for each in found:
        groups[each.kind, sentence(each.why)].append(each)
    for (kind, reason), group in groups.items():
        yield kind, f"holds {plural(len(group), 'record')}, {_named(group)}: {reason}"


def _name(each: Conflict | Held) -> tuple[str, ...]:
    """Return what identifies a conflict or a hold: not its reason, whose numbers may change."""
    return each.project, each.label, each.kind.value if isinstance(each, Held) else "conflict"


def _named(found: Collection[Conflict | Held]) -> str:
    names = [f"{each.project}/{each.label}" for each in found]
    more = f" and {len(names) - FEW:,} more" if len(names) > FEW else ""
    return ", ".join(names[:FEW]) + more
