"""When to read again what smtd wrote to a store in which programs save single records.

Such a program, another smtd among them, reads a record and saves it a moment later: what smtd wrote in
between is lost. So smtd looks soon after each write, and a while later, as a cache or a replica may show
for some time what was there before. The moments are drawn, so that two smtd do not undo each other in step.
"""

from __future__ import annotations

import random

#: Seconds after a write at which it is looked at again, more or less.
LOOKS = (4.0, 25.0, 120.0)
_SPREAD = 0.25


def first(now: float) -> float:
    """Return when a record that is written *now* is looked at again."""
    return _drawn(now, LOOKS[0])


def following(at: float, now: float) -> float | None:
    """Return when what was written *at* is looked at after the look of *now*; None: that was the last one.

    Each look is made once: the next is one whose whole span is still to come.
    """
    return next((_drawn(at, after) for after in LOOKS if at + after * (1 - _SPREAD) > now), None)


def put_off(now: float) -> float:
    """Return when to look again at what was not there at the look of *now*."""
    return _drawn(now, LOOKS[-1])


def _drawn(at: float, after: float) -> float:
    return at + after * random.uniform(1 - _SPREAD, 1 + _SPREAD)
