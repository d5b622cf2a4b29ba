"""Look at both sides and decide what to do, from scans, the journal and the records of merges.

Nothing here writes to a store. In the journal a look updates the indexes; `note` and `note_rotations` write
the rest.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import NamedTuple

from smtd.batches import batches
from smtd.engine import actions, lost_updates, merges
from smtd.engine import plan as planning
from smtd.engine.actions import Action, Plan
from smtd.engine.lost_updates import LostUpdates, OvertakenWrite
from smtd.engine.observe import NOWHERE, Observed, observe
from smtd.engine.pair import Pair
from smtd.engine.plan import Facts
from smtd.engine.rebaseline import has_missed, replaced_sides
from smtd.engine.recovery import Judged, judge_intents
from smtd.engine.report import PairReport, Progress, no_progress
from smtd.errors import StoreRefused
from smtd.journal.checkpoint import Checkpoint, Rotation
from smtd.journal.decisions import Decision
from smtd.journal.transaction import Baseline
from smtd.merge.deletion_guard import PERIOD
from smtd.merge.lost_updates import LoggedWrite
from smtd.merge.sides import SIDES, Both, Side
from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record, is_plain
from smtd.stores.base import Scan

_LAST = datetime.max.replace(tzinfo=timezone.utc)
#: Keys whose records are read at a time.
BATCH = 500


#: A plan with at most this many updates keeps the records that were read for them.
FEW_RECORDS = 100
#: Looks of one preview at most: each may show more keys that must be read.
ROUNDS = 3


class Learnt(NamedTuple):
    """What a look has shown besides actions; `note` and `note_rotations` write it to the journal."""

    rotations: Both[Rotation | None]
    lost_updates: Both[LostUpdates]
    late: Sequence[Baseline]


class Noted(NamedTuple):
    """What the journal has for the keys to decide, all of one moment; see `PairJournal` and `WriteLog`."""

    baselines: Mapping[Key, Both[Digest]]
    decisions: Mapping[Key, Decision]
    written: Both[Mapping[Key, Sequence[LoggedWrite]]]


class Decided(NamedTuple):
    """The plan, what was observed for it, and what the journal has to record besides."""

    plan: Plan
    observed: Observed
    learnt: Learnt


async def planned(pair: Pair, recheck: Collection[Key] = ()) -> Plan:
    """Return what a cycle would do now; write to no store. For *recheck* see `preview`."""
    plan, _ = await preview(pair, pair.new_report(), no_progress, recheck)
    return plan


async def preview(
    pair: Pair, report: PairReport, progress: Progress, recheck: Collection[Key] = ()
) -> tuple[Plan, Collection[Key]]:
    """Return what a cycle would do now, and the keys that were read again for it; write to no store.

    A look at a server trusts earlier reads, but a cycle reads a record there before it writes. So a preview
    reads *recheck* and all keys of its plan again, until it has seen what the cycle will see.
    """
    checkpoint = await pair.journal.checkpoints.get() or NOWHERE
    keys = {*recheck, *(write.key for write in await pair.journal.begun() if pair.policy.covers(write.key))}
    for _ in range(ROUNDS):
        judged = await judge_intents(pair)
        plan, observed, _ = await decided(pair, report, progress, checkpoint, keys, judged)
        believed = plan.open.intersection(*[{*observed.scans[side].believed} for side in SIDES])
        found = plan.moved | believed
        if not plan.moved and found <= keys:
            break
        keys |= found
    return plan, keys


async def note(pair: Pair, learnt: Learnt) -> None:
    """Record in the journal what was *learnt* about smtd's writes; call it before the plan is carried out."""
    for side in SIDES:
        await lost_updates.note(pair, side, learnt.lost_updates[side])
    if learnt.late:
        await pair.flush()
        async with pair.journal.transaction() as tx:
            tx.set_baselines(learnt.late)


async def note_rotations(pair: Pair, learnt: Learnt) -> None:
    """Record how far the rereading of each side has come, after the plan was carried out.

    After a crash before that, the next look reads the same keys again.
    """
    for side in SIDES:
        if (rotation := learnt.rotations[side]) is not None:
            await pair.journal.checkpoints.set_rotation(side, rotation)


