"""Where the directories of tests are: in memory if there is plenty of it."""

from __future__ import annotations

import os
from pathlib import Path

MEMORY = Path("/dev/shm")
#: Bytes that must be free there; a run needs a tenth of it.
PLENTY = 2**30


def in_memory() -> bool:
    """Say whether a file system in memory has room for a run, and runs the programs that tests write."""
    try:
        found = os.statvfs(MEMORY)
    except OSError:
        return False
    runs = not found.f_flag & os.ST_NOEXEC
    return runs and os.access(MEMORY, os.W_OK | os.X_OK) and found.f_bavail * found.f_frsize >= PLENTY


def choose() -> None:
    """Let pytest make its directories in memory if there is room, unless somebody has chosen a place."""
    if in_memory():
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
