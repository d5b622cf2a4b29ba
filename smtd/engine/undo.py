"""Revert what a cycle overwrote, deleted or created.

The next cycle would repeat what was undone. So both sides stay as they are, pinned, until a user edits the
record or chooses a side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from smtd.engine import deciding
from smtd.engine.actions import Plan, check_plan
from smtd.engine.apply import Executor
from smtd.engine.pair import Pair
from smtd.engine.report import Failure, OfRecord, failure, no_progress
from smtd.errors import UsageError
from smtd.journal.decisions import Choice, Decision
from smtd.journal.history import HistoryEntry
from smtd.merge.fields import Merged, merge
from smtd.merge.reasons import Code, Reason, because
from smtd.merge.sides import SIDES, Both, Side
from smtd.merge.write import Write
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record


class Step(OfRecord, frozen=True):
    """One record that is reverted: *action* is what happens to it on *side*."""

    side: Side
    action: str


class Undone(msgspec.Struct):
    """What an undo did, or as a dry run would do; *refused* are the keys that changed since, and why.

    *plan* is the identity of what was to be done when it began.
    """

    cycle: int
    done: list[Step]
    refused: list[Failure]
    plan: str = ""


@dataclass(frozen=True, slots=True)
class _Back:
    """What one side of a key is to hold again (*before*), and must hold now (*after*); None: nothing."""

    entry: HistoryEntry
    before: Digest | None
    after: Digest | None


async def undo(pair: Pair, number: int, *, dry_run: bool = False, expected_plan: str | None = None) -> Undone:
    """Bring both sides of *pair* back to their state before the cycle *number*.

    A key that changed since is refused on both sides. *expected_plan*: the identity that the plan must have
    (None: any). Raises UsageError if that cycle wrote nothing, or if its history is no longer complete,
    PlanChanged if the plan is not the expected one.
    """
    forgotten = await pair.journal.history.forgotten()
    if forgotten is not None and number <= forgotten.cycle:
        raise UsageError(
            f"cycle {number} is no longer complete in the history, which goes back to {forgotten.at} for"
            " this pair (history_age, history_size); undo a later cycle"
        )
    entries = await pair.journal.history.entries(cycle=number, limit=10**9)
    if not entries:
        raise UsageError(f"cycle {number} of this pair wrote nothing; smtd history lists the cycles that did")
    backs = _reversals(entries)
    plan = await deciding.planned(pair, backs)
    result = Undone(number, [], [])
    wanted: dict[Key, dict[Side, _Back]] = {}
    for key, sides in backs.items():
        obstacles = {side: _blocker(back, plan.now[side].get(key)) for side, back in sides.items()}
        if any(obstacles.values()):
            result.refused += [failure(key, side, why) for side, why in obstacles.items() if why is not None]
            continue
        wanted[key] = sides
        result.done += [Step(*key, side, _action(back)) for side, back in sides.items()]
    result.plan = _identity(result)
    check_plan(result.plan, expected_plan)
    if wanted and not dry_run:
        await _revert(pair, wanted, plan, number, result)
    return result


def _identity(planned: Undone) -> str:
    """Return a short hash of what is to be done; what each record becomes follows from its cycle."""
    lines = sorted(repr((each.project, each.label, each.side.value, each.action)) for each in planned.done)
    return hashlib.blake2b(repr((planned.cycle, lines)).encode(), digest_size=6).hexdigest()


def _reversals(entries: Sequence[HistoryEntry]) -> dict[Key, dict[Side, _Back]]:
    """Return for each key and side what was there before the first of *entries* and after the last."""
    backs: dict[Key, dict[Side, _Back]] = {}
    for entry in sorted(entries, key=lambda each: each.id):
        sides = backs.setdefault(entry.key, {})
        first = sides.get(entry.side, _Back(entry, entry.before, entry.after))
        sides[entry.side] = _Back(first.entry, first.before, entry.after)
    return backs


def _blocker(back: _Back, now: Digest | None) -> Reason | None:
    """Return why *back* cannot be done (None: it can)."""
    if (back.before is not None) != (back.entry.action != "create"):
        return because(Code.NOTED_TOO_LITTLE)
    return None if now == back.after else because(Code.CHANGED_SINCE)


def _action(back: _Back) -> str:
    if back.before is None:
        return "delete"
    return "create" if back.after is None else "update"


async def _revert(
    pair: Pair, wanted: Mapping[Key, Mapping[Side, _Back]], plan: Plan, number: int, result: Undone
) -> None:
    """Write what is *wanted*, and pin the keys."""
    report = pair.new_report()
    executor = Executor(pair, await pair.journal.begin_cycle(), report, no_progress)
    why = because(Code.CYCLE_UNDONE, None, number)
    # Deletions last: a record that was kept under an alias stays there until it is back under its own label.
    for key, sides in sorted(wanted.items(), key=lambda each: _only_deletes(each[1])):
        goal = Both(*[sides[side].before if side in sides else plan.now[side].get(key) for side in SIDES])
        rest = [Decision(key, Choice.REST, goal, why=why)] if goal.left != goal.right else []
        await pair.journal.decisions.put(rest, [key])
        records = await pair.read_both(key)
        writes = []
        for side, back in sides.items():
            record = await pair.journal.history.image(back.entry.id)
            writes.append(Write(key, side, back.after, back.before, why, record, records[side]))
        await executor.put_back(writes, _is_edited(writes, records))
    result.refused += report.failed
    failed = {each.key for each in report.failed} | executor.stale
    result.done = [step for step in result.done if step.key not in failed]
    result.refused += [
        failure(key, None, because(Code.CHANGED_DURING_UNDO)) for key in sorted(executor.stale)
    ]
    # Keys that were not undone are not pinned.
    await pair.journal.decisions.put([], [key for key in wanted if key in failed])


def _only_deletes(sides: Mapping[Side, _Back]) -> bool:
    return all(back.before is None for back in sides.values())


def _is_edited(writes: Sequence[Write], records: Both[Record | None]) -> bool:
    """Say whether the other side holds an edit of the one record that is reverted.

    Only then may that record become the baseline. If the other side holds a second edit or another
    experiment, a later edit of one side would overwrite it.
    """
    if len(writes) != 1:
        return False
    record, other = writes[0].record, records[writes[0].side.other]
    return record is not None and other is not None and isinstance(merge(record, other, record), Merged)
