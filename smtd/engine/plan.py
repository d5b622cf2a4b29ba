"""The plan of one cycle: every action, every reason not to act, and no I/O.

`draft` decides from digests; keys that both sides changed come back in `Draft.merges` and are
decided by `merged` once their records are read. A dry run prints the plan; the executor runs it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from smtd.engine.pair import Policy
from smtd.engine.report import Conflict, Failure, Held
from smtd.merge import fields, guards
from smtd.merge.decide import Mode, Verdict, allowed, decide, target
from smtd.merge.fields import Merged
from smtd.merge.guards import Written
from smtd.merge.sides import SIDES, Both, Side
from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record
from smtd.stores.base import Scan


@dataclass(frozen=True, slots=True)
class Copy:
    """Bring the record of the other side, which has *digest*, to *target*."""

    key: Key
    target: Side
    expect: Digest | None
    digest: Digest


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the record of *target*, which has the digest *expect*."""

    key: Key
    target: Side
    expect: Digest


@dataclass(frozen=True, slots=True)
class Merge:
    """Bring *record* to both sides, which hold *before*."""

    key: Key
    record: Record
    before: Both[Record]
    expect: Both[Digest]


@dataclass(frozen=True, slots=True)
class Agree:
    """Note that both sides hold equal records."""

    key: Key
    digest: Digest


@dataclass(frozen=True, slots=True)
class Forget:
    """Note that neither side holds the key any more."""

    key: Key


Action: TypeAlias = Copy | Delete | Merge | Agree | Forget


@dataclass(slots=True)
class Plan:
    """What one cycle will do, and what it leaves."""

    actions: list[Action] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    in_sync: int = 0
    #: Keys that both sides changed; decided by `merged` when their records are known.
    merges: list[Key] = field(default_factory=list)
    #: Keys that changed while they were decided: scan again.
    moved: set[Key] = field(default_factory=set)
    #: The stores that lost more than a person is likely to delete.
    suspects: set[Side] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Known:
    """All that is known when a cycle is planned.

    `lost` has, for each side, the keys whose last write by smtd was undone by another program.
    """

    agreed: Mapping[Key, Both[Digest]]
    scans: Both[Scan]
    lost: Both[Mapping[Key, Written]]
    #: Keys that changed since the scan: not decided now.
    moved: Collection[Key] = ()
    #: When runs that are not over will be taken to have been killed.
    until: Mapping[Key, datetime] = field(default_factory=dict)


def draft(known: Known, policy: Policy) -> Plan:
    """Decide every key from its digests."""
    plan = Plan(moved=set(known.moved))
    deletes: dict[Side, list[Delete]] = {side: [] for side in SIDES}
    unreadable = _unreadable(known.scans, plan)
    for key in sorted(
        known.scans.left.digests.keys() | known.scans.right.digests.keys() | known.agreed.keys()
    ):
        if key not in unreadable and key not in plan.moved:
            _draft_key(key, known, policy, plan, deletes)
    for side in SIDES:
        _guard(side, deletes[side], known, policy, plan)
    return plan


def _unreadable(scans: Both[Scan], plan: Plan) -> Collection[Key]:
    """List the records that cannot be read; nothing is decided about them."""
    for side in SIDES:
        for key, reason in sorted(scans[side].unreadable.items()):
            plan.failed.append(Failure(key.project, key.label, side.value, f"it cannot be read: {reason}"))
    return scans.left.unreadable.keys() | scans.right.unreadable.keys()


def _draft_key(key: Key, known: Known, policy: Policy, plan: Plan, deletes: dict[Side, list[Delete]]) -> None:
    agreed = known.agreed.get(key)
    now = Both(known.scans.left.digests.get(key), known.scans.right.digests.get(key))
    lost = next((side for side in SIDES if key in known.lost[side]), None)
    if lost is not None and agreed is not None and now.left != now.right:
        if lost in policy.mode.targets:
            _restore(key, lost, agreed, now, known, plan)
        return
    verdict = decide(agreed, now)
    if verdict is Verdict.NOTHING:
        plan.in_sync += now.left is not None and now.left == now.right
        if agreed == now and now.left != now.right:
            error = "it is kept otherwise than on the other side since it was written; see what differs"
            plan.failed.append(Failure(key.project, key.label, Side.RIGHT.value, error))
    elif verdict is Verdict.FORGET:
        plan.actions.append(Forget(key))
    elif verdict is Verdict.AGREE:
        assert now.left is not None
        plan.actions.append(Agree(key, now.left))
    elif not allowed(verdict, policy.mode):
        if verdict is Verdict.MERGE:
            plan.merges.append(key)
    elif _is_held(key, verdict, known.scans, policy):
        plan.held.append(_running(key, known.until.get(key)))
    elif verdict is Verdict.MERGE:
        plan.merges.append(key)
    else:
        _transfer(key, target(verdict), now, policy, plan, deletes)


