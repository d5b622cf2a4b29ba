"""Decide what one key needs, from its baseline and what each side holds now.

A side has *changed* if it differs from the baseline. Two sides are *equal* if
their digests are. The whole policy is `decide` and `allowed`; the truth table in
tests/merge/test_decide.py has a row for every distinguishable situation.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum

from smtd.merge.sides import Both, Side
from smtd.records.canonical import Digest


class Verdict(Enum):
    """What one key needs."""

    NOTHING = "nothing"  # neither side has changed since they agreed, or neither ever had the key
    AGREE = "agree"  # the sides are equal, and the journal does not have it yet
    FORGET = "forget"  # both sides deleted it
    TO_RIGHT = "to right"  # the left side's record, or its deletion, goes to the right
    TO_LEFT = "to left"
    MERGE = "merge"  # both sides changed it, differently


class Mode(Enum):
    """Direction in which changes are synced."""

    TWO_WAY = "two-way"
    LEFT_TO_RIGHT = "left-to-right"
    RIGHT_TO_LEFT = "right-to-left"

    @property
    def targets(self) -> frozenset[Side]:
        """The sides that smtd may write to."""
        return _TARGETS[self]

    def sparing(self, read_only: Collection[Side]) -> Mode | None:
        """Return the mode that does not write to *read_only* (None: no side is left to write to)."""
        left = self.targets.difference(read_only)
        return next((mode for mode in Mode if mode.targets == left), None)


class Conflicts(Enum):
    """Who wins if both sides changed a record and no rule can merge it."""

    ASK = "ask"  # a user decides
    LEFT = "left"
    RIGHT = "right"
    NEWEST = "newest"  # the side with the newest run


_TARGETS = {
    Mode.TWO_WAY: frozenset(Side),
    Mode.LEFT_TO_RIGHT: frozenset({Side.RIGHT}),
    Mode.RIGHT_TO_LEFT: frozenset({Side.LEFT}),
}
_TOWARDS = {Verdict.TO_LEFT: Side.LEFT, Verdict.TO_RIGHT: Side.RIGHT}


def decide(baseline: Both[Digest] | None, now: Both[Digest | None]) -> Verdict:
    """Return what a key needs, given the digests of its baseline and the current ones (None: absent)."""
    if now.left == now.right:
        return _equal(baseline, now.left)
    left_changed = now.left != (None if baseline is None else baseline.left)
    right_changed = now.right != (None if baseline is None else baseline.right)
    if left_changed and right_changed:
        # A change wins over a deletion.
        if now.left is None:
            return Verdict.TO_LEFT
        return Verdict.TO_RIGHT if now.right is None else Verdict.MERGE
    if left_changed:
        return Verdict.TO_RIGHT
    return Verdict.TO_LEFT if right_changed else Verdict.NOTHING


def _equal(baseline: Both[Digest] | None, digest: Digest | None) -> Verdict:
    if digest is None:
        return Verdict.NOTHING if baseline is None else Verdict.FORGET
    return Verdict.NOTHING if baseline == Both(digest, digest) else Verdict.AGREE


def allowed(verdict: Verdict, mode: Mode) -> bool:
    """Say whether *mode* permits the verdict.

    A merge writes to both sides, so a one-way pair cannot merge: the key remains in conflict.
    """
    if verdict is Verdict.MERGE:
        return mode is Mode.TWO_WAY
    side = _TOWARDS.get(verdict)
    return side is None or side in mode.targets


def target(verdict: Verdict) -> Side:
    """Return the side that TO_LEFT or TO_RIGHT writes to."""
    return _TOWARDS[verdict]
