"""Know what was put back from a copy: a store, or the journal.

What a store lacks that is another one than it was nobody deleted, and what it has as it once was nobody
edited. A journal that is older than the stores takes for agreed what has been deleted since. So the pair is
adopted anew then, as at a first meeting: a union, in which the longer text wins and nothing is deleted.
"""

from __future__ import annotations

from collections.abc import Mapping

from smtd.engine.actions import Copy, Plan
from smtd.engine.pair import Pair
from smtd.merge.sides import SIDES, Both, Side
from smtd.records.canonical import Digest
from smtd.records.record import Key, is_plain
from smtd.stores.base import Scan


async def returned(
    pair: Pair, agreed: Mapping[Key, Both[Digest]], scans: Both[Scan], plan: Plan
) -> frozenset[Side]:
    """Return the sides whose files are others now, if they lack records or have some as they once were.

    Asked after the scan: a file that was exchanged before it is known here.
    """
    found = set()
    for side in SIDES:
        lacks = any(_is_lacking(key, side, scans) for key in agreed)
        changed = [key for key in _changed(plan, side) if key in agreed]
        if not (lacks or changed) or not await pair.is_another(side):
            continue
        if lacks or await _is_as_once(pair, side, changed, scans):
            found.add(side)
    return frozenset(found)


async def has_missed(pair: Pair, agreed: Mapping[Key, Both[Digest]], scans: Both[Scan]) -> bool:
    """Say whether a record is missing on one side, and the stores went on in step without this journal.

    Both have the same new record, and no pair's history knows of it. Two people cannot have made it: it was
    copied, by a cycle of which this journal has no memory, or by another program than smtd. An edit or a
    deletion that both sides have is no sign, as two people may well have done that.
    """
    if not any(_is_lacking(key, side, scans) for key in agreed for side in SIDES):
        return False
    left, right = scans.left.digests, scans.right.digests
    new = [key for key in left.keys() - agreed.keys() if left[key] == right.get(key) and is_plain([*key])]
    return not all([await pair.journal.knows_of(key, left[key]) for key in new])


def _is_lacking(key: Key, side: Side, scans: Both[Scan]) -> bool:
    there = key in scans[side].digests or key in scans[side].unreadable
    return not there and key in scans[side.other].digests


def _changed(plan: Plan, side: Side) -> list[Key]:
    """Return the keys that *side* changed, alone or not."""
    copies = [action for action in plan.actions if isinstance(action, Copy) and action.target is side.other]
    return [action.key for action in copies if action.expect is not None and not action.exact] + plan.merges


async def _is_as_once(pair: Pair, side: Side, keys: list[Key], scans: Both[Scan]) -> bool:
    """Say whether one of *keys* is again what smtd overwrote, or wrote, before."""
    for key in keys:
        if await pair.journal.history.held(pair.journal.number, key, scans[side].digests[key]):
            return True
    return False
