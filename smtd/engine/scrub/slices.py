"""Decide which records a scrub compares next, and when, so that all are within the configured time. Pure."""

from __future__ import annotations

from smtd.journal.scrub_log import ScrubProgress
from smtd.records.record import Key

#: Fewest records of a slice, and most slices of a round: each slice reads a shelf whole.
SMALLEST, MOST = 50, 100


def slice_size(total: int) -> int:
    """Return how many of *total* records one slice has."""
    return max(SMALLEST, -(-total // MOST))


def next_slice(now: ScrubProgress, total: int, within: float) -> float:
    """Return when the next slice is due, in seconds since 1970 (infinite: there is nothing to verify).

    Slices are spread evenly over *within* seconds, each at the end of its share: what just became a baseline
    was just read.
    """
    if not total or not within:
        return float("inf")
    slices = -(-total // slice_size(total))
    return now.began + within * min(1.0, (now.counted // slice_size(total) + 1) / slices)


def advanced(now: ScrubProgress, verified: list[Key], count: int, moment: float) -> ScrubProgress:
    """Return the progress after the keys *verified*; a new round begins if they are fewer than *count*."""
    if len(verified) < count:
        return ScrubProgress(moment, before=now.began)
    return now._replace(after=verified[-1], counted=now.counted + len(verified))
