"""The plan of one cycle: every action, every reason not to act, and no I/O.

`build_plan` decides from digests; keys that both sides changed come back in `Plan.merges` and are
decided by `merges.merged` once their records are read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import msgspec

from smtd.engine import actions
from smtd.engine.actions import Action, Plan
from smtd.engine.lost_updates import OvertakenWrite, RevertedWrite
from smtd.engine.pair import Policy
from smtd.engine.report import Hold
from smtd.journal.decisions import Choice, Decision
from smtd.merge import deletion_guard
from smtd.merge.decide import Mode, Verdict, allowed, decide, target
from smtd.merge.reasons import Code, Reason, because
from smtd.merge.sides import SIDES, Both, Side
from smtd.records.canonical import Digest
from smtd.records.record import Key, is_plain
from smtd.stores.base import Scan


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known when a cycle is planned.

    `lost` has, for each side, the keys whose last write by smtd was undone by another program.
    """

    baselines: Mapping[Key, Both[Digest]]
    scans: Both[Scan]
    lost: Both[Mapping[Key, RevertedWrite]]
    #: Keys that changed since the scan: not decided now.
    moved: Collection[Key] = ()
    #: Keys whose records may be half saved: not decided now, either.
    unsettled: Collection[Key] = ()
    #: When smtd will take unfinished runs to have been killed.
    until: Mapping[Key, datetime] = field(default_factory=dict)
    #: What users decided.
    decisions: Mapping[Key, Decision] = field(default_factory=dict)
    #: Keys that a program saved from a copy read before smtd's last writes, on each side.
    overtaken: Both[Mapping[Key, OvertakenWrite]] = field(default_factory=lambda: Both({}, {}))
    #: How many records besides those of `baselines` have a baseline, by project: both sides have them.
    others: Mapping[str, int] = field(default_factory=dict)
    #: How many records smtd deleted lately on each side, because the other side lacked them.
    recent: Both[int] = field(default_factory=lambda: Both(0, 0))
    #: How many readable records the left side has.
    readable: int = 0


def build_plan(known: Facts, policy: Policy, keys: Collection[Key] | None = None) -> Plan:
    """Decide every key from its digests, or only *keys* if all others are in sync."""
    plan = Plan(moved=set(known.moved), now=known.scans.map(lambda scan: scan.digests))
    _Planner(known, policy, plan).decide(keys)
    return plan


def carried_out(decisions: Collection[Decision], now: Both[Mapping[Key, Digest]], policy: Policy) -> Plan:
    """Return what *decisions* do by themselves, while the sides hold *now* under all keys of their projects.

    What cannot be done under *policy* is held.
    """
    plan = Plan(now=now)
    planner = _Planner(Facts({}, now.map(Scan), Both({}, {})), policy, plan)
    for decision in decisions:
        planner.carry_out(decision)
    return plan


class _Hidden(str):
    """Stands for the reason why a record is unreadable: it may be one that has lost its name."""


def without_nameless(scan: Scan, baselines: Collection[Key]) -> Scan:
    """Return *scan*, in which each missing key of *baselines* that a nameless record may have is unreadable.

    So such a record is one failure, and not the deletion of the key that it had.
    """
    if not (projects := scan.nameless):
        return scan
    there = scan.digests.keys() | scan.unreadable.keys()
    hidden = {key: _Hidden() for key in baselines if key.project in projects and key not in there}
    return replace(scan, unreadable={**scan.unreadable, **hidden})


