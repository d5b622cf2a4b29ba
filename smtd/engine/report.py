"""What a cycle did and what it left, as data; `smtd.output` formats it as English and as JSON."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TypeAlias

import msgspec

from smtd.merge.reasons import Reason
from smtd.merge.sides import Both, Side
from smtd.records.record import Key
from smtd.text import encodable

#: Called with a phase, how many records are done, and how many there are.
Progress: TypeAlias = Callable[[str, int, int], None]


def no_progress(phase: str, done: int, total: int) -> None:
    """Show nothing."""


class Question(Enum):
    """What a person is asked, to end a hold."""

    SIDE = "side"  # which side to take, as in a conflict
    DELETION = "deletion"  # whether to delete, or to restore


class Hold(Enum):
    """Why an action is not taken yet. The values appear in JSON.

    *question*: what a person can decide about it (None: nothing; it ends otherwise).
    """

    _value_: str
    question: Question | None

    def __new__(cls, value: str, question: Question | None = None) -> Hold:
        """Make the kind of hold that has *value* in JSON."""
        made = object.__new__(cls)
        made._value_, made.question = value, question
        return made

    RUNNING = "running"  # a run that is not over
    DELETION = "deletion", Question.DELETION  # a deletion that may not be meant
    UNDONE = "undone", Question.SIDE  # what an undo has left, until a user decides
    DECIDED = "decided", Question.SIDE  # a user's decision that cannot be carried out
    LOST_WRITE = "lost write", Question.SIDE  # another program undid what smtd wrote
    LOST_DATA = "lost data"  # Sumatra took data away from the record


class OfRecord(msgspec.Struct, frozen=True):
    """Something that is said of one record."""

    project: str
    label: str

    @property
    def key(self) -> Key:
        """The key of the record."""
        return Key(self.project, self.label)


class Conflict(OfRecord, frozen=True):
    """Both sides changed a record, and no rule may decide."""

    fields: tuple[str, ...]


class Held(OfRecord, frozen=True):
    """An action not taken yet, and why; *until*: when the hold ends by itself, if it does (ISO 8601)."""

    kind: Hold
    why: Reason
    until: str | None = None


class Failure(OfRecord, frozen=True):
    """A record that could not be read or written on one side (None: on both)."""

    side: Side | None
    why: Reason


def failure(key: Key, side: Side | None, why: Reason) -> Failure:
    """Return the failure of *key*, with names that the journal and JSON can hold, whatever the store has."""
    return Failure(encodable(key.project), encodable(key.label), side, why)


class PlannedAction(msgspec.Struct, frozen=True):
    """One action of a plan: *action* is create, update, delete, merge or split.

    *side* is where it happens (None: on both sides).
    """

    action: str
    project: str
    label: str
    side: Side | None
    why: Reason


class SideReport(msgspec.Struct):
    """What was written to one side; *read_only* says why it cannot be written (empty: it can).

    *records* is how many it held before these writes, when the cycle looked at it.
    """

    location: str
    created: int = 0
    updated: int = 0
    deleted: int = 0
    read_only: str = ""
    records: int = 0

    @property
    def grown(self) -> int:
        """By how many records the side grew."""
        return self.created - self.deleted

    @property
    def written(self) -> int:
        """How many records were written or deleted."""
        return self.created + self.updated + self.deleted


class PairReport(msgspec.Struct):
    """The result of one cycle of one pair, or the plan of a cycle that was not run.

    *again* is when the next cycle has something to do even without a change, in seconds since 1970 (None:
    never): a run counts as killed then, a refused write is retried, or a write is read again. *adopted* are
    the sides whose store was replaced, so that the pair was adopted anew. *plan* is the identity of a plan
    that was not run, *actions* what it would write.
    """

    pair: str
    left: SideReport
    right: SideReport
    projects: list[str] = []
    in_sync: int = 0
    conflicts: list[Conflict] = []
    held: list[Held] = []
    failed: list[Failure] = []
    again: float | None = None
    adopted: list[Side] = []
    plan: str = ""
    actions: list[PlannedAction] = []

    @property
    def written(self) -> int:
        """How many records were written to the stores."""
        return self.left.written + self.right.written

    @property
    def wrote(self) -> bool:
        """Whether something was written to a store."""
        return self.written > 0

    @property
    def ok(self) -> bool:
        """Whether nothing is left for a user or for a later cycle."""
        return not (self.conflicts or self.held or self.failed)

    def side(self, side: Side) -> SideReport:
        """Return the report of *side*."""
        return self.left if side is Side.LEFT else self.right


def empty_report(name: str, locations: Both[str]) -> PairReport:
    """Return the report of a cycle that has done nothing yet."""
    return PairReport(name, SideReport(locations.left), SideReport(locations.right))
