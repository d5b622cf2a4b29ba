"""One cycle: scan both sides, plan, apply, and remember how quiet it ended."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial

import msgspec

from smtd.engine import merges, patience, undone, verify
from smtd.engine import plan as planning
from smtd.engine.actions import Agree, Copy, Delete, Merge, Plan, Split
from smtd.engine.adopt import returned
from smtd.engine.apply import Executor, Progress
from smtd.engine.memory import Memory, Settled
from smtd.engine.pair import Pair
from smtd.engine.plan import Known
from smtd.engine.recover import Agreed, recover
from smtd.engine.report import Failure, PairReport, PlannedAction, blank
from smtd.engine.undone import Overtaken
from smtd.errors import PlanMoved, StoreRefused
from smtd.gather import gather
from smtd.journal.knowledge import Refusal
from smtd.merge.sides import SIDES, Both, Side
from smtd.records import canonical
from smtd.records.record import Key, Record, is_plain
from smtd.stores.base import Changes, Scan, Token

#: How often a cycle starts over because somebody changed a record between scan and write.
ROUNDS = 3

#: More new records than these wait until all is looked at: a store that gains many may have lost some.
FEW = 100

#: Records of keys to merge that are read at a time.
BATCH = 500


def no_progress(phase: str, done: int, total: int) -> None:
    """Show nothing."""


async def run(
    pair: Pair,
    *,
    dry_run: bool = False,
    only: str | None = None,
    progress: Progress = no_progress,
    doubtful: Collection[Key] = (),
    memory: Memory | None = None,
) -> PairReport:
    """Run one cycle of *pair* and return what it did and left.

    With *dry_run* nothing is written anywhere, and the report tells what would be done. With *only* the
    plan must be the one of that identity. *doubtful* keys are looked at in any case. With the *memory* of the
    cycle before, in this process and with nothing else done between, only what has changed is decided.
    Raises StoreError if a store cannot be read whole, JournalError if the journal fails, PlanMoved.
    """
    insists = pair.policy.insist and await pair.journal.refused()
    must_look = only is not None or doubtful or insists
    if not must_look and (remembered := await quiet(pair)) is not None:
        return remembered
    report = blank(pair.name, pair.stores.map(lambda store: store.location))
    if dry_run:
        await _foretell(pair, report, progress, doubtful)
        return report
    settled = None
    if memory is not None and not must_look:
        settled = memory.taken(pair.policy, await pair.journal.last_cycle())
    cycle = await pair.journal.begin_cycle()
    carried: Collection[Key] = ()
    if settled is not None and not pair.policy.insist:  # who insists does not hurry
        settled, carried = await _hasten(pair, cycle, report, progress, settled)
    stale = set(doubtful)
    for _ in range(ROUNDS):
        plan, settled = await _planned(pair, report, progress, stale, settled, carried, dry_run=False)
        if only is not None and plan.identity != only:
            raise PlanMoved(f"the stores have changed since plan {only} was made: look at a new one")
        only = None
        if not (stale := await _carry_out(pair, cycle, report, progress, plan)):
            break
    report.failed += [
        Failure(key.project, key.label, "left", "it kept changing; the next cycle tries again")
        for key in sorted(stale)
    ]
    if not stale:
        await _remember(pair, report)
        if memory is not None:
            memory.keep(settled, cycle)
    return report


async def _hasten(
    pair: Pair, cycle: int, report: PairReport, progress: Progress, settled: Settled
) -> tuple[Settled | None, Collection[Key]]:
    """Carry what others added, before all else is looked at, which takes longer.

    Nothing is decided here of a key that was ever agreed on, nor of one that is missing. Returns what is
    settled then, and what was carried.
    """
    if not all(pair.stores[side].capabilities.tells_arrivals for side in SIDES):
        return settled, ()
    found = Both(*[await pair.stores[side].arrivals(pair.policy.projects) for side in SIDES])
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
    plan, _ = await _decided(pair, report, new, settled._replace(open=()), dry_run=False)
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
    report.again = _again(report, waiting)
    return executor.stale | plan.moved


async def _foretell(pair: Pair, report: PairReport, progress: Progress, doubtful: Collection[Key]) -> None:
    """Report what a cycle would do."""
    for _ in range(ROUNDS):
        plan, _ = await _planned(pair, report, progress, doubtful, dry_run=True)
        if not (doubtful := set(plan.moved)):
            break
    _tell(plan, report)


async def look(pair: Pair) -> Plan:
    """Return what a cycle would do now; nothing is written anywhere."""
    report = blank(pair.name, pair.stores.map(lambda store: store.location))
    plan, _ = await _planned(pair, report, no_progress, dry_run=True)
    return plan


async def _planned(
    pair: Pair,
    report: PairReport,
    progress: Progress,
    doubtful: Collection[Key] = (),
    settled: Settled | None = None,
    carried: Collection[Key] = (),
    *,
    dry_run: bool,
) -> tuple[Plan, Settled | None]:
    """Scan both sides and decide every key that may not be *settled*; return what will be after the plan.

    Those that are *doubtful* are looked at in any case; *carried* are those that this cycle has brought over.
    """
    progress("scanning", 0, 0)
    scans = await _scanned(pair, doubtful, dry_run=dry_run)
    return await _decided(pair, report, scans, settled, carried, dry_run=dry_run)


async def _decided(
    pair: Pair,
    report: PairReport,
    scans: Both[Scan],
    settled: Settled | None,
    carried: Collection[Key] = (),
    *,
    dry_run: bool,
) -> tuple[Plan, Settled | None]:
    """Decide every key that may not be *settled*, now that *scans* were made; see `_planned`."""
    policy = pair.policy
    for side in SIDES:
        told = report.side(side)  # of a step before, it may be
        told.records = len(scans[side].digests) + len(scans[side].unreadable) - told.grown
    until: dict[Key, datetime] = {}
    if pair.policy.hold_unfinished and pair.policy.stale_after is not None:
        scans = Both(*[await _without_stale(pair, side, scans[side], until) for side in SIDES])
    pair = _sparing_read_only(pair, report)
    now = scans.map(lambda scan: scan.digests)
    begun = await pair.journal.begun()
    if not dry_run and begun:
        for side in SIDES:
            if not pair.stores[side].capabilities.exclusive_writes:
                await undone.foresee(pair, side, now[side])
    keys = None if settled is None or begun else settled.changed(scans)
    agreed = Agreed(await pair.journal.agreed_on([key for key in keys or () if is_plain([*key])]), {}, ())
    if keys is None or any(key not in now[side] for side in SIDES for key in agreed.digests):
        # Whether what is missing was deleted can only be told from all that was agreed.
        keys, agreed = None, await recover(pair, now, dry_run=dry_run)
    before = None if keys is None else settled
    report.projects = _projects(pair, scans, keys or (), before)
    sides = Both(
        *[await undone.find(pair, side, now[side], agreed.digests, dry_run=dry_run) for side in SIDES]
    )
    lost, overtaken = sides.map(lambda each: each.lost), sides.map(lambda each: each.overtaken)
    decisions = await pair.journal.decisions.all()
    known = Known(agreed.digests, scans, lost, agreed.moved, until, decisions, overtaken, carried)
    plan = planning.draft(known, pair.policy, keys)
    if adopted := await returned(pair, agreed.digests, scans, plan):
        plan = planning.draft(Known({}, scans, Both({}, {}), agreed.moved, until), pair.policy)
        plan.adopted = adopted
        report.adopted = sorted({*report.adopted, *(side.value for side in adopted)})
    await _decide_merges(pair, plan, agreed.ancestors, overtaken)
    await _mend(pair, plan)
    if plan.adopted:
        return plan, None
    numbers = scans.map(lambda scan: scan.number)
    return plan, Settled(policy, numbers, plan.open | plan.moved, report.projects, keys is None)


def _projects(pair: Pair, scans: Both[Scan], keys: Collection[Key], settled: Settled | None) -> list[str]:
    """Return the projects of which this cycle is; where there are *settled* ones *keys* are all new ones."""
    if pair.policy.projects is not None:
        return sorted(pair.policy.projects)
    if settled is not None and all(key in scans.left.digests or key in scans.right.digests for key in keys):
        return sorted({*settled.projects, *(key.project for key in keys if is_plain(key.project))})
    return sorted({key.project for side in SIDES for key in scans[side].digests if is_plain(key.project)})


async def _scanned(pair: Pair, doubtful: Collection[Key], *, dry_run: bool) -> Both[Scan]:
    """Scan both sides at once."""
    left, right = await gather(
        [partial(verify.scan, pair, side, doubtful, dry_run=dry_run) for side in SIDES]
    )
    return Both(left, right)


async def _without_stale(pair: Pair, side: Side, scan: Scan, until: dict[Key, datetime]) -> Scan:
    """Take the runs that began too long ago for ended: whoever ran them was killed.

    Of the others *until* gets the time at which that will be so.
    """
    if not scan.unfinished or pair.policy.stale_after is None:
        return scan
    patience = timedelta(seconds=pair.policy.stale_after)
    records = await pair.stores[side].read(scan.unfinished)
    ends = {key: record.timestamp + patience for key, record in records.items()}
    now = datetime.now(timezone.utc)
    stale = {key for key, end in ends.items() if end < now}
    until |= {key: end for key, end in ends.items() if key not in stale}
    return replace(scan, unfinished=set(scan.unfinished) - stale)


def _sparing_read_only(pair: Pair, report: PairReport) -> Pair:
    """Let changes travel only to where they can be written; a scan tells whether they can.

    Raises StoreRefused if that leaves nothing to do.
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
    pair: Pair, plan: Plan, ancestors: Mapping[Key, Record], overtaken: Both[Mapping[Key, Overtaken]]
) -> None:
    for start in range(0, len(plan.merges), BATCH):
        keys = plan.merges[start : start + BATCH]
        left, right = [await pair.stores[side].read(keys) for side in SIDES]
        for key in keys:
            if key not in left or key not in right:
                plan.moved.add(key)
                continue
            ancestor = None if plan.adopted else ancestors.get(key) or await pair.journal.ancestor(key)
            found = {side: overtaken[side][key] for side in SIDES if key in overtaken[side]}
            now = Both(left[key], right[key])
            if found and ancestor is not None:
                merges.rejoined(key, ancestor, found, now, pair.policy, plan)
            else:
                merges.merged(key, ancestor, now, pair.policy, plan)


