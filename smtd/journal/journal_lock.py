"""Locks that the kernel releases with the process: on a journal, and on each pair in it."""

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


class Lock:
    """A lock that this process holds; *alone*: it is exclusive."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self.alone = False

    def take(self, *, shared: bool) -> bool:
        """Take the lock, exclusively if possible, else *shared* if that will do; say whether it was taken."""
        self.alone = self._lock(fcntl.LOCK_EX)
        return self.alone or (shared and self._lock(fcntl.LOCK_SH))

    async def share(self) -> None:
        """Turn the exclusive lock into a shared one."""
        await to_thread.run_sync(fcntl.flock, self._handle, fcntl.LOCK_SH)
        self.alone = False

    def is_last(self) -> bool:
        """Say whether no other process has the lock; if so, none can have it until this one releases it."""
        return self._lock(fcntl.LOCK_EX)

    def _lock(self, kind: int) -> bool:
        try:
            fcntl.flock(self._handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@asynccontextmanager
async def locked(path: Path, doing: str, patience: float, *, shared: bool = False) -> AsyncIterator[Lock]:
    """Yield the lock of the file *path*; see `Lock.take` for *shared*.

    Raises JournalError if another process, which is then *doing* something, keeps the lock for more than
    *patience* seconds, or if the directory cannot be used.
    """
    try:
        handle = await to_thread.run_sync(regular.lock, path)
    except OSError as exc:
        raise JournalError(f"the state directory {path.parent} cannot be used: {denied.why(exc)}") from exc
    try:
        lock, deadline = Lock(handle), anyio.current_time() + patience
        while not lock.take(shared=shared):
            if anyio.current_time() > deadline:
                raise JournalError(f"another smtd is {doing}; wait until it has finished")
            await anyio.sleep(0.02)
        yield lock
    finally:
        os.close(handle)
