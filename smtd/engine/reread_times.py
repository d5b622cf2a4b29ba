"""When to read again what smtd wrote to a store in which programs save single records.

Such a program (another smtd is one) reads a record and saves it a moment later: what smtd wrote in between is
lost. So smtd reads the record soon after each write, and again later, as a cache or a replica may show the
old state for some time. The times are random, so that two smtd do not undo each other in step.
"""

from __future__ import annotations

import random

#: Seconds after a write at which smtd reads the record again, give or take `_SPREAD`.
DELAYS = (4.0, 25.0, 120.0)
_SPREAD = 0.25


def first(now: float) -> float:
    """Return when to read a record again that is written *now*."""
    return _drawn(now, DELAYS[0])


def following(at: float, now: float) -> float | None:
    """Return when to read a record next that was written *at* and read *now* (None: that was the last read).

    Each of `DELAYS` counts once: the next is the first whose whole span is still to come.
    """
    return next((_drawn(at, after) for after in DELAYS if at + after * (1 - _SPREAD) > now), None)


def put_off(now: float) -> float:
    """Return when to read a record again that did not show the write in the read of *now*."""
    return _drawn(now, DELAYS[-1])


def _drawn(at: float, after: float) -> float:
    return at + after * random.uniform(1 - _SPREAD, 1 + _SPREAD)
