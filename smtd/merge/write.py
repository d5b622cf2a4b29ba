"""One write to one side of a pair: the same value from the plan to the store and to the journal."""

from __future__ import annotations

import msgspec

from smtd.merge.reasons import Reason
from smtd.merge.sides import Side
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record


class Write(msgspec.Struct, frozen=True, eq=False):
    """Make *side* hold *record*, which has *digest*, under *key*, if it still holds a record with *expect*.

    A digest is None for an absent record. Two writes are equal only if they are the same object.
    """

    key: Key
    side: Side
    expect: Digest | None
    digest: Digest | None
    why: Reason
    #: The record to write (None: this is a deletion, or the record was not read from the other side yet).
    record: Record | None = None
    #: The record that the write overwrites or deletes.
    before: Record | None = None
    #: The record that the other side holds, if that is another one.
    origin: Record | None = None
    #: The record encoded for the journal (None: not tried yet).
    encoded: bytes | None = None
    #: Whether the write restores one that a program undid without having seen it.
    rebased: bool = False
    #: The number of its entry in the history (None: not logged yet).
    entry: int | None = None
