"""Decide the keys for which digests do not suffice, from their records; no I/O."""

from __future__ import annotations

from collections.abc import Mapping

from smtd.engine import actions
from smtd.engine.actions import Action, Plan
from smtd.engine.lost_updates import OvertakenWrite
from smtd.engine.pair import Policy
from smtd.engine.report import Conflict, Hold
from smtd.merge import fields
from smtd.merge.decide import Conflicts, Mode
from smtd.merge.fields import Merged
from smtd.merge.reasons import Code, because
from smtd.merge.sides import SIDES, Both, Side
from smtd.records import canonical
from smtd.records.record import Key, Record


def repair_stripped_data(copy: Action, source: Record, before: Record, policy: Policy, plan: Plan) -> None:
    """If *copy* would spread a loss of data caused by Sumatra, replace it by a merge that restores the data.

    A one-way pair cannot write to both sides, so it holds the record instead.
    """
    record = fields.mended(before, source)
    if record is source:
        return
    plan.actions.remove(copy)
    if policy.mode is not Mode.TWO_WAY:
        plan.hold(copy.key, Hold.LOST_DATA, because(Code.DATA_TAKEN_AWAY))
        return
    sides = Both(source, before) if copy.copies_to(Side.RIGHT) else Both(before, source)
    why = because(Code.DATA_GIVEN_BACK)
    plan.actions.append(actions.merge(copy.key, record, sides, why))


def rebased(
    key: Key,
    ancestor: Record,
    overtaken: Mapping[Side, OvertakenWrite],
    now: Both[Record],
    policy: Policy,
    plan: Plan,
) -> None:
    """Decide a key that a program saved without having seen smtd's last write.

    smtd merges the saved record with its write. If it has restored lost writes of the key often enough
    (`OvertakenWrite.again`), a user decides.
    """
    sides = Both(*[overtaken[side].rebased if side in overtaken else now[side] for side in SIDES])
    result = fields.merge(ancestor, sides.left, sides.right)
    again = next((side for side in SIDES if side in overtaken and overtaken[side].again), None)
    if not isinstance(result, Merged):
        _resolve_conflict(key, result.fields, now, policy, plan)
    elif again is not None:
        plan.hold(key, Hold.LOST_WRITE, because(Code.LOST_AND_EDITED, again))
    else:
        why = because(Code.MERGED_UNSEEN)
        plan.actions.append(actions.merge(key, result.record, now, why, frozenset(overtaken)))


def merged(key: Key, ancestor: Record | None, now: Both[Record], policy: Policy, plan: Plan) -> None:
    """Decide a key that both sides changed, from its records."""
    result = fields.merge(ancestor, now.left, now.right)
    if isinstance(result, Merged) and policy.mode is Mode.TWO_WAY:
        plan.actions.append(actions.merge(key, result.record, now, because(Code.MERGED)))
    elif isinstance(result, Merged):
        _resolve_conflict(key, tuple(canonical.differences(now.left, now.right)), now, policy, plan)
    else:
        _resolve_conflict(key, result.fields, now, policy, plan)


def _resolve_conflict(
    key: Key, differing: tuple[str, ...], now: Both[Record], policy: Policy, plan: Plan
) -> None:
    """Resolve a conflict of the fields *differing* by the rule of the pair, or leave it to a user."""
    winner = _winner(policy.conflicts, now)
    if winner is not None and winner.other in policy.mode.targets:
        code = Code.NEWEST_RUN if policy.conflicts is Conflicts.NEWEST else Code.SIDE_PREFERRED
        digests = now.map(canonical.digest)
        plan.actions.append(actions.copy(key, winner.other, digests, because(code, winner), exact=True))
    else:
        plan.conflicts.append(Conflict(key.project, key.label, differing))


def _winner(rule: Conflicts, now: Both[Record]) -> Side | None:
    """Return the side that wins a conflict by *rule* (None: a user decides).

    NEWEST compares the times of the runs: of two edits of one run, nothing shows which is newer.
    """
    if rule is Conflicts.NEWEST:
        if now.left.timestamp == now.right.timestamp:
            return None
        return Side.LEFT if now.left.timestamp > now.right.timestamp else Side.RIGHT
    return {Conflicts.LEFT: Side.LEFT, Conflicts.RIGHT: Side.RIGHT}.get(rule)
