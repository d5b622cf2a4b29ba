"""One cycle: finish what a crash left, observe, plan, apply, and save a checkpoint."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from datetime import datetime

import msgspec

from smtd.engine import deciding, rejections
from smtd.engine.actions import Action, ActionKind, Plan, check_plan
from smtd.engine.apply import Executor
from smtd.engine.look import scope
from smtd.engine.observe import NOWHERE, Position, heads, is_followed, position
from smtd.engine.pair import Pair
from smtd.engine.recovery import Judged, finish_intents
from smtd.engine.report import PairReport, PlannedAction, Progress, empty_report, failure, no_progress
from smtd.journal.checkpoint import Checkpoint
from smtd.journal.index import Cursor
from smtd.journal.pair import Refusal
from smtd.merge.reasons import Code, because
from smtd.merge.sides import SIDES, Both, Side
from smtd.records import canonical
from smtd.records.record import BAD_BYTES, Key

#: Rounds of one cycle at most: it starts over when another program changes a record between scan and write.
ROUNDS = 3


async def preview(
    pair: Pair, *, progress: Progress = no_progress, recheck: Collection[Key] = ()
) -> PairReport:
    """Return what the next cycle of *pair* would do; write to no store.

    The keys of *recheck* are read in any case. Raises StoreError if a store cannot be read whole,
    JournalError if the journal fails.
    """
    if (remembered := await _remembered(pair, await position(pair), recheck)) is not None:
        return remembered
    report = pair.new_report()
    try:
        plan, _ = await deciding.preview(pair, report, progress, recheck)
    finally:
        _release_caches(pair)
    count_planned(plan, report)
    return report


async def run(
    pair: Pair,
    *,
    expected_plan: str | None = None,
    progress: Progress = no_progress,
    recheck: Collection[Key] = (),
) -> PairReport:
    """Run one cycle of *pair*, and return what it did and what it left.

    *expected_plan*: the identity that the plan must have (None: any). The keys of *recheck* are read in any
    case. Raises StoreError if a store cannot be read whole, JournalError if the journal fails, PlanChanged if
    the plan is not the expected one.
    """
    try:
        return await _run(pair, expected_plan, progress, recheck)
    finally:
        _release_caches(pair)


def _release_caches(pair: Pair) -> None:
    """Have the stores release what they got from the journal, which may be closed after this."""
    for side in SIDES:
        pair.stores[side].rest()


async def _run(
    pair: Pair, expected_plan: str | None, progress: Progress, recheck: Collection[Key]
) -> PairReport:
    known = await position(pair)
    if expected_plan is None and (remembered := await _remembered(pair, known, recheck)) is not None:
        return remembered
    report = pair.new_report()
    cycle = await pair.journal.begin_cycle()
    await pair.begin()
    checkpoint = known.checkpoint or NOWHERE
    finished = await finish_intents(pair)
    recheck = {*recheck, *finished.keys}
    if expected_plan is not None:  # the expected plan was made after these keys were read again
        _, seen = await deciding.preview(pair, pair.new_report(), progress, recheck)
        recheck = {*recheck, *seen}
    for _ in range(ROUNDS):
        judged = Judged(moved=finished.moved)
        plan, observed, learnt = await deciding.decided(pair, report, progress, checkpoint, recheck, judged)
        if expected_plan is not None:
            check_plan(plan.identity, expected_plan, "stores")
        expected_plan = None
        if plan.adopted:
            checkpoint = NOWHERE  # the journal forgets it together with the baselines
        await deciding.note(pair, learnt)
        executor = await _carry_out(pair, cycle, report, progress, plan)
        await deciding.note_rotations(pair, learnt)
        stale = executor.stale | plan.moved
        if not stale:
            break
        finished = await finish_intents(pair)
        recheck = {*recheck, *stale, *finished.keys}
    report.failed += [failure(key, Side.LEFT, because(Code.KEEPS_CHANGING)) for key in sorted(stale)]
    waiting = stale.union(plan.open - executor.synced)
    cursors = Both(*[pair.journal.indexes[side].advanced(observed.cursors[side]) for side in SIDES])
    await _save(pair, report, cursors, waiting, complete=not (stale or observed.unsettled))
    return report


async def _carry_out(pair: Pair, cycle: int, report: PairReport, progress: Progress, plan: Plan) -> Executor:
    """Carry out *plan*, and report what it leaves undone."""
    if plan.adopted:
        await pair.journal.forget_all(canonical.VERSION)
    if plan.asked or plan.void:
        await pair.journal.decisions.put(plan.asked, plan.void)
    refused = await pair.journal.refused()
    spared = [] if pair.policy.force_retry else rejections.defer(plan, refused, time.time())
    _record_unresolved(plan, report)
    executor = Executor(pair, cycle, report, progress)
    await executor.run(plan)
    waiting = [*spared, *rejections.schedule(executor.refused, refused, time.time())]
    if refused or waiting:
        await pair.journal.set_refused(waiting)
    due = await pair.journal.write_log.next_due(pair.policy.projects)
    report.again = _next_due(report, waiting, due)
    return executor


def _record_unresolved(plan: Plan, report: PairReport) -> None:
    """Report what the plan leaves undone."""
    report.in_sync = plan.in_sync
    report.conflicts, report.held = plan.conflicts, plan.held
    report.failed = list(plan.failed)


def _next_due(report: PairReport, waiting: Sequence[Refusal], reread: float | None) -> float | None:
    """Return when there will be something to do without any change, in seconds since 1970 (None: never).

    *reread*: when smtd next reads one of its own writes again.
    """
    ends = [datetime.fromisoformat(held.until).timestamp() for held in report.held if held.until]
    ends += [] if reread is None else [reread]
    return min([*ends, *(refusal.until for refusal in waiting)], default=None)


def count_planned(plan: Plan, report: PairReport) -> None:
    """Report the plan as if it had been carried out."""
    _record_unresolved(plan, report)
    report.plan = plan.identity
    report.actions = [_planned(action) for action in plan.writing]
    for action in plan.actions:
        for write in action.writes:
            side = report.side(write.side)
            side.deleted += write.digest is None
            side.created += write.expect is None and write.digest is not None
            side.updated += write.expect is not None and write.digest is not None
        if action.kind is ActionKind.SPLIT:
            report.left.created += 1
            report.right.created += 1
            report.side(action.aliased).updated += 1
        report.in_sync += action.kind in (ActionKind.COPY, ActionKind.MERGE, ActionKind.AGREE)


def _planned(action: Action) -> PlannedAction:
    if action.kind in (ActionKind.MERGE, ActionKind.SPLIT):
        return PlannedAction(action.kind.name.lower(), *action.key, None, action.why)
    write = action.writes[0]
    what = "delete" if write.digest is None else "create" if write.expect is None else "update"
    return PlannedAction(what, *action.key, write.side, action.why)


async def _remembered(pair: Pair, known: Position, recheck: Collection[Key]) -> PairReport | None:
    """Return the last report, with nothing done, if nothing has changed since and nothing is due.

    None otherwise, also if keys are to be read or writes to be retried, or if it cannot be decoded.
    """
    checkpoint = known.checkpoint
    if recheck or (pair.policy.force_retry and await pair.journal.refused()):
        return None
    if checkpoint is None or checkpoint.report is None or checkpoint.policy != pair.policy.fingerprint:
        return None
    try:
        report = msgspec.msgpack.decode(checkpoint.report, type=PairReport)
    except BAD_BYTES:
        return None
    if report.again is not None and report.again <= time.time():
        return None
    for side in SIDES:
        if not await is_followed(pair, side, known):
            return None
    return report


async def is_unchanged(pair: Pair) -> bool:
    """Say whether no other program has written to *pair* since its last cycle, as far as its stores can tell.

    False also while a record may be half saved.
    """
    known = await position(pair)
    if not known.has_decided:
        return False
    for side in SIDES:
        dear = pair.stores[side].capabilities.costly_reads
        if not (dear or await is_followed(pair, side, known)):
            return False
    return True


async def has_decided(pair: Pair) -> bool:
    """Say whether the last cycle of *pair* dealt with all that the indexes of its stores have by now."""
    return (await position(pair)).has_decided


async def _save(
    pair: Pair, report: PairReport, cursors: Both[Cursor], waiting: Collection[Key], *, complete: bool
) -> None:
    """Save a checkpoint at *cursors*, with the keys *waiting* as not in sync, and the heads of both stores.

    The report is saved for the next cycle only if this cycle is *complete* and both sides can be written: a
    side may become writable without a change of its store, so the next cycle must look again.
    """
    remembered = complete and not any(report.side(side).read_only for side in SIDES)
    encoded = msgspec.msgpack.encode(_idle(report)) if remembered else None
    checkpoint = Checkpoint(cursors, pair.policy.projects, pair.policy.fingerprint, encoded)
    found = await heads(pair, cursors)
    async with pair.journal.transaction() as tx:
        for side, head in found.items():
            tx.set_head(side, scope(pair, side), head, cursors[side])
        tx.save(checkpoint, waiting)
        if remembered:
            tx.rest()


def _idle(report: PairReport) -> PairReport:
    """Return the report of a cycle that finds what *report* leaves, and has nothing to do."""
    idle = empty_report(report.pair, Both(report.left.location, report.right.location))
    for side in SIDES:
        idle.side(side).records = report.side(side).records + report.side(side).grown
    return msgspec.structs.replace(
        idle,
        projects=report.projects,
        in_sync=report.in_sync,
        conflicts=report.conflicts,
        held=report.held,
        failed=report.failed,
        again=report.again,
    )
