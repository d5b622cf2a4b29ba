"""Explain one record: what each side holds, its baseline, which rule applies, what would unblock it."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, NamedTuple

import msgspec

from smtd.engine import deciding
from smtd.engine.actions import ActionKind, Plan
from smtd.engine.likely_key import hint
from smtd.engine.pair import Pair
from smtd.errors import UsageError
from smtd.journal.history import HistoryEntry
from smtd.merge.reasons import Code, Reason, because
from smtd.merge.sides import SIDES, Side
from smtd.records import canonical
from smtd.records.record import FIELDS, Key, Record

#: Entries of the history that are shown for one record.
_LATEST = 5
#: Where the records are, for a user who names one that does not exist.
_LISTED = "smtd list shows the records of a store"


class Past(msgspec.Struct, frozen=True):
    """One write of smtd under a key."""

    cycle: int
    at: str
    side: Side
    action: str
    why: Reason


class Explanation(msgspec.Struct):
    """What is known about one key: *rule* is what applies to it now, *then* what happens next.

    *then* is None if nothing happens by itself; *rule* then implies what the user can do. *until* is when a
    hold ends by itself (ISO 8601; None: it does not). *left*, *right* and the two digests of *baseline* are
    short digests (None: absent); equal digests mean equal records. *history* has the newest writes; writes
    up to *forgotten* are no longer known.
    """

    project: str
    label: str
    left: str | None
    right: str | None
    baseline: dict[str, str | None] | None
    rule: Reason
    then: Reason | None
    until: str | None
    history: list[Past]
    forgotten: str | None = None


class _Rule(NamedTuple):
    """What applies to a key, what happens next, and when a hold ends."""

    rule: Reason
    then: Reason | None = None
    until: str | None = None


async def explain(pair: Pair, key: Key) -> Explanation:
    """Explain *key*. Raises UsageError if neither side has it and the journal has nothing about it."""
    plan = await deciding.planned(pair, [key])
    baseline = (await pair.journal.baselines({key.project})).get(key)
    entries = await pair.journal.history.entries(key=key, limit=_LATEST)
    found = _planned(plan, key) or await _refused(pair, key) or _unplanned(plan, key)
    if baseline is None and not entries and found.rule.code is Code.ABSENT:
        raise UsageError(
            f"neither side has {key}, and smtd has no history of it{await hint(pair, key, _LISTED)}"
        )
    known = None
    if baseline is not None:
        known = {
            "at": await pair.journal.baseline_at(key),
            "left": baseline.left.hex()[:12],
            "right": baseline.right.hex()[:12],
        }
    sides = [plan.now[side].get(key) for side in SIDES]
    left, right = (None if digest is None else digest.hex()[:12] for digest in sides)
    return Explanation(
        *(*key, left, right, known, *found),
        history=list(map(_past, entries)),
        forgotten=await _forgotten(pair),
    )


async def _forgotten(pair: Pair) -> str | None:
    found = await pair.journal.history.forgotten()
    return None if found is None else found.at


def _planned(plan: Plan, key: Key) -> _Rule | None:
    """Return what the plan has for *key*: a conflict, a hold, a failure or an action (None: nothing)."""
    for conflict in plan.conflicts:
        if conflict.key == key:
            return _Rule(because(Code.BOTH_CHANGED, None, *conflict.fields))
    for held in plan.held:
        if held.key == key:
            return _Rule(because(Code.HELD, cause=held.why), None, held.until)
    for failed in plan.failed:
        if failed.key == key:
            return _Rule(because(Code.FAILED_THERE, failed.side, cause=failed.why))
    for action in plan.actions:
        if action.key == key:
            if action.kind in (ActionKind.AGREE, ActionKind.FORGET):
                return _Rule(because(Code.EQUAL_NOT_NOTED))
            if action.kind in (ActionKind.MERGE, ActionKind.SPLIT):
                return _Rule(because(Code.CHANGED_ON_BOTH))
            then = Code.DELETES if action.kind is ActionKind.DELETE else Code.COPIES
            return _Rule(action.why, because(then, action.writes[0].side))
    return None


async def _refused(pair: Pair, key: Key) -> _Rule | None:
    """Return why a side refused *key*, and when smtd retries the write (None: no side refused it)."""
    refused = await pair.journal.refused()
    for side in SIDES:
        if (refusal := refused.get((key, side))) is not None:
            until = datetime.fromtimestamp(refusal.until, timezone.utc).isoformat(timespec="seconds")
            values = (refusal.attempts, until)
            return _Rule(because(Code.REFUSED_BEFORE, side, *values, cause=refusal.reason))
    return None


def _unplanned(plan: Plan, key: Key) -> _Rule:
    left, right = (plan.now[side].get(key) for side in SIDES)
    if left is None and right is None:
        return _Rule(because(Code.ABSENT))
    return _Rule(because(Code.EQUAL if left == right else Code.ONE_SIDED))


def _past(entry: HistoryEntry) -> Past:
    return Past(entry.cycle, entry.at, entry.side, entry.action, entry.reason)


class RecordDiff(msgspec.Struct):
    """One record field by field: what each side has, and the baseline (None: no record or no value).

    *differing* are the fields in which the two sides differ. Writes up to *forgotten* are no longer known.
    """

    project: str
    label: str
    differing: list[str]
    fields: dict[str, dict[str, Any]]
    forgotten: str | None = None


async def show(pair: Pair, key: Key) -> RecordDiff:
    """Read *key* from both sides and from the journal. Raises UsageError if none of them has it."""
    records, baseline = await pair.read_both(key), await pair.journal.baseline_record(key)
    if records.left is None and records.right is None and baseline is None:
        raise UsageError(f"neither side has {key}{await hint(pair, key, _LISTED)}")
    differing: list[str] = []
    if records.left is not None and records.right is not None:
        differing += canonical.differences(records.left, records.right)
    fields = {
        field: {
            "left": _value(records.left, field),
            "right": _value(records.right, field),
            "agreed": _value(baseline, field),
        }
        for field in FIELDS
    }
    return RecordDiff(*key, differing, fields, await _forgotten(pair))


def _value(record: Record | None, field: str) -> Any:
    if record is None:
        return None
    found = msgspec.to_builtins(getattr(record, field), str_keys=True)
    return sorted(found) if field == "tags" else found
