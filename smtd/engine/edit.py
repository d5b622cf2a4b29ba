"""Change one record on both sides at once: edit what people write of it, or restore an earlier state."""

from __future__ import annotations

from datetime import datetime

import msgspec

from smtd.engine import actions, cycle
from smtd.engine.actions import Action, Plan, check_plan
from smtd.engine.apply import Executor
from smtd.engine.likely_key import hint
from smtd.engine.pair import Pair
from smtd.engine.report import PairReport, failure, no_progress
from smtd.errors import PlanChanged, UsageError
from smtd.merge.decide import Mode
from smtd.merge.reasons import Code, because
from smtd.merge.sides import SIDES, Both
from smtd.records import canonical
from smtd.records.record import Key, Record
from smtd.records.run_status import is_final
from smtd.records.tags import STATUS_TAGS


class Edit(msgspec.Struct, frozen=True):
    """What a person wants a record to say; None: as before. *tags*: without those of the status."""

    reason: str | None = None
    outcome: str | None = None
    tags: frozenset[str] | None = None


async def edit(pair: Pair, key: Key, wanted: Edit, expect: str) -> PairReport:
    """Write *wanted* into the record *key* on both sides; what was there before goes to the history.

    *expect*: the digest, in hex, that the record must have on both sides. Raises PlanChanged if a side holds
    something else, UsageError if the pair does not write to both sides, or if the run is not over: it would
    be saved over the edit.
    """
    _check_sides(pair)
    records = await pair.read_both(key)
    left, right = records.left, records.right
    if left is None or right is None or {_digest(left), _digest(right)} != {expect}:
        raise PlanChanged(f"{key} is not the same on both sides as when it was shown; look at it again")
    if not is_final(left):
        raise UsageError(f"the run of {key} is not over; edit the record when it is")
    change = actions.merge(key, _edited(left, wanted), records, because(Code.EDITED))
    if not change.writes:
        return pair.new_report()
    return await _carry_out(pair, change, Code.CHANGED_DURING_EDIT)


def _check_sides(pair: Pair) -> None:
    if pair.policy.mode is not Mode.TWO_WAY:
        raise UsageError(f"pair {pair.name} syncs one way: edit the record in the store that it comes from")
    for side in SIDES:
        if why := pair.stores[side].capabilities.read_only:
            raise UsageError(f"smtd does not write to the {side.value} store of pair {pair.name}: {why}")


def _digest(record: Record) -> str:
    return canonical.digest(record).hex()


def _edited(record: Record, wanted: Edit) -> Record:
    values: dict[str, object] = {}
    if wanted.reason is not None:
        values["reason"] = wanted.reason
    if wanted.outcome is not None:
        values["outcome"] = wanted.outcome
    if wanted.tags is not None:
        values["tags"] = wanted.tags | (record.tags & STATUS_TAGS)
    return msgspec.structs.replace(record, **values)


async def restore(
    pair: Pair, key: Key, at: datetime, *, dry_run: bool = False, expected_plan: str | None = None
) -> PairReport:
    """Write the record *key* to both sides as it was at the time *at*; the current one goes to the history.

    With *dry_run* return that as a plan, and write nothing. *expected_plan*: the identity that the plan must
    have (None: any). Raises UsageError if no version of that time is known, or if the record has not changed
    since, PlanChanged if the plan is not the expected one.
    """
    records = await pair.read_both(key)
    is_known = records != Both(None, None) or await _is_known(pair, key)
    likely = "" if is_known else await hint(pair, key)
    record = None if likely else await _as_of(pair, key, at)
    if record is None:
        raise UsageError(f"smtd has no version of {key} from {at.isoformat()}{likely}")
    why = because(Code.RESTORED, None, at.isoformat(timespec="seconds"))
    change = actions.merge(key, record, records, why)
    if not change.writes:
        raise UsageError(f"{key} is the same as at {at.isoformat()}; nothing to restore")
    if dry_run:
        report = pair.new_report()
        cycle.count_planned(Plan(actions=[change]), report)
        return report
    check_plan(Plan(actions=[change]).identity, expected_plan)
    return await _carry_out(pair, change, Code.CHANGED_DURING_RESTORE)


async def _carry_out(pair: Pair, change: Action, moved: Code) -> PairReport:
    """Make *change* in a cycle of its own; a key that changes meanwhile fails because of *moved*."""
    report = pair.new_report()
    executor = Executor(pair, await pair.journal.begin_cycle(), report, no_progress)
    await executor.run(Plan(actions=[change]))
    report.failed += [failure(key, None, because(moved)) for key in executor.stale]
    return report


async def _is_known(pair: Pair, key: Key) -> bool:
    """Say whether the journal has a version of the record, from whatever time."""
    entries = await pair.journal.history.entries(key=key, limit=1)
    return bool(entries) or await pair.journal.baseline_record(key) is not None


async def _as_of(pair: Pair, key: Key, at: datetime) -> Record | None:
    """Return the record as the first write after *at* found it, or else the baseline.

    An edit since that baseline is left out, as smtd does not know when a user made it. Raises UsageError if
    the state of that time is no longer known, or was not known yet.
    """
    later = [
        entry
        for entry in await pair.journal.history.entries(key=key, limit=10**9)
        if datetime.fromisoformat(entry.at) > at
    ]
    forgotten = await pair.journal.history.forgotten()
    known = [await pair.journal.began_at(), None if forgotten is None else forgotten.at]
    known += [] if later else [await pair.journal.baseline_at(key)]
    since = max((each for each in known if each is not None), default="")
    if since and at < datetime.fromisoformat(since):
        raise UsageError(
            f"smtd has no version of {key} from {at.isoformat()}; what it knows goes back to {since}"
        )
    if later:
        first = min(later, key=lambda entry: entry.id)
        return await pair.journal.history.image(first.id)
    return await pair.journal.baseline_record(key)
