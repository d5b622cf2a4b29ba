"""Decide the keys of which the records are needed, and not only their digests; no I/O."""

from __future__ import annotations

from collections.abc import Mapping

from smtd.engine import actions, holds
from smtd.engine.actions import Action, Plan
from smtd.engine.lost_updates import OvertakenWrite
from smtd.engine.pair import Policy
from smtd.engine.report import Conflict
from smtd.merge import fields
from smtd.merge.decide import Conflicts, Mode
from smtd.merge.fields import Merged
from smtd.merge.reasons import Code, because
from smtd.merge.sides import SIDES, Both, Side
from smtd.records import canonical
from smtd.records.record import Key, Record


def repair_stripped_data(copy: Action, source: Record, before: Record, policy: Policy, plan: Plan) -> None:
    """Replace *copy*, if it would carry the loss of data that Sumatra took away, by its mending."""
    record = fields.mended(before, source)
    if record is source:
        return
    plan.actions.remove(copy)
    if policy.mode is not Mode.TWO_WAY:
        plan.held.append(holds.lost_data(copy.key))
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
    """Decide a key that was saved by somebody who had not seen what smtd had written there.

    It is merged with that once; the second time a person is asked.
    """
    sides = Both(*[overtaken[side].rebased if side in overtaken else now[side] for side in SIDES])
    result = fields.merge(ancestor, sides.left, sides.right)
    again = next((side for side in SIDES if side in overtaken and overtaken[side].again), None)
    if not isinstance(result, Merged):
        _resolve_conflict(key, result.fields, now, policy, plan)
    elif again is not None:
        plan.held.append(holds.lost_write(key, Code.LOST_AND_EDITED, again))
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
    """Let the rule of the pair decide a conflict of the fields *differing*, or a person."""
    winner = _winner(policy.conflicts, now)
    if winner is not None and winner.other in policy.mode.targets:
        code = Code.NEWEST_RUN if policy.conflicts is Conflicts.NEWEST else Code.SIDE_PREFERRED
        digests = now.map(canonical.digest)
        plan.actions.append(actions.copy(key, winner.other, digests, because(code, winner), exact=True))
    else:
        plan.conflicts.append(Conflict(key.project, key.label, differing))


def _winner(rule: Conflicts, now: Both[Record]) -> Side | None:
    """Return the side that wins a conflict by *rule* (None: a person decides).

    The newest run wins; of one run nobody knows which edit is newer.
    """
    if rule is Conflicts.NEWEST:
        if now.left.timestamp == now.right.timestamp:
            return None
        return Side.LEFT if now.left.timestamp > now.right.timestamp else Side.RIGHT
    return {Conflicts.LEFT: Side.LEFT, Conflicts.RIGHT: Side.RIGHT}.get(rule)
