"""Edit what people write of one record, its reason, outcome and tags, on both sides of a pair at once."""

from __future__ import annotations

import msgspec

from smtd.engine import actions
from smtd.engine.actions import Plan
from smtd.engine.apply import Executor
from smtd.engine.pair import Pair
from smtd.engine.report import PairReport, empty_report, failure, no_progress
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
    left, right = [(await pair.stores[side].read([key])).get(key) for side in SIDES]
    if left is None or right is None or {_digest(left), _digest(right)} != {expect}:
        raise PlanChanged(f"{key} is not the same on both sides as when it was shown; look at it again")
    if not is_final(left):
        raise UsageError(f"the run of {key} is not over; edit the record when it is")
    report = empty_report(pair.name, pair.stores.map(lambda store: store.location))
    change = actions.merge(key, _edited(left, wanted), Both(left, right), because(Code.EDITED))
    if change.writes:
        executor = Executor(pair, await pair.journal.begin_cycle(), report, no_progress)
        await executor.run(Plan(actions=[change]))
        report.failed += [failure(key, None, because(Code.CHANGED_DURING_EDIT)) for key in executor.stale]
    return report


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
