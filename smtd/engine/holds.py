"""What waits for a person or for time, as a report has it."""

from __future__ import annotations

from datetime import datetime

from smtd.engine.report import Held, Hold
from smtd.merge.reasons import Code, Reason, because
from smtd.merge.sides import Side
from smtd.records.record import Key


def deletion(key: Key, why: Reason) -> Held:
    """Hold a deletion; the side of *why* is the one that lacks the record."""
    return Held(*key, Hold.DELETION, why)


def undone(key: Key, why: Reason) -> Held:
    """Hold what an undo has left, until a person says more."""
    return Held(*key, Hold.UNDONE, why)


def closed(key: Key, side: Side) -> Held:
    """Hold what a person decided, which would write to *side*, the source of a one-way pair."""
    return Held(*key, Hold.DECIDED, because(Code.SOURCE_OF_ONE_WAY, side))


def running(key: Key, until: datetime | None) -> Held:
    """Hold a record whose run is not over; *until*: when it is taken to have been killed."""
    end = None if until is None else until.isoformat(timespec="seconds")
    return Held(*key, Hold.RUNNING, because(Code.RUNNING), end)


def lost_write(key: Key, code: Code, side: Side) -> Held:
    """Hold a key whose last write by smtd was undone on *side* by another program."""
    return Held(*key, Hold.LOST_WRITE, because(code, side))


def lost_data(key: Key) -> Held:
    """Hold a record of which Sumatra took data away, where a one-way pair cannot give it back."""
    return Held(*key, Hold.LOST_DATA, because(Code.DATA_TAKEN_AWAY))
