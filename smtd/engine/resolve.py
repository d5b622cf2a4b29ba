"""Record what a user decides about conflicts and held deletions; the next cycle carries it out."""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import count

from smtd.engine import cycle, deciding
from smtd.engine import plan as planning
from smtd.engine.actions import Plan, check_plan
from smtd.engine.pair import Pair
from smtd.engine.report import PairReport, Question
from smtd.errors import UsageError
from smtd.journal.decisions import Choice, Decision
from smtd.merge.sides import SIDES, Both
from smtd.records.record import Key
from smtd.spelling import did_you_mean

#: The choices for conflicts and for undone records, and those for held deletions.
OF_CONFLICTS = (Choice.LEFT, Choice.RIGHT, Choice.BOTH)
OF_DELETIONS = (Choice.APPROVE, Choice.REJECT)
#: Characters that a label may have in a relational store (docs/formats.md).
LONGEST_LABEL = 100


@dataclass(frozen=True, slots=True)
class Resolution:
    """*choice* for every key that waits for it: for *keys*, or in *project* under one of *labels*.

    Project and labels may be globs, and count only without *keys*. *expected_plan*: the identity that the
    plan of all that the choice does must have (None: any); see `foresee`.
    """

    choice: Choice
    project: str = "*"
    labels: Sequence[str] = ("*",)
    keys: frozenset[Key] = frozenset()
    expected_plan: str | None = None

    def means(self, key: Key) -> bool:
        """Say whether the choice is for *key*."""
        if self.keys:
            return key in self.keys
        return _fits(key.project, self.project) and any(_fits(key.label, label) for label in self.labels)


async def foresee(pair: Pair, wish: Resolution, recheck: Collection[Key] = ()) -> PairReport:
    """Return what *wish* would do by itself, as a plan; record nothing. *recheck* keys are read again.

    Raises UsageError as `resolve` does.
    """
    _, plan = await _decide(pair, wish, recheck)
    report = pair.new_report()
    cycle.count_planned(plan, report)
    return report


async def resolve(pair: Pair, wish: Resolution, recheck: Collection[Key] = ()) -> list[Key]:
    """Record *wish* for all waiting keys that it matches, and return them; *recheck* keys are read again.

    Raises UsageError if it matches none, or if it keeps both records of a key that only one store has,
    PlanChanged if the wish would do something else than expected.
    """
    decisions, plan = await _decide(pair, wish, recheck)
    check_plan(plan.identity, wish.expected_plan)
    await pair.journal.decisions.put(decisions)
    return [each.key for each in decisions]


async def _decide(pair: Pair, wish: Resolution, recheck: Collection[Key]) -> tuple[list[Decision], Plan]:
    """Return the decisions that *wish* means, and what they do by themselves. Raises UsageError."""
    plan = await deciding.planned(pair, recheck)
    keys = [key for key in _waiting(plan, wish.choice) if wish.means(key)]
    if not keys:
        what = "held deletion" if wish.choice in OF_DELETIONS else "conflict"
        listed = "holds" if wish.choice in OF_DELETIONS else "conflicts"
        meant, waiting = str(Key(wish.project, wish.labels[0])), map(str, _waiting(plan, wish.choice))
        raise UsageError(f"no {what} matches{did_you_mean(meant, waiting, f'smtd {listed} lists them')}")
    projects = {key.project for key in keys} if wish.choice is Choice.BOTH else ()
    taken = {project: await _labels(pair, project) for project in projects}
    decisions = _decisions(plan, keys, wish.choice, taken)
    policy = deciding.restrict_to_writable(pair, pair.new_report()).policy
    return decisions, planning.carried_out(decisions, plan.now, policy)


def _waiting(plan: Plan, choice: Choice) -> list[Key]:
    """Return the keys that wait for a choice of the kind of *choice*."""
    question = Question.DELETION if choice in OF_DELETIONS else Question.SIDE
    held = {held.key: held.kind for held in plan.held}
    asked = [key for key, kind in held.items() if kind.question is question]
    return asked if question is Question.DELETION else [each.key for each in plan.conflicts] + asked


def _decisions(
    plan: Plan, keys: Sequence[Key], choice: Choice, taken: Mapping[str, set[str]]
) -> list[Decision]:
    """Return the decision *choice* for each of *keys*; *taken* has the labels of each project, for BOTH."""
    made = []
    for key in keys:
        there = Both(plan.now.left.get(key), plan.now.right.get(key))
        name = ""
        if choice is Choice.BOTH:
            if there.left is None or there.right is None:
                raise UsageError(f"{key} is only in one store; take left or right")
            name = alias(key.label, taken[key.project])
            taken[key.project].add(name)
        made.append(Decision(key, choice, there, name))
    return made


def alias(label: str, taken: Container[str]) -> str:
    """Return a label like *label* that is not *taken*; any store that accepts *label* accepts it, too."""
    endings = (f"-{number}" for number in count(2))
    names = (label[: LONGEST_LABEL - len(ending)] + ending for ending in endings)
    return next(name for name in names if name not in taken)


async def _labels(pair: Pair, project: str) -> set[str]:
    """Return the labels of *project* on either side."""
    return {key.label for side in SIDES for key in await pair.journal.indexes[side].present({project})}


def _fits(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)