class _Planner:
    """Decides keys by what is *known*, under *policy*, and enters in *plan* what follows."""

    def __init__(self, known: Facts, policy: Policy, plan: Plan) -> None:
        self._known = known
        self._policy = policy
        self._plan = plan
        #: The deletions on each side, which the deletion guard judges together.
        self._deletes: dict[Side, list[Action]] = {side: [] for side in SIDES}

    def decide(self, keys: Collection[Key] | None) -> None:
        """Decide *keys* (None: all)."""
        known, plan = self._known, self._plan
        unreadable = self._fail_unreadable()
        if keys is None:
            keys = known.scans.left.digests.keys() | known.scans.right.digests.keys() | known.baselines.keys()
            keys |= {key for key in known.decisions if self._policy.covers(key)}
            keys = keys.union(unreadable)
        for key in sorted(keys):
            plan.open.add(key)
            if key in unreadable:
                continue
            if not is_plain([*key]):
                self._fail_name(key)
            elif key not in plan.moved and key not in known.unsettled:
                self._decide_key(key)
        for side in SIDES:
            self._guard(side)
        left = known.scans.left.digests
        plan.in_sync = known.readable - sum(key in left for key in plan.open)

    def _fail_unreadable(self) -> Collection[Key]:
        """Report the unreadable records, except half-saved ones, as failed; return the keys of all of them.

        They are not decided.
        """
        scans = self._known.scans
        for side in SIDES:
            for key, text in sorted(scans[side].unreadable.items()):
                if key in self._known.unsettled:
                    continue
                hidden = isinstance(text, _Hidden)
                why = because(Code.NAMELESS, side) if hidden else because(Code.UNREADABLE, side, text)
                self._plan.fail(key, side, why)
        return scans.left.unreadable.keys() | scans.right.unreadable.keys()

    def _fail_name(self, key: Key) -> None:
        """Report a record whose name is not text as failed, if a side still has it."""
        side = next((side for side in SIDES if key in self._known.scans[side].digests), None)
        if side is None:
            self._plan.open.remove(key)
        else:
            self._plan.fail(key, side, because(Code.NAME_NOT_TEXT, side))

    def _decide_key(self, key: Key) -> None:
        known, plan = self._known, self._plan
        baseline = known.baselines.get(key)
        now = Both(known.scans.left.digests.get(key), known.scans.right.digests.get(key))
        if (decision := known.decisions.get(key)) is not None:
            if decision.digests == now and not self._is_alias_taken(decision):
                self.carry_out(decision)
                return
            plan.void.add(key)
        there = now.left is not None and now.right is not None
        overtaken = [side for side in SIDES if there and key in known.overtaken[side]]
        if overtaken == list(SIDES):
            plan.merges.append(key)
            return
        lost = next((side for side in SIDES if key in known.lost[side]), None)
        if lost is not None and baseline is not None and now.left != now.right:
            if lost in overtaken and baseline[lost] != known.lost[lost][key].after:
                plan.merges.append(key)  # the other side lacks what was lost, too
            elif lost in self._policy.mode.targets:
                self._reapply(key, lost, baseline, now)
            else:
                plan.hold(key, Hold.LOST_WRITE, because(Code.LOST_OUT_OF_REACH, lost))
            return
        verdict = decide(baseline, now)
        if verdict is Verdict.NOTHING:
            if now.left == now.right:
                plan.open.remove(key)
            if baseline == now and now.left != now.right:
                plan.fail(key, Side.RIGHT, because(Code.KEPT_DIFFERENTLY))
        elif verdict is Verdict.FORGET:
            plan.actions.append(actions.forget(key))
        elif verdict is Verdict.AGREE:
            assert now.left is not None
            plan.actions.append(actions.agree(key, now.left))
        elif not allowed(verdict, self._policy.mode):
            if verdict is Verdict.MERGE:
                plan.merges.append(key)
        elif self._is_held(key, verdict):
            end = known.until.get(key)
            until = None if end is None else end.isoformat(timespec="seconds")
            plan.hold(key, Hold.RUNNING, because(Code.RUNNING), until)
        elif verdict is Verdict.MERGE or overtaken:
            plan.merges.append(key)
        else:
            self._propagate(key, target(verdict), now)

    def _is_alias_taken(self, decision: Decision) -> bool:
        """Say whether another record has the alias by now: then a user has to decide again."""
        alias = Key(decision.key.project, decision.alias)
        digest = decision.digests[decision.aliased]
        taken = [self._known.scans[side].digests.get(alias, digest) for side in SIDES]
        return decision.choice is Choice.BOTH and taken != [digest] * len(SIDES)

    def carry_out(self, decision: Decision) -> None:
        """Do what a user decided about a key that has not changed since then."""
        key, choice, now = decision.key, decision.choice, decision.digests
        present = next((side for side in SIDES if now[side] is not None), Side.LEFT)  # if only one has it
        if choice is Choice.HELD:
            self._plan.hold(key, Hold.DELETION, _why(decision, present.other))
        elif choice is Choice.REST:
            self._plan.hold(key, Hold.UNDONE, _why(decision))
        elif choice is Choice.BOTH:
            self._split(decision)
        elif choice is Choice.APPROVE:
            self._take_side(key, present, None, now)
        elif choice is Choice.REJECT:
            self._take_side(key, present.other, present, now)
        else:
            source = Side.LEFT if choice is Choice.LEFT else Side.RIGHT
            self._take_side(key, source.other, source, now)

    def _take_side(self, key: Key, side: Side, source: Side | None, now: Both[Digest | None]) -> None:
        """Give *side* exactly what *source* has (None: nothing), because a user decided so."""
        why = because(Code.DECIDED)
        if side not in self._policy.mode.targets:
            self._plan.hold(key, Hold.DECIDED, because(Code.SOURCE_OF_ONE_WAY, side))
        elif source is not None and now[source] is not None:
            self._plan.actions.append(actions.copy(key, side, now, why, exact=True))
        else:
            assert now[side] is not None  # no decision is about a key that neither side has
            self._plan.actions.append(actions.delete(key, side, now, why))

    def _split(self, decision: Decision) -> None:
        """Keep both records: first one under its alias on both sides, then the other one."""
        side, now, targets = decision.aliased, decision.digests, self._policy.mode.targets
        key, alias = decision.key, Key(decision.key.project, decision.alias)
        there = [self._known.scans[each].digests.get(alias) for each in SIDES]
        if self._policy.mode is not Mode.TWO_WAY:
            source = next(each for each in SIDES if each not in targets)
            self._plan.hold(key, Hold.DECIDED, because(Code.SOURCE_OF_ONE_WAY, source))
        elif now.left is not None and now.right is not None and there == [None, None]:
            self._plan.actions.append(actions.split(key, decision.alias, side, Both(now.left, now.right)))
        elif there == [now[side], now[side]]:
            self._take_side(key, side, side.other, now)
        else:  # a crash left the alias on one side only: it is synced like any new record
            self._plan.moved.add(key)

    def _is_held(self, key: Key, verdict: Verdict) -> bool:
        sources = SIDES if verdict is Verdict.MERGE else (target(verdict).other,)
        scans = self._known.scans
        return self._policy.hold_unfinished and any(key in scans[side].unfinished for side in sources)

    def _propagate(self, key: Key, side: Side, now: Both[Digest | None]) -> None:
        if now[side.other] is not None:
            code = Code.NEW if now[side] is None else Code.CHANGED
            self._plan.actions.append(actions.copy(key, side, now, because(code, side.other)))
        elif now[side] is not None and self._policy.propagate_deletes:
            why = because(Code.DELETED, side.other)
            self._deletes[side].append(actions.delete(key, side, now, why))

    def _reapply(self, key: Key, side: Side, baseline: Both[Digest], now: Both[Digest | None]) -> None:
        """Write again what another program undid on *side*, or ask a user if smtd has done that often enough.

        A user who deletes or reverts exactly what smtd wrote last looks the same. If the other side lost the
        record, too, there is nothing to restore.
        """
        digest = now[side.other]
        if digest is None:
            self._plan.hold(key, Hold.LOST_WRITE, because(Code.LOST_AND_DELETED, side))
        elif self._known.lost[side][key].again and digest == baseline[side.other]:
            self._plan.hold(key, Hold.LOST_WRITE, because(Code.LOST_AGAIN, side))
        else:
            self._plan.actions.append(actions.copy(key, side, now, because(Code.WRITTEN_AGAIN)))

    def _guard(self, side: Side) -> None:
        """Plan the deletions on *side*, or hold them; approved deletions do not count towards the limit."""
        if not self._deletes[side]:
            return
        known, plan = self._known, self._plan
        source, other = known.scans[side.other], known.scans[side]
        missing = {
            key for key in known.baselines if key not in source.digests and key not in source.unreadable
        }
        missing -= {key for key in missing if key not in other.digests and key not in other.unreadable}
        missing -= {key for key in missing if self._is_approved(key)}
        baselines = {key for key in known.baselines if key in missing or key in source.digests}
        baselines |= known.baselines.keys() & source.unreadable.keys()
        count, limit = len(baselines) + sum(known.others.values()), self._policy.limit
        of_all = deletion_guard.mass_deletion(count, len(missing), limit, side.other, known.recent[side])
        of_projects = deletion_guard.emptied_projects(baselines, missing, side.other, known.others)
        for delete in self._deletes[side]:
            why = of_all or of_projects.get(delete.key.project)
            if why is None:
                plan.actions.append(delete)
                continue
            expect = delete.writes[0].expect
            gone = Both(None, expect) if side is Side.RIGHT else Both(expect, None)
            plan.asked.append(Decision(delete.key, Choice.HELD, gone, why=why))
            plan.hold(delete.key, Hold.DELETION, why)

    def _is_approved(self, key: Key) -> bool:
        """Say whether a user approved the deletion of *key*, and the approval still holds."""
        decision = self._known.decisions.get(key)
        return decision is not None and decision.choice is Choice.APPROVE and key not in self._plan.void


def _why(decision: Decision, side: Side | None = None) -> Reason:
    """Return why a decision was recorded, with *side*: earlier versions of smtd recorded no side."""
    return msgspec.structs.replace(decision.why or Reason(Code.TEXT), side=side)