def _running(key: Key, until: datetime | None) -> Held:
    return Held(
        key.project,
        key.label,
        "running",
        "it is carried when its run is over; --unfinished mirror or --include-unfinished carries it now",
        None if until is None else until.isoformat(timespec="seconds"),
    )


def _is_held(key: Key, verdict: Verdict, scans: Both[Scan], policy: Policy) -> bool:
    sources = SIDES if verdict is Verdict.MERGE else (target(verdict).other,)
    return policy.hold_unfinished and any(key in scans[side].unfinished for side in sources)


def _transfer(
    key: Key,
    side: Side,
    now: Both[Digest | None],
    policy: Policy,
    plan: Plan,
    deletes: dict[Side, list[Delete]],
) -> None:
    digest, expect = now[side.other], now[side]
    if digest is not None:
        plan.actions.append(Copy(key, side, expect, digest))
    elif expect is not None and policy.propagate_deletes:
        deletes[side].append(Delete(key, side, expect))


def _restore(
    key: Key, side: Side, agreed: Both[Digest], now: Both[Digest | None], known: Known, plan: Plan
) -> None:
    """Write again what another program undid on *side*, once; the second time ask a person.

    That program may have been a person who deleted or reverted exactly what smtd wrote last,
    which looks the same. If the other side lost the record too, there is nothing to restore.
    """
    digest = now[side.other]
    if digest is None:
        plan.held.append(_vanished(key, side, "deleted on the other side meanwhile"))
    elif known.lost[side][key].restored and digest == agreed[side.other]:
        plan.held.append(_vanished(key, side, "undone again after smtd had written it a second time"))
    else:
        plan.actions.append(Copy(key, side, now[side], digest))


def _vanished(key: Key, side: Side, what: str) -> Held:
    return Held(
        key.project,
        key.label,
        f"smtd's last write to the {side.value} store was {what}",
        "make the same change on the other side too, or add a record or comment there to bring it back",
    )


def _guard(side: Side, deletes: list[Delete], known: Known, policy: Policy, plan: Plan) -> None:
    """Let the deletions on *side* pass, or hold all of them."""
    source, other = known.scans[side.other], known.scans[side]
    missing = {key for key in known.agreed if key not in source.digests and key not in source.unreadable}
    forgotten = {key for key in missing if key not in other.digests and key not in other.unreadable}
    agreed = len(known.agreed) - len(forgotten)
    reason = guards.suspicion(agreed, len(missing - forgotten), policy.limit) if deletes else None
    if reason is None:
        plan.actions += deletes
        return
    plan.suspects.add(side.other)
    plan.held += [
        Held(
            delete.key.project,
            delete.key.label,
            f"deletion held: in the {side.other.value} store {reason}",
            f"bring the {side.other.value} store back, or delete it from the {side.value} store too",
        )
        for delete in deletes
    ]


def mend(copy: Copy, source: Record, before: Record, policy: Policy, plan: Plan) -> None:
    """Replace *copy*, if it would carry the loss of data that Sumatra took away, by its mending."""
    record = fields.mended(before, source)
    if record is source:
        return
    plan.actions.remove(copy)
    if policy.mode is not Mode.TWO_WAY:
        plan.held.append(
            Held(
                copy.key.project,
                copy.key.label,
                "Sumatra took data away from it when another record was deleted or saved",
                "sync both ways once, and it is given back",
            )
        )
        return
    sides = Both(source, before) if copy.target is Side.RIGHT else Both(before, source)
    plan.actions.append(Merge(copy.key, record, sides, sides.map(canonical.digest)))


def merged(key: Key, ancestor: Record | None, now: Both[Record], policy: Policy, plan: Plan) -> None:
    """Decide a key that both sides changed, from its records."""
    result = fields.merge(ancestor, now.left, now.right)
    if not isinstance(result, Merged):
        plan.conflicts.append(Conflict(key.project, key.label, result.fields))
    elif policy.mode is not Mode.TWO_WAY:
        changed = tuple(canonical.differences(now.left, now.right))
        plan.conflicts.append(Conflict(key.project, key.label, changed))
    else:
        plan.actions.append(Merge(key, result.record, now, now.map(canonical.digest)))
