"""How Python's collector of cycles treats a process that remembers many records."""

from __future__ import annotations

import gc

#: Allocations, and collections of each generation, before the next one.
THRESHOLDS = (100_000, 20, 100)


def ease() -> None:
    """Let the collector look more rarely at what is remembered.

    Records, keys and digests refer to each other in no cycle. As Python comes, it goes through all of them
    whenever a few thousand more are made: a third of a first sync of 100,000 (measured).
    """
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