async def decided(
    pair: Pair,
    report: PairReport,
    progress: Progress,
    checkpoint: Checkpoint,
    recheck: Collection[Key],
    judged: Judged,
) -> Decided:
    """Look at both sides and decide every key that may not be in sync; nothing is written to a store.

    *judged* is the outcome of open intents, if the journal does not have it yet. The keys of *recheck* are
    read in any case.
    """
    progress("scanning", 0, 0)
    observed = await observe(pair, checkpoint, recheck)
    found = await _decided(pair, report, observed, judged)
    believed = observed.scans.left.believed or observed.scans.right.believed
    if found.plan.adopted and (observed.keys is not None or believed):
        # Earlier reads say nothing about a store that was restored.
        observed = await observe(pair, checkpoint, recheck, recheck_all=True)
        found = await _decided(pair, report, observed, judged)
    return found


async def _decided(pair: Pair, report: PairReport, observed: Observed, judged: Judged) -> Decided:
    """Decide the keys that were *observed*; see `decided`."""
    keys, scans, policy = observed.keys, observed.scans, pair.policy
    for side in SIDES:
        counts = report.side(side)  # may have counts of an earlier round
        counts.records = sum(each.records for each in observed.record_counts[side].values()) - counts.grown
    until: dict[Key, datetime] = {}
    if policy.hold_unfinished and policy.stale_after is not None:
        scans = Both(*[await _expire_abandoned_runs(pair, side, scans[side], until) for side in SIDES])
    pair = restrict_to_writable(pair, report)
    noted = await pair.journal.at_one_moment(partial(_noted, pair, keys))
    baselines = judged.baselines_after(noted.baselines)
    scans = scans.map(lambda scan: planning.without_nameless(scan, baselines))
    report.projects = _projects(pair, observed)
    detect, logs = partial(lost_updates.detect, pair), noted.written
    sides = Both(*[await detect(side, logs[side], scans[side], baselines, keys) for side in SIDES])
    late, moved = await _late(pair, sides)
    moved.update(judged.moved)
    if late:
        baselines = {**baselines, **{each.key: each.digests for each in late}}
    ancestors = {**judged.ancestors, **{each.key: each.record for each in late}}
    lost, overtaken = sides.map(lambda each: each.reverted), sides.map(lambda each: each.overtaken)
    others = {} if keys is None else await _others(pair, scans, noted.baselines, baselines)
    recent = await _recent(pair, scans, baselines)
    readable = sum(each.readable for each in observed.record_counts.left.values())
    known = Facts(
        baselines,
        scans,
        lost,
        moved,
        observed.unsettled,
        until,
        noted.decisions,
        overtaken,
        others,
        recent,
        readable,
    )
    plan = planning.build_plan(known, pair.policy, keys)
    adopted = await replaced_sides(pair, known, plan)
    if not adopted and await has_missed(pair, baselines, scans):
        adopted = frozenset(SIDES)
    if adopted:
        facts = Facts({}, scans, Both({}, {}), moved, observed.unsettled, until, readable=readable)
        plan = planning.build_plan(facts, pair.policy)
        plan.adopted = adopted
        report.adopted = [side for side in SIDES if side in adopted or side in report.adopted]
    await _decide_merges(pair, plan, ancestors, overtaken)
    await _repair_stripped_data(pair, plan)
    return Decided(plan, observed, Learnt(observed.rotations, sides, late))


async def _noted(pair: Pair, keys: Collection[Key] | None) -> Noted:
    """Return what the journal has for *keys* (None: for all); await nothing but the journal."""
    journal = pair.journal
    if keys is None:
        baselines = await journal.baselines(pair.policy.projects)
    else:
        baselines = await journal.baselines_of([key for key in keys if is_plain([*key])])
    written = Both(*[await journal.write_log.all(side) for side in SIDES])
    return Noted(baselines, await journal.decisions.all(), written)


async def _others(
    pair: Pair, scans: Both[Scan], noted: Collection[Key], baselines: Collection[Key]
) -> Mapping[str, int]:
    """Return how many keys besides *noted* have a baseline, by project; nothing if no side lacks any of
    *baselines*.

    Only a comparison with all baselines shows whether missing records were deleted.
    """
    if all(key in scans[side].digests for side in SIDES for key in baselines):
        return {}
    others = Counter(await pair.journal.baseline_counts(pair.policy.projects))
    others.subtract(key.project for key in noted)
    return +others


async def _recent(pair: Pair, scans: Both[Scan], baselines: Collection[Key]) -> Both[int]:
    """Return how many records smtd deleted lately on each side (0: no key is to be deleted there now)."""
    found, journal, moment = [], pair.journal, time.time()
    for side in SIDES:
        here, there = scans[side].digests, scans[side.other].digests
        is_asked = any(key in here and key not in there for key in baselines)
        found.append(await journal.history.deleted(side, moment, PERIOD) if is_asked else 0)
    return Both(*found)


