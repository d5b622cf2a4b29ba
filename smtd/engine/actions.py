"""The actions of a cycle, and the plan that they make: values without I/O.

A dry run prints the plan; the executor runs it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from smtd.engine.report import Conflict, Failure, Held
from smtd.journal.decisions import Decision
from smtd.merge.reasons import Code, Reason
from smtd.merge.sides import Both, Side
from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record

MERGED = Reason(Code.MERGED)


@dataclass(frozen=True, slots=True)
class Copy:
    """Bring the record of the other side, which has *digest*, to *target*."""

    key: Key
    target: Side
    expect: Digest | None
    digest: Digest
    why: Reason
    #: A person chose this record: nothing of the one that it takes the place of is saved into it.
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the record of *target*, which has the digest *expect*."""

    key: Key
    target: Side
    expect: Digest
    why: Reason


@dataclass(frozen=True, slots=True)
class Merge:
    """Bring *record* to both sides, which hold *before* (None: nothing)."""

    key: Key
    record: Record
    before: Both[Record | None]
    expect: Both[Digest | None]
    why: Reason = MERGED
    #: The sides that get back what somebody had taken away who had not seen it.
    rejoins: frozenset[Side] = frozenset()


@dataclass(frozen=True, slots=True)
class Split:
    """Keep the record of *side* under the label *alias* on both sides; then the key is free."""

    key: Key
    alias: str
    side: Side
    expect: Both[Digest]


@dataclass(frozen=True, slots=True)
class Agree:
    """Note that both sides hold equal records."""

    key: Key
    digest: Digest


@dataclass(frozen=True, slots=True)
class Forget:
    """Note that neither side holds the key any more."""

    key: Key


Action: TypeAlias = Copy | Delete | Merge | Split | Agree | Forget


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
        for line in sorted(repr((type(action).__name__, *_essence(action))) for action in self.writes):
            found.update(line.encode())
        return found.hexdigest()

    @property
    def writes(self) -> list[Copy | Delete | Merge | Split]:
        """The actions that write to a store."""
        return [action for action in self.actions if not isinstance(action, (Agree, Forget))]


def _essence(action: Copy | Delete | Merge | Split) -> tuple[object, ...]:
    if isinstance(action, Copy):
        return (action.key, action.target.value, action.expect, action.digest)
    if isinstance(action, Delete):
        return (action.key, action.target.value, action.expect)
    if isinstance(action, Merge):
        return (action.key, action.expect.left, action.expect.right, canonical.digest(action.record))
    return (action.key, action.alias, action.side.value, action.expect.left, action.expect.right)
