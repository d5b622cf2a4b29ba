"""Classify a difference between the two stores, given the baseline. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from smtd.engine.scrub.findings import Explained, Finding
from smtd.merge.decide import Mode
from smtd.merge.reasons import Code, Reason, because
from smtd.merge.sides import SIDES, Both, Side
from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record

_NONE = Both("", "")


class KeyContents(NamedTuple):
    """What the stores hold under one key: a record, or the reason why it cannot be read, or nothing."""

    records: Both[Record | None]
    unreadable: Both[str] = _NONE


@dataclass(frozen=True, slots=True)
class Rules:
    """What explains a difference.

    *listed* has the reasons that the last cycle gave. *moving*: other programs are changing the stores, so
    the next cycle deals with what differs from the baseline.
    """

    mode: Mode = Mode.TWO_WAY
    propagate_deletes: bool = True
    listed: Mapping[Key, Reason] = field(default_factory=dict)
    moving: bool = False


def classify(
    key: Key, sight: KeyContents, baseline: Both[Digest] | None, rules: Rules
) -> Explained | Finding | None:
    """Return why the stores differ under *key* (None: they do not), known or not."""
    left, right = sight.records.left, sight.records.right
    fields: tuple[str, ...] = ()
    if not any(sight.unreadable[side] for side in SIDES):
        if left is None and right is None:
            return None
        if left is not None and right is not None:
            fields = tuple(canonical.differences(left, right))
            if not fields:
                return None
    why = rules.listed.get(key) or _policy(sight, baseline, rules)
    if why is None and rules.moving:
        why = because(Code.BEING_CHANGED)
    if why is not None:
        return Explained(key.project, key.label, fields, why)
    return Finding(key.project, key.label, fields, _finding(sight, _changed(sight, baseline)))


def _changed(sight: KeyContents, baseline: Both[Digest] | None) -> list[Side]:
    """Return the sides that do not hold the baseline."""
    return [
        side
        for side in SIDES
        if sight.unreadable[side]
        or _digest(sight.records[side]) != (None if baseline is None else baseline[side])
    ]


def _digest(record: Record | None) -> Digest | None:
    """Return the digest of *record*, computed now, and not the one that may be stored with it."""
    return None if record is None else canonical.digest(msgspec.structs.replace(record))


def _policy(sight: KeyContents, baseline: Both[Digest] | None, rules: Rules) -> Reason | None:
    """Return the reason if the pair leaves such a difference as it is, or has not synced the key yet."""
    if any(sight.unreadable[side] for side in SIDES):
        return None
    changed = _changed(sight, baseline)
    if changed and not any(side.other in rules.mode.targets for side in changed):
        return because(Code.NOT_CARRIED, changed[0], rules.mode.value)
    if baseline is None:
        return because(Code.NOT_SYNCED_YET)
    gone = [side for side in changed if sight.records[side] is None]
    if gone and changed == gone and not rules.propagate_deletes:
        return because(Code.DELETION_NOT_CARRIED, gone[0])
    return None


def _finding(sight: KeyContents, changed: list[Side]) -> Reason:
    """Return what is wrong with a record that the sides *changed* do not hold as in the baseline."""
    unreadable = next((each for each in SIDES if sight.unreadable[each]), None)
    gone = next((each for each in changed if sight.records[each] is None), None)
    if unreadable is not None:
        return because(Code.FOUND_UNREADABLE, unreadable, sight.unreadable[unreadable])
    if gone is not None:
        return because(Code.FOUND_MISSING, gone)
    if not changed:
        return because(Code.FOUND_DIFFERENT)
    if len(changed) > 1:
        return because(Code.FOUND_CHANGED_ON_BOTH)
    return because(Code.FOUND_CHANGED, changed[0])
