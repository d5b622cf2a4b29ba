"""The memory that the C library holds for this process."""

from __future__ import annotations

import ctypes
from contextlib import suppress

#: What mallopt(3) calls the number of arenas, and how many there may be.
_ARENA_MAX, ARENAS = -8, 2


def limit_arenas() -> None:
    """Have all threads take memory from few arenas, where the C library has them; call it before they start.

    glibc has up to eight arenas for each processor, and gives back little of what is free in each. Of a
    daemon with twenty pairs that was a twentieth of its memory (measured). Python's own lock lets hardly two
    threads allocate at once.
    """
    with suppress(OSError, AttributeError):  # another C library, which does as it likes
        ctypes.CDLL(None).mallopt(_ARENA_MAX, ARENAS)


def trim() -> None:
    """Give back to the system what is free of it, where the C library can. Blocks for some milliseconds.

    glibc keeps what is free between other things: a tenth of what a daemon has that has gone through 100,000
    records (measured).
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
