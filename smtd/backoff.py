"""How long to wait before the next try: longer each time, and random, so that clients do not act in step."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from math import isfinite

#: The longest Retry-After that smtd follows, in seconds: more is a mistake, and would stop a daemon for good.
LONGEST_ASKED = 86_400.0


def pauses(first: float, longest: float) -> Iterator[float]:
    """Yield seconds without end: each at random between *first* and three times the previous one.

    So clients that wait for one server do not come back all at once. None is above *longest*.
    """
    pause = first
    while True:
        pause = min(longest, random.uniform(first, pause * 3))
        yield pause


def retry_after(header: str | None) -> float | None:
    """Return the seconds in a Retry-After, given as seconds or as a date; None if it has neither.

    More than a day counts as a day.
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            moment = parsedate_to_datetime(header)
            seconds = (moment - datetime.now(timezone.utc)).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(max(0.0, seconds), LONGEST_ASKED) if isfinite(seconds) else None
