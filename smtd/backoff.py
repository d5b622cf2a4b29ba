"""How long to wait before the next try: longer each time, and never in step with others."""

from __future__ import annotations

import random
from collections.abc import Iterator


def pauses(first: float, longest: float) -> Iterator[float]:
    """Yield seconds without end: each at random between *first* and three times the one before.

    So many who wait for one server do not come back all at once. None is above *longest*.
    """
    pause = first
    while True:
        pause = min(longest, random.uniform(first, pause * 3))
        yield pause
