"""When the next slice of a scrub is due."""

from __future__ import annotations

import pytest

from smtd.engine.scrub.slices import MOST, SMALLEST, advanced, next_slice, slice_size
from smtd.journal.scrub_log import ScrubProgress
from tests.build import key

BEGAN, WEEK = 1_000_000.0, 7 * 86_400.0


@pytest.mark.parametrize("total", [1, 49, 50, 51, 1000, 1001, 123_456])
def test_every_record_is_verified_within_the_configured_time(total: int) -> None:
    """Slices follow each other evenly, and the last one is due at the end of the time."""
    now, dues = ScrubProgress(BEGAN), []
    while now.counted < total:
        dues.append(next_slice(now, total, WEEK))
        now = now._replace(counted=now.counted + min(slice_size(total), total - now.counted))

    gaps = [later - earlier for earlier, later in zip([BEGAN, *dues], dues, strict=False)]
    assert dues[-1] == pytest.approx(BEGAN + WEEK)
    assert max(gaps) == pytest.approx(min(gaps))
    assert len(dues) <= MOST
    assert slice_size(total) >= SMALLEST


def test_nothing_is_due_without_records_or_without_a_time() -> None:
    """Scrubbing is off if the time is 0."""
    assert next_slice(ScrubProgress(BEGAN), 0, WEEK) == float("inf")
    assert next_slice(ScrubProgress(BEGAN), 1000, 0.0) == float("inf")


def test_round_ends_in_time_even_if_records_were_deleted() -> None:
    """However many were counted before."""
    assert next_slice(ScrubProgress(BEGAN, key("z"), 5000), 10, WEEK) == BEGAN + WEEK


def test_slice_that_is_not_full_ends_the_round() -> None:
    """A full one is followed by the next keys."""
    first = advanced(ScrubProgress(BEGAN), [key("a"), key("b")], 2, BEGAN + 5)
    last = advanced(first, [key("c")], 2, BEGAN + 9)

    assert first == ScrubProgress(BEGAN, key("b"), 2, None)
    assert last == ScrubProgress(BEGAN + 9, None, 0, BEGAN)
