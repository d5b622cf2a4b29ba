"""Where the directories of tests are: in memory if there is enough of it."""

from __future__ import annotations

import os
from pathlib import Path

MEMORY = Path("/dev/shm")
#: Bytes that must be free there; a run needs a tenth of that.
PLENTY = 2**30


def in_memory() -> bool:
    """Say whether a file system in memory has space for a run, and permits programs to run."""
    try:
        found = os.statvfs(MEMORY)
    except OSError:
        return False
    runs = not found.f_flag & os.ST_NOEXEC
    return runs and os.access(MEMORY, os.W_OK | os.X_OK) and found.f_bavail * found.f_frsize >= PLENTY


def choose() -> None:
    """Have pytest create its directories in memory if there is space, unless the user has chosen a place."""
    if in_memory():
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