async def _mend(pair: Pair, plan: Plan) -> None:
    """Look at the records of all updates for data that Sumatra took away."""
    updates = [
        action
        for action in plan.actions
        if isinstance(action, Copy) and action.expect is not None and not action.exact
    ]
    for start in range(0, len(updates), BATCH):
        batch = updates[start : start + BATCH]
        held = {side: await pair.stores[side].read([action.key for action in batch]) for side in SIDES}
        for copy in batch:
            source, before = held[copy.target.other].get(copy.key), held[copy.target].get(copy.key)
            if source is not None and before is not None:
                merges.mend(copy, source, before, pair.policy, plan)


def _leave(plan: Plan, report: PairReport) -> None:
    """Report what the plan leaves undone."""
    report.in_sync = plan.in_sync
    report.conflicts, report.held = plan.conflicts, plan.held
    report.failed = list(plan.failed)


def _again(report: PairReport, waiting: Sequence[Refusal]) -> float | None:
    """Return when there is something to do by the mere course of time, in seconds since 1970."""
    ends = [datetime.fromisoformat(held.until).timestamp() for held in report.held if held.until]
    return min([*ends, *(refusal.until for refusal in waiting)], default=None)


def _tell(plan: Plan, report: PairReport) -> None:
    """Report the plan as if it had been carried out."""
    _leave(plan, report)
    report.plan = plan.identity
    report.actions = [_action(action) for action in plan.writes]
    for action in plan.actions:
        if isinstance(action, Copy):
            side = report.side(action.target)
            side.created += action.expect is None
            side.updated += action.expect is not None
        elif isinstance(action, Delete):
            report.side(action.target).deleted += 1
        elif isinstance(action, Merge):
            for each in SIDES:
                report.side(each).updated += action.expect[each] != canonical.digest(action.record)
        elif isinstance(action, Split):
            report.left.created += 1
            report.right.created += 1
            report.side(action.side).updated += 1
        report.in_sync += isinstance(action, (Copy, Merge, Agree))


def _action(action: Copy | Delete | Merge | Split) -> PlannedAction:
    key = action.key
    if isinstance(action, Split):
        what = f"keep both: the {action.side.value} one as {action.alias}"
        return PlannedAction("split", key.project, key.label, "both", what)
    if isinstance(action, Merge):
        return PlannedAction("merge", key.project, key.label, "both", action.reason)
    what = "delete" if isinstance(action, Delete) else "create" if action.expect is None else "update"
    return PlannedAction(what, key.project, key.label, action.target.value, action.reason)


async def quiet(pair: Pair) -> PairReport | None:
    """Return the last report, with nothing done, if neither store has changed since."""
    found = await pair.journal.quiet(pair.policy.fingerprint)
    if found is None:
        return None
    tokens, data = found
    report = msgspec.msgpack.decode(data, type=PairReport)
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
