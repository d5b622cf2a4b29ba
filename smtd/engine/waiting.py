"""What waits for a person or for time, as a report tells it: why, and what to do."""

from __future__ import annotations

from datetime import datetime

from smtd.engine.report import Held
from smtd.merge.sides import Side
from smtd.records.record import Key


def deletion(key: Key, side: Side, why: str) -> Held:
    """Hold the deletion of a record that *side* still has."""
    what = f"deletion held: in the {side.other.value} store {why}"
    remedy = (
        f"bring the {side.other.value} store back, or delete it from the {side.value} store too, or comment"
        " on it there to keep it; to a daemon say smtd-ctl deletes approve, or reject"
    )
    return Held(*key, what, remedy, kind="deletion")


def undone(key: Key, why: str) -> Held:
    """Hold what an undo has left, until a person says more."""
    return Held(*key, why, "edit the record, or let smtd-ctl resolve take one side", kind="undone")


def closed(key: Key, side: Side) -> Held:
    """Hold what a person decided, which would write to the source of a one-way pair."""
    where = f"the {side.value} store"
    why = f"what was decided would write to {where}, which is the source of a one-way pair"
    return Held(*key, why, f"change the record in {where}, or decide otherwise", kind="decided")


def running(key: Key, until: datetime | None) -> Held:
    """Hold a record whose run is not over; *until*: when it is taken to have been killed."""
    remedy = "it is carried when its run is over; --unfinished mirror or --include-unfinished carries it now"
    end = None if until is None else until.isoformat(timespec="seconds")
    return Held(*key, "running", remedy, end, kind="running")


def vanished(key: Key, side: Side, what: str) -> Held:
    """Hold a key whose last write by smtd was undone by another program."""
    why = f"smtd's last write to the {side.value} store was {what}"
    remedy = "make the same change on the other side too, or add a record or comment there to bring it back"
    return Held(*key, why, remedy, kind="lost write")


def out_of_reach(key: Key, side: Side) -> Held:
    """Hold a key whose last write by smtd was undone by another program, where nothing is written now."""
    why = (
        f"another program undid smtd's last write to the {side.value} store, to which nothing is written now"
    )
    remedy = f"edit the record in the {side.value} store, and that travels; or sync both ways once"
    return Held(*key, why, remedy, kind="lost write")


def robbed(key: Key) -> Held:
    """Hold a record of which Sumatra took data away, where a one-way pair cannot give it back."""
    why = "Sumatra took data away from it when another record was deleted or saved"
    return Held(*key, why, "sync both ways once, and it is given back", kind="lost data")
