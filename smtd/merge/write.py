"""One write to one side of a pair: the same value from the plan to the store and to the journal."""

from __future__ import annotations

from dataclasses import dataclass

from smtd.merge.reasons import Reason
from smtd.merge.sides import Side
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record


@dataclass(frozen=True, slots=True, eq=False)
class Write:
    """Let *side* hold *record*, which has *digest*, under *key*, if it still holds what has *expect*.

    A digest is None for a record that is absent. Two writes are equal only if they are the same one.
    """

    key: Key
    side: Side
    expect: Digest | None
    digest: Digest | None
    why: Reason
    #: None: it is to be deleted, or the other side has it and it was not read yet.
    record: Record | None = None
    #: What it overwrites or deletes.
    before: Record | None = None
    #: What the other side holds, if that is not the record itself.
    origin: Record | None = None
    #: The record as the journal keeps it, once that is known to be possible.
    encoded: bytes | None = None
    #: It brings back what a program took away that had not seen it.
    rebased: bool = False
    #: Its entry in the history, once it is there.
    entry: int | None = None
