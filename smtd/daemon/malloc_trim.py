"""The memory that the C library holds for this process."""

from __future__ import annotations

import ctypes


def trim() -> None:
    """Give back to the system what is free of it, where the C library can. Blocks for some milliseconds.

    glibc keeps what is free between other things: a tenth of what a daemon has that has gone through 100,000
    records (measured).
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        return  # another C library, which does as it likes
