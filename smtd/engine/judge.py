"""Say what a difference between the two stores means, given what was agreed. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from smtd.engine.findings import Explained, Finding
from smtd.merge.decide import Mode
from smtd.merge.sides import SIDES, Both, Side
from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record
from smtd.text import encodable

_NONE = Both("", "")


class Sight(NamedTuple):
    """What the stores hold under one key: a record, or why there is one that cannot be read, or nothing."""

    records: Both[Record | None]
    unreadable: Both[str] = _NONE


@dataclass(frozen=True, slots=True)
class Rules:
    """What explains a difference in the pair *name*.

    *listed* has the reasons that the last cycle gave. *moving*: people are changing the stores, so what
    is not as agreed is for the next cycle.
    """

    name: str
    mode: Mode = Mode.TWO_WAY
    propagate_deletes: bool = True
    listed: Mapping[Key, str] = field(default_factory=dict)
    moving: bool = False


def judge(key: Key, sight: Sight, agreed: Both[Digest] | None, rules: Rules) -> Explained | Finding | None:
    """Say why *key* is not the same in both stores (None: it is, or neither has it)."""
    left, right = sight.records.left, sight.records.right
    fields: tuple[str, ...] = ()
    if not any(sight.unreadable[side] for side in SIDES):
        if left is None and right is None:
            return None
        if left is not None and right is not None:
            fields = tuple(canonical.differences(left, right))
            if not fields:
                return None
    reason = rules.listed.get(key) or _policy(sight, agreed, rules)
    if reason is None and rules.moving:
        reason = "it is being changed; the next cycle sees to it"
    if reason is not None:
        return Explained(key.project, key.label, fields, reason)
    return _finding(key, sight, fields, _changed(sight, agreed), rules.name)


def _changed(sight: Sight, agreed: Both[Digest] | None) -> list[Side]:
    """Return the sides that do not hold what was agreed."""
    return [
        side
        for side in SIDES
        if sight.unreadable[side]
        or _digest(sight.records[side]) != (None if agreed is None else agreed[side])
    ]


def _digest(record: Record | None) -> Digest | None:
    """Return the digest of what *record* says, whatever it is thought to be."""
    return None if record is None else canonical.digest(msgspec.structs.replace(record))


def _policy(sight: Sight, agreed: Both[Digest] | None, rules: Rules) -> str | None:
    """Return the reason, if the pair is meant to leave the difference as it is, or knows nothing of it."""
    if any(sight.unreadable[side] for side in SIDES):
        return None
    changed = _changed(sight, agreed)
    if changed and not any(side.other in rules.mode.targets for side in changed):
        return f"the pair is {rules.mode.value}: what was done in the {changed[0].value} store stays there"
    if agreed is None:
        return "it is new; the next cycle sees to it"
    gone = [side for side in changed if sight.records[side] is None]
    if gone and changed == gone and not rules.propagate_deletes:
        return f"it was deleted from the {gone[0].value} store, and the pair keeps what is deleted"
    return None


def _finding(key: Key, sight: Sight, fields: tuple[str, ...], changed: list[Side], name: str) -> Finding:
    differ, sync = ", ".join(fields), f"smtd-ctl sync now {name}"
    side = changed[0] if len(changed) == 1 else None
    unreadable = next((each for each in SIDES if sight.unreadable[each]), None)
    gone = next((each for each in changed if sight.records[each] is None), None)
    if unreadable is not None:
        side = unreadable
        what = f"the {side.value} store holds it, but it cannot be read: {encodable(sight.unreadable[side])}"
        then = f"mend it there, or delete it there after a look at the {side.other.value} store"
    elif gone is not None:
        side = gone
        what = f"the {side.value} store lacks it, though it was agreed"
        then = f"if nobody deleted it, bring it back there; {sync} takes it for deleted"
    elif not changed:
        what = f"the two stores have kept {differ} differently since it was written"
        then = "make the two records equal, or delete one of them"
    elif side is None:
        what = f"both stores keep {differ} otherwise than agreed"
        then = f"{sync} merges it, or lists a conflict"
    else:
        what = f"the {side.value} store keeps {differ} otherwise than agreed"
        then = (
            f"{sync} carries that to the {side.other.value} store; if nobody meant it, put back first what"
            f" the {side.other.value} store has"
        )
    return Finding(key.project, key.label, None if side is None else side.value, fields, what, then)
