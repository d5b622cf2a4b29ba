"""Holds: actions that wait for a user or for time, as a report lists them."""

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
    """Hold a key in the state that an undo left, until a user decides."""
    return Held(*key, Hold.UNDONE, why)


def closed(key: Key, side: Side) -> Held:
    """Hold a user's decision that would write to *side*, the source of a one-way pair."""
    return Held(*key, Hold.DECIDED, because(Code.SOURCE_OF_ONE_WAY, side))


def running(key: Key, until: datetime | None) -> Held:
    """Hold a record whose run is not over; *until*: when smtd takes the run to have been killed."""
    end = None if until is None else until.isoformat(timespec="seconds")
    return Held(*key, Hold.RUNNING, because(Code.RUNNING), end)


def lost_write(key: Key, code: Code, side: Side) -> Held:
    """Hold a key whose last write by smtd was undone on *side* by another program."""
    return Held(*key, Hold.LOST_WRITE, because(code, side))


def lost_data(key: Key) -> Held:
    """Hold a record that lost data through Sumatra, because a one-way pair cannot restore the data."""
    return Held(*key, Hold.LOST_DATA, because(Code.DATA_TAKEN_AWAY))
