"""What a PUT changes of a record that is there."""

from __future__ import annotations

import pytest

from smtd.records.record import FIELDS, Record
from smtd.server.record_update import Annotations, updated
from tests.build import RUNNING, change, full, record
from tests.stores.samples import OTHER

#: What people edit, and where data lie.
EDITED = {"reason", "outcome", "tags", "datastore", "input_datastore"}


def changed(before: Record, after: Record) -> set[str]:
    """Return the fields that differ, to the letter."""
    return {name for name in FIELDS if getattr(before, name) != getattr(after, name)}


@pytest.mark.parametrize("field", sorted(OTHER.keys() - {"label"}))
def test_finished_record_accepts_only_edits(field: str) -> None:
    """A client alters what it reads from elsewhere; that must not be stored."""
    stored = full()

    after = updated(stored, change(stored, **{field: OTHER[field]}))

    assert changed(stored, after) == ({field} & EDITED)


@pytest.mark.parametrize("field", sorted(OTHER.keys() - {"label", "tags", "duration"}))
def test_running_record_is_replaced(field: str) -> None:
    """Each save of a run says all that is known by then."""
    stored = full(tags=RUNNING, duration=None)

    after = updated(stored, change(stored, **{field: OTHER[field]}))

    assert changed(stored, after) == {field}


def test_equal_value_keeps_its_stored_form() -> None:
    """A client that cuts microseconds changes nothing."""
    stored = full()
    cut = change(stored, timestamp=stored.timestamp.replace(microsecond=0))

    assert updated(stored, cut) is stored
    assert updated(stored, change(cut, outcome="new")).timestamp == stored.timestamp
    running = change(stored, tags=RUNNING, duration=None)
    assert (
        updated(running, change(cut, tags=RUNNING, duration=None, diff="more")).timestamp == stored.timestamp
    )


def test_annotations_alone() -> None:
    """What a body does not say stays."""
    stored = record(outcome="before", reason="because")

    assert updated(stored, Annotations(outcome="after")) == change(stored, outcome="after")
    assert updated(stored, Annotations(tags=frozenset(("x",)))) == change(stored, tags=frozenset(("x",)))
    assert updated(stored, Annotations()) is stored
    assert updated(stored, Annotations(outcome="")) == change(stored, outcome="")
