"""When the next slice of a scrub is due."""

from __future__ import annotations

import pytest

from smtd.engine.scrub.pace import MOST, SMALLEST, advanced, next_slice, slice_size
from smtd.journal.scrub_log import ScrubProgress
from tests.build import key

BEGAN, WEEK = 1_000_000.0, 7 * 86_400.0


@pytest.mark.parametrize("total", [1, 49, 50, 51, 1000, 1001, 123_456])
def test_every_record_is_proven_within_the_time(total: int) -> None:
    """Slices follow each other evenly, and the last is due when the time is over."""
    now, dues = ScrubProgress(BEGAN), []
    while now.counted < total:
        dues.append(next_slice(now, total, WEEK))
        now = now._replace(counted=now.counted + min(slice_size(total), total - now.counted))

    gaps = [later - earlier for earlier, later in zip([BEGAN, *dues], dues, strict=False)]
    assert dues[-1] == pytest.approx(BEGAN + WEEK)
    assert max(gaps) == pytest.approx(min(gaps))
    assert len(dues) <= MOST
    assert slice_size(total) >= SMALLEST


def test_nothing_is_due_where_nothing_is_to_be_proven() -> None:
    """No records, or no time in which."""
    assert next_slice(ScrubProgress(BEGAN), 0, WEEK) == float("inf")
    assert next_slice(ScrubProgress(BEGAN), 1000, 0.0) == float("inf")


def test_round_of_which_records_were_deleted_is_not_due_later_than_its_end() -> None:
    """However many were counted before."""
    assert next_slice(ScrubProgress(BEGAN, key("z"), 5000), 10, WEEK) == BEGAN + WEEK


def test_round_goes_on_after_its_last_key_and_a_new_one_follows_its_end() -> None:
    """A slice that is not full is the last one."""
    first = advanced(ScrubProgress(BEGAN), [key("a"), key("b")], 2, BEGAN + 5)
    last = advanced(first, [key("c")], 2, BEGAN + 9)

    assert first == ScrubProgress(BEGAN, key("b"), 2, None)
    assert last == ScrubProgress(BEGAN + 9, None, 0, BEGAN)
