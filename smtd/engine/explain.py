"""Say of one record what each side holds, what was agreed, which rule decides, and what would unblock it."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import msgspec

from smtd.engine import deciding
from smtd.engine.actions import Agree, Delete, Forget, Merge, Plan, Split
from smtd.engine.pair import Pair
from smtd.errors import UsageError
from smtd.journal.history import Entry
from smtd.merge.sides import SIDES, Both
from smtd.records import canonical
from smtd.records.record import FIELDS, Key, Record

#: Entries of the history that are told of one record.
_LATEST = 5


class Past(msgspec.Struct, frozen=True):
    """One write of smtd under a key."""

    cycle: int
    at: str
    side: str
    action: str
    reason: str


class Explanation(msgspec.Struct):
    """What is known of one key: *rule* is what holds for it now, *next* what happens or what would help.

    *left*, *right* and the two digests of *agreed* are short digests (None: absent); equal ones, equal
    records. *history* has the newest writes; what was written until *forgotten* is not known any more.
    """

    project: str
    label: str
    left: str | None
    right: str | None
    agreed: dict[str, str | None] | None
    rule: str
    next: str
    history: list[Past]
    forgotten: str | None = None


async def explain(pair: Pair, key: Key) -> Explanation:
    """Explain *key*. Raises UsageError if neither side has it and nothing is known of it."""
    plan = await deciding.look(pair, [key])
    agreed = (await pair.journal.agreed({key.project})).get(key)
    entries = await pair.journal.history.entries(pair.journal.number, key=key, limit=_LATEST)
    rule, then = _told(plan, key) or await _refused(pair, key) or _quiet(plan, key)
    if agreed is None and not entries and not any(key in plan.now[side] for side in SIDES) and not rule:
        raise UsageError(f"neither side has {key}, and nothing is known of it; see smtd list")
    known = None
    if agreed is not None:
        known = {
            "at": await pair.journal.agreed_at(key),
            "left": agreed.left.hex()[:12],
            "right": agreed.right.hex()[:12],
        }
    sides = [plan.now[side].get(key) for side in SIDES]
    left, right = (None if digest is None else digest.hex()[:12] for digest in sides)
    return Explanation(
        *(*key, left, right, known, rule or "neither side has it", then),
        history=list(map(_past, entries)),
        forgotten=await _forgotten(pair),
    )


async def _forgotten(pair: Pair) -> str | None:
    found = await pair.journal.history.forgotten(pair.journal.number)
    return None if found is None else found.at


def _told(plan: Plan, key: Key) -> tuple[str, str] | None:
    """Return what the plan says of *key*: a conflict, a hold, a failure or an action."""
    for conflict in plan.conflicts:
        if (conflict.project, conflict.label) == key:
            fields = ", ".join(conflict.fields)
            return f"both sides changed {fields}", "smtd-ctl resolve takes left, right or both"
    for held in plan.held:
        if (held.project, held.label) == key:
            until = "" if held.until is None else f" (until {held.until})"
            reason = held.reason if held.kind == "deletion" else f"held: {held.reason}"
            return f"{reason}{until}", held.next
    for failed in plan.failed:
        if (failed.project, failed.label) == key:
            return f"failed on the {failed.side}", failed.error
    for action in plan.actions:
        if action.key == key:
            if isinstance(action, (Agree, Forget)):
                return "both sides are equal", "nothing: the next cycle notes it"
            if isinstance(action, (Merge, Split)):
                return "a change on both sides", "the next cycle writes it to both sides"
            what = "deletes it from" if isinstance(action, Delete) else "brings it to"
            return action.reason, f"the next cycle {what} the {action.target.value}"
    return None


async def _refused(pair: Pair, key: Key) -> tuple[str, str] | None:
    """Return why a side refused *key*, and when it is offered again."""
    for side in SIDES:
        if (refusal := (await pair.journal.refused()).get((key, side))) is not None:
            until = datetime.fromtimestamp(refusal.until, timezone.utc).isoformat(timespec="seconds")
            return f"refused {refusal.attempts} times: {refusal.reason}", f"it is offered again at {until}"
    return None


def _quiet(plan: Plan, key: Key) -> tuple[str, str]:
    left, right = (plan.now[side].get(key) for side in SIDES)
    if left is None and right is None:
        return "", "nothing"
    if left == right:
        return "both sides hold the same record, as agreed", "nothing"
    return "what one side did stays there: the pair does not carry it", "change mode or deletes of the pair"


def _past(entry: Entry) -> Past:
    return Past(entry.cycle, entry.at, entry.side.value, entry.action, entry.reason)


class Shown(msgspec.Struct):
    """One record field by field: what each side has and what was agreed (None: no record or no value).

    *differing* are the fields that the two sides do not have in common. What was written until *forgotten*
    is not known any more.
    """

    project: str
    label: str
    differing: list[str]
    fields: dict[str, dict[str, Any]]
    forgotten: str | None = None


async def show(pair: Pair, key: Key) -> Shown:
    """Read *key* from both sides and from the journal. Raises UsageError if nobody has it."""
    left, right = [(await pair.stores[side].read([key])).get(key) for side in SIDES]
    agreed = await pair.journal.ancestor(key)
    if left is None and right is None and agreed is None:
        raise UsageError(f"neither side has {key}; see smtd list")
    differing = [] if left is None or right is None else list(canonical.differences(left, right))
    named = Both(left, right)
    fields = {
        field: {
            "left": _value(named.left, field),
            "right": _value(named.right, field),
            "agreed": _value(agreed, field),
        }
        for field in FIELDS
    }
    return Shown(*key, differing, fields, await _forgotten(pair))


def _value(record: Record | None, field: str) -> Any:
    if record is None:
        return None
    found = msgspec.to_builtins(getattr(record, field), str_keys=True)
    return sorted(found) if field == "tags" else found
