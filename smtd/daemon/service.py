"""Run one daemon for a state directory, from its start to its end."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio

from smtd import denied, regular
from smtd.daemon.daemon import Daemon, Dependencies
from smtd.daemon.pair_verbs import Verbs
from smtd.errors import DaemonRuns, SmtdError, UsageError
from smtd.journal.journal import open_journal


async def run(dependencies: Dependencies) -> None:
    """Run the daemon until it is stopped by a signal or by the control socket.

    Raises DaemonRuns if another daemon has the state directory or the socket, ConfigError for a
    configuration with mistakes.
    """
    async with open_journal(dependencies.state) as journal:
        with _alone(dependencies.state / "daemon.lock"):
            errors: list[SmtdError] = []
            async with anyio.create_task_group() as group:
                daemon = Daemon(dependencies, journal, group)
                try:
                    await daemon.serve(Verbs(daemon))
                except SmtdError as exc:
                    errors.append(exc)  # the group would raise it in an ExceptionGroup
                group.cancel_scope.cancel()
            for error in errors:
                raise error


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock of the state directory, which the kernel releases with the process."""
    try:
        handle = regular.lock(path)
    except OSError as exc:
        raise UsageError(f"the state directory {path.parent} cannot be used: {denied.why(exc)}") from exc
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DaemonRuns(f"another smtd uses the state directory {path.parent}; stop it first") from None
        yield
    finally:
        os.close(handle)
