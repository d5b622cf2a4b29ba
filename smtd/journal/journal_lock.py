"""Who uses the journal of a state directory: only who is alone may look for damage and move the file."""

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

#: Seconds to wait for one who is opening the journal: a large one is read whole, perhaps from a slow disk.
PATIENCE = 120.0


class Use:
    """A lock on the journal that the kernel releases with the process; *alone*: nobody else has one."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self.alone = False

    def take(self) -> bool:
        """Take the lock, alone if possible; say whether it could be had."""
        self.alone = self._lock(fcntl.LOCK_EX)
        return self.alone or self._lock(fcntl.LOCK_SH)

    async def share(self) -> None:
        """Let others in."""
        await to_thread.run_sync(fcntl.flock, self._handle, fcntl.LOCK_SH)
        self.alone = False

    def is_last(self) -> bool:
        """Say whether nobody else uses the journal any more; if so, nobody can before this use ends."""
        return self._lock(fcntl.LOCK_EX)

    def _lock(self, kind: int) -> bool:
        try:
            fcntl.flock(self._handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@asynccontextmanager
async def using(directory: Path) -> AsyncIterator[Use]:
    """Give the use of the journal in *directory*; a process alone with it makes others wait until it shares.

    Raises JournalError if somebody does not share for long, or the directory cannot be used.
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
