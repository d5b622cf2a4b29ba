"""The daemon: whether one answers, how it starts as a service of systemd, and what it is asked."""

from __future__ import annotations

import subprocess
import time
from typing import Any

from smtd.cli.socket_path import socket_path
from smtd.control.client import ask
from smtd.engine.report import Progress
from smtd.errors import DaemonNotRunning, SmtdError, UsageError

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
    """Return the result of *verb*; *show* gets the progress. Blocks. Raises what the daemon answers."""
    patience = PATIENCE if show is None else None
    for answer in ask(socket_path(None), {"verb": verb, **more}, patience):
        if not answer.get("ok"):
            error = SmtdError(answer.get("error", "the daemon gave no reason; see its log"))
            error.exit_code = int(answer.get("code", 1))
            raise error
        result: dict[str, Any] = answer["result"]
        if "progress" not in result:
            return result
        for pair in result["progress"]:
            if show is not None:
                show(pair["state"], pair["total"] - (pair["pending"] or 0), pair["total"])
    raise DaemonNotRunning("the daemon stopped without an answer; see its log")


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
