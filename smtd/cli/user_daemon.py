"""The daemon of this user: whether it answers, and what it is asked."""

from __future__ import annotations

from typing import Any

from smtd.cli.delegate import ask_daemon
from smtd.cli.socket_path import socket_path
from smtd.engine.report import Progress
from smtd.errors import DaemonNotRunning, UsageError

#: Seconds for the daemon to answer.
PATIENCE = 20.0


def is_running() -> bool:
    """Say whether a daemon of this user answers. Blocks."""
    try:
        request("status")
    except (DaemonNotRunning, UsageError):  # UsageError: this user has no place for a socket
        return False
    return True


def request(verb: str, show: Progress | None = None, **more: Any) -> dict[str, Any]:
    """Return the result of *verb*, as `delegate.ask_daemon` does; with *show* it may take any time."""
    return ask_daemon(socket_path(None), PATIENCE if show is None else None, show, verb=verb, **more)
