"""When the next slice of a proof is due, so that every record is proven within the time asked for. Pure."""

from __future__ import annotations

from smtd.journal.proofs import Round
from smtd.records.record import Key

#: Records of a slice at the least, and slices of a round at the most: a shelf is read whole for each.
SMALLEST, MOST = 50, 100


def size(total: int) -> int:
    """Return how many of *total* records a slice has."""
    return max(SMALLEST, -(-total // MOST))


def due(now: Round, total: int, within: float) -> float:
    """Return when the next slice is due, in seconds since 1970; never, if there is nothing to prove.

    Slices are spread evenly over the time, each at the end of its share: what was just agreed on was just
    read.
    """
    if not total or not within:
        return float("inf")
    slices = -(-total // size(total))
    return now.began + within * min(1.0, (now.counted // size(total) + 1) / slices)


def advanced(now: Round, proven: list[Key], count: int, moment: float) -> Round:
    """Return the round after the next *count* records, or as many as there were, were *proven*."""
    if len(proven) < count:
        return Round(moment, before=now.began)
    return now._replace(after=proven[-1], counted=now.counted + len(proven))