def _projects(pair: Pair, observed: Observed) -> list[str]:
    """Return the names of the projects that this cycle covers."""
    if pair.policy.projects is not None:
        return sorted(pair.policy.projects)
    counts = observed.record_counts
    return sorted(
        {name for side in SIDES for name, each in counts[side].items() if each.readable and is_plain(name)}
    )


async def _late(pair: Pair, found: Both[LostUpdates]) -> tuple[list[Baseline], set[Key]]:
    """Return baselines from writes that a store shows only now, which are no edits, and keys that changed."""
    moved = {*found.left.moved, *found.right.moved}
    late: list[Baseline] = []
    for side in SIDES:
        records = await pair.stores[side].read(found[side].late) if found[side].late else {}
        for key, digest in found[side].late.items():
            if key in records and canonical.digest(records[key]) == digest:
                late.append(Baseline(key, Both(digest, digest), records[key]))
            else:
                moved.add(key)
    return late, moved


async def _expire_abandoned_runs(pair: Pair, side: Side, scan: Scan, until: dict[Key, datetime]) -> Scan:
    """Treat runs that began too long ago as ended: their process was killed.

    For each other run, *until* receives the time at which smtd will treat it so.
    """
    if not scan.unfinished or pair.policy.stale_after is None:
        return scan
    patience = timedelta(seconds=pair.policy.stale_after)
    records = await pair.stores[side].read(scan.unfinished)
    # A run that began near the last possible date would end beyond what a datetime can hold.
    began = {key: record.timestamp for key, record in records.items()}
    ends = {key: moment + patience for key, moment in began.items() if moment < _LAST - patience}
    now = datetime.now(timezone.utc)
    stale = {key for key, end in ends.items() if end < now}
    until |= {key: end for key, end in ends.items() if key not in stale}
    return replace(scan, unfinished=set(scan.unfinished) - stale)


def restrict_to_writable(pair: Pair, report: PairReport) -> Pair:
    """Return *pair* with a mode that writes only to writable sides; a scan shows which sides are writable.

    Raises StoreRefused if no side is left to write to.
    """
    reasons = {side: pair.stores[side].capabilities.read_only for side in SIDES}
    for side in SIDES:
        report.side(side).read_only = reasons[side]
    read_only = {side for side in SIDES if reasons[side]}
    mode = pair.policy.mode.sparing(read_only)
    if mode is None:
        side = next(side for side in SIDES if side in read_only & pair.policy.mode.targets)
        raise StoreRefused(f"{pair.stores[side].location} cannot be written: {reasons[side]}")
    return replace(pair, policy=replace(pair.policy, mode=mode))


async def _decide_merges(
    pair: Pair, plan: Plan, ancestors: Mapping[Key, Record], overtaken: Both[Mapping[Key, OvertakenWrite]]
) -> None:
    for keys in batches(plan.merges, BATCH):
        left, right = [await pair.stores[side].read(keys) for side in SIDES]
        for key in keys:
            if key not in left or key not in right:
                plan.moved.add(key)
                continue
            ancestor = None if plan.adopted else ancestors.get(key) or await pair.journal.baseline_record(key)
            now = Both(left[key], right[key])
            if any(canonical.digest(now[side]) != plan.now[side].get(key) for side in SIDES):
                plan.moved.add(key)  # its new state may need something else than a merge
                continue
            found = {side: overtaken[side][key] for side in SIDES if key in overtaken[side]}
            if found and ancestor is not None:
                merges.rebased(key, ancestor, found, now, pair.policy, plan)
            else:
                merges.merged(key, ancestor, now, pair.policy, plan)


async def _repair_stripped_data(pair: Pair, plan: Plan) -> None:
    """Find updates that would copy a loss of data caused by Sumatra, and repair them in the plan.

    If there are few updates, their records stay in the plan, and need not be read again for the write.
    """
    updates = [action for action in plan.actions if action.edits]
    loaded: dict[Key, Action] = {}
    for batch in batches(updates, BATCH):
        records = {side: await pair.stores[side].read([action.key for action in batch]) for side in SIDES}
        for copy in batch:
            side = copy.writes[0].side
            source, before = records[side.other].get(copy.key), records[side].get(copy.key)
            if source is not None and before is not None:
                merges.repair_stripped_data(copy, source, before, pair.policy, plan)
                if len(updates) <= FEW_RECORDS:
                    loaded[copy.key] = actions.with_records(copy, source, before)
    plan.actions = [loaded.get(action.key, action) if action.edits else action for action in plan.actions]
