"""The daemon: whether one answers, how it starts as a service of systemd, and what it is asked."""

from __future__ import annotations

import subprocess
import time
from typing import Any

from smtd.cli.delegate import ask_daemon
from smtd.cli.socket_path import socket_path
from smtd.engine.report import Progress
from smtd.errors import DaemonNotRunning, UsageError

#: The unit of a user's daemon.
UNIT = "smtd.service"
#: Seconds for systemd to answer, and for a daemon that it started to answer.
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


def start() -> bool:
    """Start the daemon as a service of this user's systemd, now and at each login, if its unit is installed.

    Say whether it answers now. Blocks.
    """
    if not _systemctl("cat", UNIT) or not _systemctl("enable", "--now", UNIT):
        return False
    deadline = time.monotonic() + PATIENCE
    while not is_running():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _systemctl(*words: str) -> bool:
    try:
        done = subprocess.run(
            ["systemctl", "--user", "--quiet", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
