"""Recognize a store or a journal that was restored from a copy.

No user deleted the records that a restored store lacks, or edited those that it has in an old state. A
journal that is older than the stores has baselines of what has been deleted since. So smtd then adopts the
pair anew, as in a first sync: the union of both sides, in which the longer text wins and nothing is deleted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from smtd.engine.actions import Plan
from smtd.engine.pair import Pair
from smtd.engine.plan import Facts
from smtd.errors import RecordUnusable
from smtd.merge.sides import SIDES, Both, Side
from smtd.records.canonical import Digest
from smtd.records.record import Key, encode, is_plain
from smtd.stores.base import Scan, Store

#: Most records that smtd reads before it takes missing records of a store without a mark for deleted.
MOST_READ = 50


async def replaced_sides(pair: Pair, known: Facts, plan: Plan) -> frozenset[Side]:
    """Return the sides whose store was replaced and lacks records, or has an old state of some.

    Call it after the scan, so that a file that was exchanged before the scan is recognized. A store without a
    mark counts as restored only if both are true: it lacks records, and has an old state of others.
    """
    baselines, scans = known.baselines, known.scans
    found = set()
    for side in SIDES:
        if not _has_mark(pair.stores[side]):
            if await _was_put_back(pair, side, known, plan):
                found.add(side)
            continue
        lacks = any(_lacks_record(key, side, scans) for key in baselines)
        changed = [key for key in _changed(plan, side) if key in baselines]
        if not (lacks or changed) or not await pair.is_another(side):
            continue
        if lacks or await _matches_history(pair, side, changed, scans):
            found.add(side)
    return frozenset(found)


async def has_missed(pair: Pair, baselines: Mapping[Key, Both[Digest]], scans: Both[Scan]) -> bool:
    """Say whether a record is missing on one side, and the stores were synced without this journal.

    They were if both have the same new record, and no pair's history has it. Two users cannot have created
    it: a cycle that this journal does not remember copied it, or another program did. An edit or a deletion
    on both sides proves nothing, as two users may have made it. Nor does a record that no journal can hold,
    because it is new in every cycle.
    """
    if not any(_lacks_record(key, side, scans) for key in baselines for side in SIDES):
        return False
    left, right = scans.left.digests, scans.right.digests
    new = [key for key in left.keys() - baselines.keys() if left[key] == right.get(key) and is_plain([*key])]
    for key in new:
        if not await pair.journal.knows_of(key, left[key]) and await _can_be_known(pair, key):
            return True
    return False


async def _can_be_known(pair: Pair, key: Key) -> bool:
    """Say whether a journal can hold the record under *key*, which both sides have."""
    record = await pair.read(Side.LEFT, key)
    try:
        return record is None or bool(encode(record))
    except RecordUnusable:
        return False


def _has_mark(store: Store) -> bool:
    """Say whether *store*, or the file that it is, has a mark."""
    return store.capabilities.bears_mark or not store.capabilities.costly_reads


async def _was_put_back(pair: Pair, side: Side, known: Facts, plan: Plan) -> bool:
    """Say whether *side*, which has no mark, lacks records and has an old state of others.

    False if no deletion would follow from the missing records. Keys where a program undid smtd's last write
    unseen (`lost_updates.py`) prove nothing, nor do keys that a user decided.
    """
    if not pair.policy.propagate_deletes or side.other not in pair.policy.mode.targets:
        return False
    lost = known.lost[side]
    if not any(_lacks_record(key, side, known.scans) and key not in lost for key in known.baselines):
        return False
    unclear = {*lost, *known.overtaken[side], *known.moved, *known.decisions}
    scan, other = known.scans[side], known.scans[side.other].digests
    read = {key: digest for key, digest in scan.digests.items() if key not in scan.believed}
    if await _has_gone_back(pair, side, read, known.baselines, other, unclear):
        return True
    if not plan.asked and not any(each.deletes_from(side.other) for each in plan.actions):
        return False  # all deletions are held, and were at the last check
    edited = await pair.journal.history.edited()
    keys = [key for key in edited if key not in read and key not in known.moved and is_plain([*key])][
        :MOST_READ
    ]
    now = await pair.digests(side, keys)
    baselines = await pair.journal.baselines_of(keys)
    there = await pair.journal.indexes[side.other].entries(keys)
    other = {key: each.digest for key, each in there.items() if each.digest is not None}
    return await _has_gone_back(pair, side, now, baselines, other, unclear)


async def _has_gone_back(
    pair: Pair,
    side: Side,
    now: Mapping[Key, Digest],
    baselines: Mapping[Key, Both[Digest]],
    other: Mapping[Key, Digest],
    unclear: Collection[Key],
) -> bool:
    """Say whether *side* holds *now* a record in a state from before an edit or a deletion.

    *baselines* and *other* have the baselines, and what the other side holds, under the same keys. The keys
    *unclear* are skipped.
    """
    for key, digest in now.items():
        known = baselines.get(key)
        if key in unclear or not is_plain([*key]) or (known is not None and known[side] == digest):
            continue
        if other.get(key) != digest and await pair.journal.history.ever_had(key, digest):
            return True
    return False


def _lacks_record(key: Key, side: Side, scans: Both[Scan]) -> bool:
    there = key in scans[side].digests or key in scans[side].unreadable
    return not there and key in scans[side.other].digests


def _changed(plan: Plan, side: Side) -> list[Key]:
    """Return the keys that changed on *side*, whether or not they changed on the other side, too."""
    edits = [action for action in plan.actions if action.edits and action.copies_to(side.other)]
    return [action.key for action in edits] + plan.merges


async def _matches_history(pair: Pair, side: Side, keys: list[Key], scans: Both[Scan]) -> bool:
    """Say whether *side* holds one of *keys* in a state that smtd overwrote or wrote before."""
    for key in keys:
        if await pair.journal.history.ever_had(key, scans[side].digests[key]):
            return True
    return False
