"""The values that the journal of a pair takes and returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from smtd.merge.reasons import Reason
from smtd.merge.sides import Both, Side
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record


@dataclass(frozen=True, slots=True)
class Agreement:
    """A key on which both sides agree: their digests, and the record (*encoded*: the same, if known)."""

    key: Key
    digests: Both[Digest]
    record: Record
    encoded: bytes | None = None


@dataclass(frozen=True, slots=True)
class Landed:
    """A write that another program may undo unseen; see `merge.lost_updates.LoggedWrite`.

    *record* is what was written, if that is not what both sides have in common now. *due* is when to read the
    record again, in seconds since 1970. A write that *begins* a record cannot be undone unseen: it is not
    logged, and earlier writes under its key are dropped.
    """

    key: Key
    side: Side
    before: Digest | None
    after: Digest | None
    rebased: bool = False
    record: Record | None = None
    seen: bool = True
    due: float | None = None
    begins: bool = False


class Rotation(NamedTuple):
    """How far the verification of a side has come: the last key read, and when (seconds since 1970)."""

    after: Key | None
    at: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record with *digest* that *side* refused *attempts* times; smtd retries the write at *until*.

    The digest of a deletion is empty. *pause*: the seconds before the first retry.
    """

    key: Key
    side: Side
    digest: Digest
    attempts: int
    until: float  # seconds since 1970
    reason: Reason
    pause: float = 60.0
