"""One cycle: scan both sides, plan, apply, and remember how quiet it ended."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import cast

import msgspec

from smtd.engine import deciding, patience
from smtd.engine.actions import Action, Kind, Plan
from smtd.engine.apply import Executor, Progress, no_progress
from smtd.engine.memory import Memory, Settled
from smtd.engine.pair import Pair
from smtd.engine.recovery import Judged, finish_intents
from smtd.engine.report import PairReport, PlannedAction, blank, failure
from smtd.engine.untouched import NEITHER, ended, untouched
from smtd.errors import PlanMoved
from smtd.journal.knowledge import Refusal
from smtd.merge.reasons import Code, because
from smtd.merge.sides import SIDES, Both, Side
from smtd.records import canonical
from smtd.records.record import Key, is_plain
from smtd.stores.base import Changes, PromptStore, Token

#: How often a cycle starts over because somebody changed a record between scan and write.
ROUNDS = 3

#: More new records than these wait until all is looked at: a store that gains many may have lost some.
FEW = 100


async def preview(
    pair: Pair, *, progress: Progress = no_progress, doubtful: Collection[Key] = ()
) -> PairReport:
    """Return what the next cycle of *pair* would do; nothing is written anywhere.

    *doubtful* keys are looked at in any case. Raises StoreError if a store cannot be read whole,
    JournalError if the journal fails.
    """
    if not doubtful and not await _insists(pair) and (remembered := await quiet(pair)) is not None:
        return remembered
    report = blank(pair.name, pair.stores.map(lambda store: store.location))
    plan, _ = await deciding.preview(pair, report, progress, doubtful)
    _tell(plan, report)
    return report


async def run(
    pair: Pair,
    *,
    only: str | None = None,
    progress: Progress = no_progress,
    doubtful: Collection[Key] = (),
    memory: Memory | None = None,
) -> PairReport:
    """Run one cycle of *pair* and return what it did and left.

    With *only* the plan must be the one of that identity. *doubtful* keys are looked at in any case. With the
    *memory* of the cycle before, in this process and with nothing else done between, only what has changed is
    decided. Raises StoreError if a store cannot be read whole, JournalError if the journal fails, PlanMoved.
    """
    must_look = only is not None or doubtful or await _insists(pair)
    if not must_look and (remembered := await quiet(pair)) is not None:
        return remembered
    report = blank(pair.name, pair.stores.map(lambda store: store.location))
    settled, known = None, NEITHER
    if memory is not None and not must_look:
        settled = memory.taken(pair.policy, await pair.journal.last_cycle())
    elif not must_look:  # who goes on looks at both sides once, and remembers more
        known = await untouched(pair)
    cycle = await pair.journal.begin_cycle()
    await pair.begin()
    finished = await finish_intents(pair)
    if finished.keys:
        settled = None  # what a crash left may concern any key of a store without a lock
    carried: Collection[Key] = ()
    if settled is not None and not pair.policy.insist:  # who insists does not hurry
        settled, carried = await _hasten(pair, cycle, report, progress, settled)
    stale, recheck = {*doubtful, *finished.keys}, _unresolved(settled)
    if only is not None:  # the plan was made after a look at these
        scratch = blank(pair.name, pair.stores.map(lambda store: store.location))
        _, recheck = await deciding.preview(pair, scratch, progress, stale)
    for _ in range(ROUNDS):
        judged = Judged(moved=finished.moved)
        plan, settled, learnt = await deciding.decided(
            pair, report, progress, stale.union(recheck), judged, settled, carried, known
        )
        known = NEITHER
        if only is not None and plan.identity != only:
            raise PlanMoved(f"the stores have changed since plan {only} was made: look at a new one")
        only = None
        await deciding.note(pair, learnt)
        stale = await _carry_out(pair, cycle, report, progress, plan)
        await deciding.note_rotations(pair, learnt)
        if not stale:
            break
        finished = await finish_intents(pair)
        if finished.keys:
            settled = None
    report.failed += [failure(key, Side.LEFT, because(Code.KEEPS_CHANGING)) for key in sorted(stale)]
    if not stale:
        await _remember(pair, report)
        if memory is not None:
            memory.keep(settled, cycle)
    return report


async def _insists(pair: Pair) -> bool:
    """Say whether a person asks, and something was refused that is offered again then."""
    return pair.policy.insist and bool(await pair.journal.refused())


def _unresolved(settled: Settled | None) -> Collection[Key]:
    """Return the keys to read again: what an earlier cycle left must not look resolved without a look.

    If there are many, most are held or new, and a scan shows that.
    """
    return () if settled is None or len(settled.open) > FEW else settled.open


async def _hasten(
    pair: Pair, cycle: int, report: PairReport, progress: Progress, settled: Settled
) -> tuple[Settled | None, Collection[Key]]:
    """Carry what others added, before all else is looked at, which takes longer.

    Nothing is decided here of a key that was ever agreed on, nor of one that is missing. Returns what is
    settled then, and what was carried.
    """
    if not all(pair.stores[side].capabilities.tells_arrivals for side in SIDES):
        return settled, ()
    stores = [cast(PromptStore, pair.stores[side]) for side in SIDES]
    found = Both(*[await store.arrivals(pair.policy.projects) for store in stores])
    after = settled.after(found)
    if after is None or found.left is None or found.right is None:
        return after, ()
    scans, changed = Both(found.left, found.right), set(after.open)
    keys = {key for key in changed.difference(settled.open) if is_plain([*key])}
    if len(keys) <= FEW:
        keys -= (await pair.journal.agreed_on(keys)).keys()
    # What is new here may be there already, in a row that was another one before: one side is known whole.
    known = not (scans.left.partial and scans.right.partial)
    # What a crash left, and what was refused, is for a cycle that looks at everything.
    if not (known and 0 < len(keys) <= FEW) or await pair.journal.begun() or await pair.journal.refused():
        return after, ()
    new = Both(*[replace(scans[side], changes=Changes(settled.numbers[side], keys)) for side in SIDES])
    plan, _, learnt = await deciding.decided_from(pair, report, new, settled=settled._replace(open=()))
    await deciding.note(pair, learnt)
    stale = await _carry_out(pair, cycle, report, progress, plan)
    return after._replace(open=changed | plan.open | stale, projects=report.projects), keys


async def _carry_out(pair: Pair, cycle: int, report: PairReport, progress: Progress, plan: Plan) -> set[Key]:
    """Carry out *plan*, and report what it leaves; return the keys that changed meanwhile."""
    if plan.adopted:
        await pair.journal.forget_all(canonical.VERSION)
    if plan.asked or plan.void:
        await pair.journal.decisions.put(plan.asked, plan.void)
    refused = await pair.journal.refused()
    spared = [] if pair.policy.insist else patience.spare(plan, refused, time.time())
    _leave(plan, report)
    executor = Executor(pair, cycle, report, progress)
    await executor.run(plan)
    waiting = [*spared, *patience.again(executor.refused, refused, time.time())]
    if refused or waiting:
        await pair.journal.set_refused(waiting)
    due = await pair.journal.write_log.next_due(pair.policy.projects)
    report.again = _again(report, waiting, due)
    return executor.stale | plan.moved


def _leave(plan: Plan, report: PairReport) -> None:
    """Report what the plan leaves undone."""
    report.in_sync = plan.in_sync
    report.conflicts, report.held = plan.conflicts, plan.held
    report.failed = list(plan.failed)


def _again(report: PairReport, waiting: Sequence[Refusal], look: float | None) -> float | None:
    """Return when there is something to do by the mere course of time, in seconds since 1970.

    *look*: when a record is read again that smtd has written.
    """
    ends = [datetime.fromisoformat(held.until).timestamp() for held in report.held if held.until]
    ends += [] if look is None else [look]
    return min([*ends, *(refusal.until for refusal in waiting)], default=None)


def _tell(plan: Plan, report: PairReport) -> None:
    """Report the plan as if it had been carried out."""
    _leave(plan, report)
    report.plan = plan.identity
    report.actions = [_planned(action) for action in plan.writing]
    for action in plan.actions:
        for write in action.writes:
            side = report.side(write.side)
            side.deleted += write.digest is None
            side.created += write.expect is None and write.digest is not None
            side.updated += write.expect is not None and write.digest is not None
        if action.kind is Kind.SPLIT:
            report.left.created += 1
            report.right.created += 1
            report.side(action.aliased).updated += 1
        report.in_sync += action.kind in (Kind.COPY, Kind.MERGE, Kind.AGREE)


def _planned(action: Action) -> PlannedAction:
    if action.kind in (Kind.MERGE, Kind.SPLIT):
        return PlannedAction(action.kind.name.lower(), *action.key, None, action.why)
    write = action.writes[0]
    what = "delete" if write.digest is None else "create" if write.expect is None else "update"
    return PlannedAction(what, *action.key, write.side, action.why)


async def quiet(pair: Pair) -> PairReport | None:
    """Return the last report, with nothing done, if neither store has changed since."""
    end = await ended(pair)
    if end is None:
        return None
    tokens, report = end
    if report.again is not None and report.again <= time.time():
        return None
    for side in SIDES:
        if not await pair.stores[side].unchanged_since(tokens[side]):
            return None
    return report


async def is_settled(pair: Pair) -> bool:
    """Say whether nobody wrote to a store of *pair* since it was scanned, as far as stores can tell."""
    if await quiet(pair) is not None:
        return True
    stores = [pair.stores[side] for side in SIDES]
    return all([store.capabilities.dear_reads or await store.token() is not None for store in stores])


async def _remember(pair: Pair, report: PairReport) -> None:
    """Remember the end of a cycle, if nobody else has written to the stores meanwhile.

    What keeps a side from being written may end without a change of its store: that is looked at each time.
    """
    if any(report.side(side).read_only for side in SIDES):
        return
    tokens: list[Token] = []
    for side in SIDES:
        token = await pair.stores[side].token()
        if token is None:
            return
        tokens.append(token)
    idle = blank(report.pair, Both(report.left.location, report.right.location))
    for side in SIDES:
        idle.side(side).read_only = report.side(side).read_only
        idle.side(side).records = report.side(side).records + report.side(side).grown
    idle = msgspec.structs.replace(
        idle,
        projects=report.projects,
        in_sync=report.in_sync,
        conflicts=report.conflicts,
        held=report.held,
        failed=report.failed,
        again=report.again,
    )
    await pair.journal.set_quiet(Both(*tokens), pair.policy.fingerprint, msgspec.msgpack.encode(idle))
