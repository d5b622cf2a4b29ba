"""The files of an SQLite database, without opening it: checked, made durable, asked whether they changed."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from smtd import durable, regular


def check(path: Path) -> None:
    """Raise NotRegular if the file at *path*, or one that SQLite keeps beside it, is not a regular file."""
    regular.check(_with_companions(path))


@lru_cache(maxsize=256)
def _with_companions(path: Path) -> tuple[Path, ...]:
    """Return *path* and the files that SQLite keeps beside it."""
    return (path, *(Path(f"{path}{ending}") for ending in ("-wal", "-journal", "-shm")))


def flush(path: Path) -> None:
    """Make durable what is committed to the database at *path*, which this process has open. Blocks.

    That includes the removal of a rollback journal: if it came back after a power cut, it would undo the
    commit.
    """
    durable.sync_open(path)
    durable.sync(Path(f"{path}{ending}") for ending in ("-journal", "-wal"))


def commits(path: Path) -> int | None:
    """Return how many transactions have changed the database at *path*, which this process has open. Blocks.

    None: unknown, as in write-ahead mode, where SQLite's counter stands still.
    """
    for handle in durable.own_handles(path):
        with suppress(OSError):
            head = os.pread(handle, 28, 0)
            if head[:16] == _MAGIC and head[18] == _ROLLBACK:
                return int.from_bytes(head[24:], "big")
    return None


#: The first bytes of a database, and the value in its header for a rollback journal (2: write-ahead log).
_MAGIC, _ROLLBACK = b"SQLite format 3\0", 1
