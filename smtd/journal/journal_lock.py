"""The lock on the journal of a state directory: only its sole user may check for damage and move the file."""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio import to_thread

from smtd import denied, regular
from smtd.errors import JournalError

#: Seconds to wait for a process that opens the journal: it may read a large one whole from a slow disk.
PATIENCE = 120.0


class Use:
    """A lock on the journal that the kernel releases with the process; *alone*: the lock is exclusive."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self.alone = False

    def take(self) -> bool:
        """Take the lock, exclusively if possible; say whether it was taken."""
        self.alone = self._lock(fcntl.LOCK_EX)
        return self.alone or self._lock(fcntl.LOCK_SH)

    async def share(self) -> None:
        """Turn the exclusive lock into a shared one."""
        await to_thread.run_sync(fcntl.flock, self._handle, fcntl.LOCK_SH)
        self.alone = False

    def is_last(self) -> bool:
        """Say whether no other process uses the journal; if so, none can until this use ends."""
        return self._lock(fcntl.LOCK_EX)

    def _lock(self, kind: int) -> bool:
        try:
            fcntl.flock(self._handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@asynccontextmanager
async def using(directory: Path) -> AsyncIterator[Use]:
    """Yield the lock on the journal in *directory*; with an exclusive one, other processes wait for `share`.

    Raises JournalError if another process keeps an exclusive lock for more than PATIENCE seconds, or the
    directory cannot be used.
    """
    try:
        handle = await to_thread.run_sync(regular.lock, directory / "journal.lock")
    except OSError as exc:
        raise JournalError(f"the state directory {directory} cannot be used: {denied.why(exc)}") from exc
    try:
        use, deadline = Use(handle), anyio.current_time() + PATIENCE
        while not use.take():
            if anyio.current_time() > deadline:
                raise JournalError(
                    f"another smtd is opening the journal in {directory}; wait until it has finished"
                )
            await anyio.sleep(0.02)
        yield use
    finally:
        os.close(handle)
