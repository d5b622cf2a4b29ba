"""Retry writes that a store refused, at growing intervals.

The reason may go away: an administrator raises a limit, a program is repaired. Until then the record
stays listed as failed, and costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from smtd.engine.actions import Plan
from smtd.engine.report import Failure, failure
from smtd.journal.pair import Refusal
from smtd.merge.sides import Side
from smtd.records.record import Key

#: Longest pause before a retry, in seconds.
LONGEST = 86_400.0
#: Seconds until the first retry of a write that a store accepted and did not keep.
IGNORED = 5.0
#: Stands for the digest of a refused deletion, which has none.
NOTHING = b""

Refusals = Mapping[tuple[Key, Side], Refusal]


def defer(plan: Plan, refused: Refusals, now: float) -> list[Refusal]:
    """Remove the actions from *plan* whose retry is not due, report them as failed; return their refusals."""
    spared: list[Refusal] = []
    for action in list(plan.actions):
        waiting = [
            refusal
            for write in action.writes
            if (refusal := refused.get((write.key, write.side)))
            and refusal.digest == (NOTHING if write.digest is None else write.digest)
            and refusal.until > now
        ]
        if waiting:
            plan.actions.remove(action)
            plan.failed += [_failure(each) for each in waiting]
            spared += waiting
    return spared


def schedule(refusals: Iterable[Refusal], refused: Refusals, now: float) -> list[Refusal]:
    """Return the *refusals* of this cycle, each with the time of its next retry."""
    return [_put_off(each, refused.get((each.key, each.side)), now) for each in refusals]


def _put_off(refusal: Refusal, before: Refusal | None, now: float) -> Refusal:
    attempts = 1 + (before.attempts if before is not None and before.digest == refusal.digest else 0)
    pause = min(LONGEST, refusal.pause * 2.0 ** min(attempts - 1, 20))
    return replace(refusal, attempts=attempts, until=now + pause)


def _failure(refusal: Refusal) -> Failure:
    return failure(refusal.key, refusal.side, refusal.reason)
