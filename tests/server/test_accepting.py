"""What a PUT changes of a record that is there."""

from __future__ import annotations

import pytest

from smtd.records.record import FIELDS, Record
from smtd.server.accepting import Annotations, accepted
from tests.build import RUNNING, change, full, record
from tests.stores.samples import OTHER

#: What people edit, and where data lie.
EDITED = {"reason", "outcome", "tags", "datastore", "input_datastore"}


def changed(before: Record, after: Record) -> set[str]:
    """Return the fields that differ, to the letter."""
    return {name for name in FIELDS if getattr(before, name) != getattr(after, name)}


@pytest.mark.parametrize("field", sorted(OTHER.keys() - {"label"}))
def test_final_record_takes_edits_and_nothing_else(field: str) -> None:
    """A client alters what it reads from elsewhere; that must not be stored."""
    held = full()

    after = accepted(held, change(held, **{field: OTHER[field]}))

    assert changed(held, after) == ({field} & EDITED)


@pytest.mark.parametrize("field", sorted(OTHER.keys() - {"label", "tags", "duration"}))
def test_running_record_is_replaced(field: str) -> None:
    """Each save of a run says all that is known by then."""
    held = full(tags=RUNNING, duration=None)

    after = accepted(held, change(held, **{field: OTHER[field]}))

    assert changed(held, after) == {field}


def test_what_says_the_same_keeps_its_bytes() -> None:
    """A client that cuts microseconds changes nothing."""
    held = full()
    cut = change(held, timestamp=held.timestamp.replace(microsecond=0))

    assert accepted(held, cut) is held
    assert accepted(held, change(cut, outcome="new")).timestamp == held.timestamp
    running = change(held, tags=RUNNING, duration=None)
    assert (
        accepted(running, change(cut, tags=RUNNING, duration=None, diff="more")).timestamp == held.timestamp
    )


def test_annotations_alone() -> None:
    """What a body does not say stays."""
    held = record(outcome="before", reason="because")

    assert accepted(held, Annotations(outcome="after")) == change(held, outcome="after")
    assert accepted(held, Annotations(tags=frozenset(("x",)))) == change(held, tags=frozenset(("x",)))
    assert accepted(held, Annotations()) is held
    assert accepted(held, Annotations(outcome="")) == change(held, outcome="")
