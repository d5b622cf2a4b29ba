"""The actions of a cycle, and the plan that they make: values without I/O.

A dry run prints the plan; the executor runs it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from smtd.engine.report import Conflict, Failure, Held
from smtd.errors import RecordUnusable
from smtd.journal.decisions import Decision
from smtd.merge.reasons import Code, Reason, because
from smtd.merge.sides import SIDES, Both, Side
from smtd.merge.write import Write
from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record


class ActionKind(Enum):
    """What is done to a key. The words are those of a plan's identity."""

    COPY = "Copy"  # one side gets the record of the other one
    DELETE = "Delete"  # one side loses its record
    MERGE = "Merge"  # both sides get a record that is made of theirs
    SPLIT = "Split"  # both sides keep the record of one side under another label; then the key is free
    AGREE = "Agree"  # both sides hold equal records, and the journal notes it
    FORGET = "Forget"  # neither side holds the key any more, and the journal notes it


@dataclass(frozen=True, slots=True)
class Action:
    """What is done to *key*; *writes* has what it writes, at the most one write a side.

    What a split writes is known when the record of the side *aliased* is read, which gets the label *alias*.
    *seen*: the digests of both sides, for SPLIT and AGREE only.
    """

    key: Key
    kind: ActionKind
    why: Reason
    writes: tuple[Write, ...] = ()
    seen: Both[Digest] | None = None
    #: A person chose this record: nothing of the one that it takes the place of is saved into it.
    exact: bool = False
    alias: str = ""
    aliased: Side = Side.RIGHT

    def copies_to(self, side: Side) -> bool:
        """Say whether *side* gets the record of the other one."""
        return self.kind is ActionKind.COPY and self.writes[0].side is side

    def deletes_from(self, side: Side) -> bool:
        """Say whether *side* loses its record."""
        return self.kind is ActionKind.DELETE and self.writes[0].side is side

    @property
    def creates(self) -> bool:
        """The side that gets the record of the other one has none."""
        return self.kind is ActionKind.COPY and self.writes[0].expect is None

    @property
    def edits(self) -> bool:
        """A record that one side changed takes the place of the other one, and no person said so."""
        return self.kind is ActionKind.COPY and self.writes[0].expect is not None and not self.exact


def copy(key: Key, side: Side, seen: Both[Digest | None], why: Reason, *, exact: bool = False) -> Action:
    """Return the action that gives *side* the record of the other one."""
    write = Write(key, side, seen[side], seen[side.other], why)
    return Action(key, ActionKind.COPY, why, (write,), exact=exact)


def with_records(edit: Action, source: Record, before: Record) -> Action:
    """Return *edit* with what it copies and what it overwrites, unless they are not those any more."""
    (write,) = edit.writes
    try:
        is_same = (canonical.digest(source), canonical.digest(before)) == (write.digest, write.expect)
    except RecordUnusable:
        is_same = False
    return replace(edit, writes=(replace(write, record=source, before=before),)) if is_same else edit


def delete(key: Key, side: Side, seen: Both[Digest | None], why: Reason) -> Action:
    """Return the action that takes the record from *side*."""
    return Action(key, ActionKind.DELETE, why, (Write(key, side, seen[side], None, why),))


def merge(
    key: Key,
    record: Record,
    before: Both[Record | None],
    why: Reason,
    rebased: frozenset[Side] = frozenset(),
) -> Action:
    """Return the action that gives both sides *record*, if they still hold *before* (None: nothing).

    On the sides *rebased* it brings back what a program took away that had not seen it.
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
    """Return the action that keeps the record of the side *aliased* as *alias* on both sides."""
    why = because(Code.BOTH_KEPT, aliased, alias)
    return Action(key, ActionKind.SPLIT, why, seen=seen, alias=alias, aliased=aliased)


def agree(key: Key, digest: Digest) -> Action:
    """Return the action that notes that both sides hold the record with *digest*."""
    return Action(key, ActionKind.AGREE, because(Code.EQUAL), seen=Both(digest, digest))


def forget(key: Key) -> Action:
    """Return the action that notes that neither side holds the key."""
    return Action(key, ActionKind.FORGET, because(Code.ABSENT))


@dataclass(slots=True)
class Plan:
    """What one cycle will do, and what it leaves."""

    actions: list[Action] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    in_sync: int = 0
    #: Keys that were decided, and were not in sync.
    open: set[Key] = field(default_factory=set)
    #: Keys that both sides changed; decided by `merged` when their records are known.
    merges: list[Key] = field(default_factory=list)
    #: Keys that changed while they were decided: scan again.
    moved: set[Key] = field(default_factory=set)
    #: The sides whose stores are others than before: all was decided as at a first meeting.
    adopted: frozenset[Side] = frozenset()
    #: What the sides held when this was planned.
    now: Both[Mapping[Key, Digest]] = field(default_factory=lambda: Both({}, {}))
    #: Decisions that are void by now, and those that a person has to make.
    void: set[Key] = field(default_factory=set)
    asked: list[Decision] = field(default_factory=list)

    @property
    def identity(self) -> str:
        """What tells this plan from any that would write something else, in a few letters."""
        found = hashlib.blake2b(digest_size=6)
        for line in sorted(map(_essence, self.writing)):
            found.update(line.encode())
        return found.hexdigest()

    @property
    def writing(self) -> list[Action]:
        """The actions that write to a store."""
        return [action for action in self.actions if action.kind not in (ActionKind.AGREE, ActionKind.FORGET)]


def _essence(action: Action) -> str:
    writes = [(write.side.value, write.expect, write.digest) for write in action.writes]
    seen = () if action.seen is None else (action.seen.left, action.seen.right)
    return repr((action.kind.value, action.key, writes, seen, action.alias, action.aliased.value))


def _digest(record: Record | None) -> Digest | None:
    return None if record is None else canonical.digest(record)
