"""What a cycle did and what it left, as data; `smtd.output` says it in English and in JSON."""

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


class Hold(Enum):
    """What kind of action is not taken yet. The words are those of JSON."""

    RUNNING = "running"  # a run that is not over
    DELETION = "deletion"  # a deletion that may be none
    UNDONE = "undone"  # what an undo has left, until a person says more
    DECIDED = "decided"  # what a person decided cannot be done
    LOST_WRITE = "lost write"  # another program undid what smtd wrote
    LOST_DATA = "lost data"  # Sumatra took data away from the record


class Conflict(msgspec.Struct, frozen=True):
    """Both sides changed a record, and no rule may decide."""

    project: str
    label: str
    fields: tuple[str, ...]


class Held(msgspec.Struct, frozen=True):
    """An action not taken yet, and why; *until*: when smtd goes on by itself (ISO 8601)."""

    project: str
    label: str
    kind: Hold
    why: Reason
    until: str | None = None


class Failure(msgspec.Struct, frozen=True):
    """A record that could not be read or written on one side (None: on both)."""

    project: str
    label: str
    side: Side | None
    why: Reason


def failure(key: Key, side: Side | None, why: Reason) -> Failure:
    """Return the failure of *key* in a form that the journal and JSON can hold, whatever a store said."""
    return Failure(encodable(key.project), encodable(key.label), side, why)


class PlannedAction(msgspec.Struct, frozen=True):
    """One action of a plan: *action* is create, update, delete, merge or split; *side* is where.

    None: on both sides.
    """

    action: str
    project: str
    label: str
    side: Side | None
    why: Reason


class SideReport(msgspec.Struct):
    """What was written to one side; *read_only* says why nothing can be, if so.

    *records* is how many it held when it was looked at, before that.
    """

    location: str
    created: int = 0
    updated: int = 0
    deleted: int = 0
    read_only: str = ""
    records: int = 0

    @property
    def grown(self) -> int:
        """By how many records it grew."""
        return self.created - self.deleted

    @property
    def written(self) -> int:
        """How many records were written or deleted."""
        return self.created + self.updated + self.deleted


class PairReport(msgspec.Struct):
    """The result of one cycle of one pair, or the plan of one that was not run.

    *again* is when the next cycle has something to do though nobody changed anything, in seconds since
    1970: a run counts as killed then, or what was refused is offered again. *adopted* are the sides
    whose store is another one than before, so that the pair was adopted anew. *plan* is the identity of a
    plan that was not run, and *actions* what it would write.
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
    def wrote(self) -> bool:
        """Something was written to a store."""
        return bool(self.left.written + self.right.written)

    @property
    def ok(self) -> bool:
        """Nothing is left for a person or for a later cycle."""
        return not (self.conflicts or self.held or self.failed)

    def side(self, side: Side) -> SideReport:
        """Return the part of one side."""
        return self.left if side is Side.LEFT else self.right


def blank(name: str, locations: Both[str]) -> PairReport:
    """Return the report of a cycle that has not done anything yet."""
    return PairReport(name, SideReport(locations.left), SideReport(locations.right))
