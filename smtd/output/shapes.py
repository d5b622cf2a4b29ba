"""Convert reports into the plain values of `--json` and the control socket (docs/reference/json.md).

*mirrored*: the names of the sides are exchanged, for a user who names the stores of a pair in the other
order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from smtd.engine.explain import Explanation, RecordDiff
from smtd.engine.report import Conflict, Failure, Held, PairReport, PlannedAction
from smtd.engine.scrub.findings import Finding, VerifyReport
from smtd.engine.undo import Undone
from smtd.journal.history import CycleSummary, HistoryEntry
from smtd.journal.remembered import Remembered
from smtd.merge.reasons import Code, Reason, because
from smtd.merge.sides import Side
from smtd.output.english import next_step, sentence

Shape: TypeAlias = dict[str, Any]

#: Reasons whose sentence already says that something is held.
_HELD_DELETIONS = (Code.ALL_GONE, Code.MANY_GONE, Code.PROJECT_GONE)


def sync(seconds: float, reports: Sequence[Shape]) -> Shape:
    """Return what `smtd sync --json` prints, given the shapes of *reports*."""
    return {
        "ok": all(report["ok"] for report in reports),
        "seconds": round(seconds, 3),
        "pairs": [*reports],
    }


def pair(report: PairReport, *, mirrored: bool = False) -> Shape:
    """Return the report of a cycle, or of the plan of one."""
    left, right = (report.right, report.left) if mirrored else (report.left, report.right)
    shape = {
        "pair": report.pair,
        "ok": report.ok,
        "projects": report.projects,
        "in_sync": report.in_sync,
        "left": msgspec.to_builtins(left),
        "right": msgspec.to_builtins(right),
        "conflicts": [conflict(each) for each in report.conflicts],
        "held": [held(each, mirrored=mirrored) for each in report.held],
        "failed": [failure(each, mirrored=mirrored) for each in report.failed],
    }
    if report.plan:
        shape["plan"] = report.plan
        shape["actions"] = [_action(each, mirrored) for each in report.actions]
    return shape


def conflict(each: Conflict) -> Shape:
    """Return a record in conflict."""
    return {"project": each.project, "label": each.label, "fields": list(each.fields)}


def held(each: Held, *, mirrored: bool = False) -> Shape:
    """Return a record with a held action."""
    why = _turned(each.why, mirrored)
    return {
        "project": each.project,
        "label": each.label,
        "reason": sentence(why),
        "next": next_step(why),
        "until": each.until,
        "kind": each.kind.value,
        "code": why.code.value,
    }


def waiting(report: PairReport) -> list[Shape]:
    """Return for each reason how many records wait for it, most first; conflicts have the kind conflict.

    *until* is the earliest time at which smtd releases one of them itself (None: none).
    """
    counts: Counter[tuple[str, Reason]] = Counter()
    ends: dict[tuple[str, Reason], str] = {}
    for conflict in report.conflicts:
        counts["conflict", because(Code.BOTH_CHANGED, None, *conflict.fields)] += 1
    for held in report.held:
        group = (held.kind.value, held.why)
        counts[group] += 1
        if held.until is not None:
            ends[group] = min(held.until, ends.get(group, held.until))
    return [
        {
            "kind": kind,
            "records": records,
            "reason": sentence(why),
            "until": ends.get((kind, why)),
            "code": why.code.value,
        }
        for (kind, why), records in counts.most_common()
    ]


def failure(each: Failure, *, mirrored: bool = False) -> Shape:
    """Return a record that failed."""
    why = _turned(each.why, mirrored)
    return {
        "project": each.project,
        "label": each.label,
        "side": _word(each.side, mirrored),
        "error": sentence(why),
        "code": why.code.value,
    }


def _action(each: PlannedAction, mirrored: bool) -> Shape:
    why = _turned(each.why, mirrored)
    return {
        "action": each.action,
        "project": each.project,
        "label": each.label,
        "side": _word(each.side, mirrored),
        "reason": sentence(why),
        "code": why.code.value,
    }


def verify_report(report: VerifyReport) -> Shape:
    """Return the result of a scrub of a pair."""
    shape: Shape = msgspec.to_builtins(report)
    explained = [
        {
            "project": each.project,
            "label": each.label,
            "fields": list(each.fields),
            "reason": _held_or_not(each.why),
            "code": each.why.code.value,
        }
        for each in report.explained
    ]
    findings = [finding(each, report.pair) for each in report.findings]
    return {"ok": report.ok, **shape, "explained": explained, "findings": findings}


def finding(each: Finding, name: str) -> Shape:
    """Return a record of the pair *name* for which a store does not have the baseline."""
    known = {"fields": ", ".join(each.fields), "pair": name}
    return {
        "project": each.project,
        "label": each.label,
        "side": None if each.what.side is None else each.what.side.value,
        "fields": list(each.fields),
        "what": sentence(each.what, **known),
        "next": next_step(each.what, **known),
        "code": each.what.code.value,
    }


def verify(seconds: float, reports: Sequence[VerifyReport], errors: Sequence[Mapping[str, Any]]) -> Shape:
    """Return what `smtd-ctl verify --json` prints."""
    return {
        "ok": all(report.ok for report in reports) and not errors,
        "seconds": round(seconds, 3),
        "pairs": [verify_report(report) for report in reports],
        "errors": list(errors),
    }


def explanation(found: Explanation) -> Shape:
    """Return what is known about one record."""
    rule = found.rule
    if rule.code is Code.HELD and rule.cause is not None:
        step = next_step(rule.cause)
    elif rule.code is Code.FAILED_THERE and rule.cause is not None:
        step = sentence(rule.cause)
    else:
        step = next_step(rule) if found.then is None else sentence(found.then)
    until = "" if found.until is None else f" (until {found.until})"
    return {
        "project": found.project,
        "label": found.label,
        "left": found.left,
        "right": found.right,
        "agreed": found.baseline,
        "rule": f"{_held_or_not(rule)}{until}",
        "next": step,
        "code": rule.code.value,
        "history": [
            {
                "cycle": each.cycle,
                "at": each.at,
                "side": each.side.value,
                "action": each.action,
                "reason": sentence(each.why),
                "code": each.why.code.value,
            }
            for each in found.history
        ],
        "forgotten": found.forgotten,
    }


def shown(found: RecordDiff) -> Shape:
    """Return one record field by field."""
    shape: Shape = msgspec.to_builtins(found)
    return shape


def undone(found: Undone) -> Shape:
    """Return the result of an undo."""
    return {
        "cycle": found.cycle,
        "plan": found.plan,
        "done": [msgspec.to_builtins(each) for each in found.done],
        "refused": [failure(each) for each in found.refused],
    }


def past_cycle(each: CycleSummary, name: str, *, mirrored: bool = False) -> Shape:
    """Return what one cycle of the pair *name* wrote."""
    left, right = (each.right, each.left) if mirrored else (each.left, each.right)
    return {
        "cycle": each.cycle,
        "pair": name,
        "at": each.at,
        "until": each.until,
        "left": dict(left._asdict()),
        "right": dict(right._asdict()),
    }


def entry(each: HistoryEntry, name: str, *, mirrored: bool = False) -> Shape:
    """Return one write in the history of the pair *name*."""
    why = _turned(each.reason, mirrored)
    return {
        "id": each.id,
        "cycle": each.cycle,
        "at": each.at,
        "pair": name,
        "side": _word(each.side, mirrored),
        "project": each.key.project,
        "label": each.key.label,
        "action": each.action,
        "reason": sentence(why),
        "code": why.code.value,
    }


def remembered(each: Remembered, *, synced: bool) -> Shape:
    """Return what the journal remembers of a pair, and whether that is *synced* now."""
    return {
        "pair": each.called,
        "stores": [each.stores.left, each.stores.right],
        "synced": synced,
        "agreed": each.baselines,
        "history": each.entries,
        "bytes": each.size,
        "since": each.since,
        "until": each.until,
        "unfinished": each.unfinished,
    }


def _turned(why: Reason, mirrored: bool) -> Reason:
    return why.mirrored if mirrored else why


def _word(side: Side | None, mirrored: bool) -> str:
    """Return the word for *side*, or for both sides."""
    if side is None:
        return "both"
    return (side.other if mirrored else side).value


def _held_or_not(why: Reason) -> str:
    if why.code is Code.HELD and why.cause is not None and why.cause.code in _HELD_DELETIONS:
        return sentence(why.cause)
    return sentence(why)
