"""The memory that the C library holds for this process."""

from __future__ import annotations

import ctypes
from contextlib import suppress

#: The option of mallopt(3) for the number of arenas, and the number to allow.
_ARENA_MAX, ARENAS = -8, 2


def limit_arenas() -> None:
    """Limit the arenas from which threads allocate, if the C library has any; call it before threads start.

    glibc has up to eight arenas for each processor, and returns little of the free memory in each. With
    twenty pairs that was a twentieth of the daemon's memory (measured). Two threads hardly ever allocate at
    once, because of Python's own lock.
    """
    with suppress(OSError, AttributeError):  # another C library, without arenas
        ctypes.CDLL(None).mallopt(_ARENA_MAX, ARENAS)


def trim() -> None:
    """Return free memory to the system, if the C library can. Blocks for some milliseconds.

    glibc keeps free memory between used pieces: a tenth of the memory of a daemon that has processed 100,000
    records (measured).
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
