"""Find out from Linux's /proc whether a process has a file open, if this user may see its open files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

PROCESSES = Path("/proc")


def is_supported() -> bool:
    """Say whether this machine shows which programs have a file open."""
    return (PROCESSES / "self" / "fd").is_dir()


def is_open_elsewhere(file: os.stat_result) -> bool:
    """Say whether another process has *file* open, under whatever name. Blocks for milliseconds."""
    return any(os.path.samestat(found, file) for found in _open_elsewhere())


def _open_elsewhere() -> Iterator[os.stat_result]:
    """Yield every open file of other processes; a process that ends has no file open any more."""
    for process in PROCESSES.iterdir():
        if not process.name.isdigit() or process.name == str(os.getpid()):
            continue
        try:
            opened = list((process / "fd").iterdir())
        except OSError:
            continue
        for each in opened:
            try:
                yield each.stat()
            except OSError:
                continue
