"""The actions of a cycle, and the plan that they form: values without I/O.

A dry run prints the plan; the executor runs it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

import msgspec

from smtd.engine.report import Conflict, Failure, Held, Hold, failure
from smtd.errors import PlanChanged, RecordUnusable
from smtd.journal.decisions import Decision
from smtd.merge.reasons import Code, Reason, because
from smtd.merge.sides import SIDES, Both, Side
from smtd.merge.write import Write
from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record


class ActionKind(Enum):
    """What happens to a key. The values are part of a plan's identity."""

    COPY = "Copy"  # one side gets the record of the other one
    DELETE = "Delete"  # one side loses its record
    MERGE = "Merge"  # both sides get a record that combines the two
    SPLIT = "Split"  # both sides get the record of one side under another label; then the key is free
    AGREE = "Agree"  # both sides hold equal records, and the journal records that
    FORGET = "Forget"  # neither side holds the key any more, and the journal records that


@dataclass(frozen=True, slots=True)
class Action:
    """What happens to *key*; *writes* has at most one write for each side.

    A split has no writes until the executor reads the record of the side *aliased*, which gets the label
    *alias*. *seen*: the digests of both sides, for SPLIT and AGREE only.
    """

    key: Key
    kind: ActionKind
    why: Reason
    writes: tuple[Write, ...] = ()
    seen: Both[Digest] | None = None
    #: A user chose this record: no data of the record that it replaces are added to it.
    exact: bool = False
    alias: str = ""
    aliased: Side = Side.RIGHT

    def copies_to(self, side: Side) -> bool:
        """Say whether the action copies the record of the other side to *side*."""
        return self.kind is ActionKind.COPY and self.writes[0].side is side

    def deletes_from(self, side: Side) -> bool:
        """Say whether the action deletes the record from *side*."""
        return self.kind is ActionKind.DELETE and self.writes[0].side is side

    @property
    def creates(self) -> bool:
        """Whether a record is copied to a side that has none."""
        return self.kind is ActionKind.COPY and self.writes[0].expect is None

    @property
    def edits(self) -> bool:
        """Whether a record that one side changed replaces that of the other side, without a user's choice."""
        return self.kind is ActionKind.COPY and self.writes[0].expect is not None and not self.exact


def copy(key: Key, side: Side, seen: Both[Digest | None], why: Reason, *, exact: bool = False) -> Action:
    """Return the action that copies the record of the other side to *side*."""
    write = Write(key, side, seen[side], seen[side.other], why)
    return Action(key, ActionKind.COPY, why, (write,), exact=exact)


def with_records(edit: Action, source: Record, before: Record) -> Action:
    """Return *edit* with the records that it copies and overwrites, unless their digests have changed."""
    (write,) = edit.writes
    try:
        is_same = (canonical.digest(source), canonical.digest(before)) == (write.digest, write.expect)
    except RecordUnusable:
        is_same = False
    return (
        replace(edit, writes=(msgspec.structs.replace(write, record=source, before=before),))
        if is_same
        else edit
    )


def delete(key: Key, side: Side, seen: Both[Digest | None], why: Reason) -> Action:
    """Return the action that deletes the record from *side*."""
    return Action(key, ActionKind.DELETE, why, (Write(key, side, seen[side], None, why),))


def merge(
    key: Key,
    record: Record,
    before: Both[Record | None],
    why: Reason,
    rebased: frozenset[Side] = frozenset(),
) -> Action:
    """Return the action that gives both sides *record*, if they still hold *before* (None: nothing).

    On the sides *rebased* it restores a write of smtd's that a program overwrote without having seen it.
    """
    digest, seen = canonical.digest(record), before.map(_digest)
    writes = [
        Write(
            *(key, side, seen[side], digest, why, record, before[side], before[side.other]),
            rebased=side in rebased,
        )
        for side in SIDES
        if seen[side] != digest
    ]
    return Action(key, ActionKind.MERGE, why, tuple(writes))


def split(key: Key, alias: str, aliased: Side, seen: Both[Digest]) -> Action:
    """Return the action that gives both sides the record of the side *aliased* under the label *alias*."""
    why = because(Code.BOTH_KEPT, aliased, alias)
    return Action(key, ActionKind.SPLIT, why, seen=seen, alias=alias, aliased=aliased)


def agree(key: Key, digest: Digest) -> Action:
    """Return the action that records in the journal that both sides hold the record with *digest*."""
    return Action(key, ActionKind.AGREE, because(Code.EQUAL), seen=Both(digest, digest))


def forget(key: Key) -> Action:
    """Return the action that records in the journal that neither side holds the key."""
    return Action(key, ActionKind.FORGET, because(Code.ABSENT))


@dataclass(slots=True)
class Plan:
    """What one cycle will do, and what it leaves undone."""

    actions: list[Action] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    in_sync: int = 0
    #: Keys that the plan had to decide, because they were not in sync.
    open: set[Key] = field(default_factory=set)
    #: Keys that both sides changed; `merges.py` decides them once their records are read.
    merges: list[Key] = field(default_factory=list)
    #: Keys that changed while the plan was made: scan again.
    moved: set[Key] = field(default_factory=set)
    #: The sides whose store was replaced since the last cycle: all keys were decided as in a first sync.
    adopted: frozenset[Side] = frozenset()
    #: The digests that the sides held when the plan was made.
    now: Both[Mapping[Key, Digest]] = field(default_factory=lambda: Both({}, {}))
    #: Keys whose decisions no longer apply, and new decisions that a user has to make.
    void: set[Key] = field(default_factory=set)
    asked: list[Decision] = field(default_factory=list)

    def hold(self, key: Key, kind: Hold, why: Reason, until: str | None = None) -> None:
        """Have *key* wait for a user, or for the time *until* (ISO 8601); *why* says what it waits for."""
        self.held.append(Held(*key, kind, why, until))

    def fail(self, key: Key, side: Side, why: Reason) -> None:
        """Report *key* as failed on *side*."""
        self.failed.append(failure(key, side, why))

    @property
    def identity(self) -> str:
        """A short hash of all that the plan writes: it differs for every plan that writes something else."""
        found = hashlib.blake2b(digest_size=6)
        for line in sorted(map(_essence, self.writing)):
            found.update(line.encode())
        return found.hexdigest()

    @property
    def writing(self) -> list[Action]:
        """The actions that write to a store."""
        return [action for action in self.actions if action.kind not in (ActionKind.AGREE, ActionKind.FORGET)]


def check_plan(identity: str, expected: str | None, what: str = "records") -> None:
    """Raise PlanChanged if a plan has not the *expected* identity (None: any); *what* has changed then."""
    if expected not in (None, identity):
        raise PlanChanged(f"the {what} have changed since plan {expected} was made; make a new plan")


def _essence(action: Action) -> str:
    writes = [(write.side.value, write.expect, write.digest) for write in action.writes]
    seen = () if action.seen is None else (action.seen.left, action.seen.right)
    return repr((action.kind.value, action.key, writes, seen, action.alias, action.aliased.value))


def _digest(record: Record | None) -> Digest | None:
    return None if record is None else canonical.digest(record)
