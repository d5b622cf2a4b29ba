"""Let a running daemon sync a pair, if it has that pair."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from smtd.cli.socket_path import socket_path
from smtd.control.client import ask
from smtd.engine.report import Progress
from smtd.errors import DaemonNotRunning, SmtdError, UsageError
from smtd.merge.sides import Both
from smtd.output.shapes import Shape
from smtd.stores.location import Location

#: The most seconds for a daemon to answer whether it has a pair.
PATIENCE = 10.0


def sync(
    locations: Both[Location],
    state: Path,
    projects: Collection[str] | None,
    *,
    everything: bool,
    dry_run: bool,
    include_unfinished: bool,
    progress: Progress,
) -> Shape | None:
    """Have the daemon run a cycle of its pair of the stores at *locations*; None if it has no such pair.

    The pair must sync exactly *projects*, if any are named, and all projects if *everything* is set. A daemon
    with another state directory than *state* does not know what was agreed on here. Blocks. Raises what the
    cycle raised.
    """
    words = [locations.left.identity, locations.right.identity]
    try:
        socket = socket_path(None)
        found = ask_daemon(socket, PATIENCE, verb="pair of", stores=words, state=str(state.absolute()))
    except (DaemonNotRunning, UsageError):  # UsageError: this user has no place for a socket
        return None
    if found["pair"] is None or (everything and found["projects"] is not None):
        return None
    if projects is not None and sorted(projects) != found["projects"]:
        return None
    answer = ask_daemon(
        socket,
        None,
        progress,
        verb="sync plan" if dry_run else "sync now",
        pairs=[found["pair"]],
        include_unfinished=include_unfinished,
        progress=True,
        mirrored=found["swapped"],
    )
    for error in answer["errors"]:
        raise _error(error)
    report: Shape = answer["pairs"][0]
    return report


def ask_daemon(
    socket: str, patience: float | None, show: Progress | None = None, **request: Any
) -> dict[str, Any]:
    """Return the result of *request*; *show* gets the progress. Blocks. Raises what the daemon answers.

    *patience*: seconds to wait for an answer (None: no limit).
    """
    for answer in ask(socket, request, patience):
        if not answer.get("ok"):
            raise _error(answer)
        result: dict[str, Any] = answer["result"]
        if "progress" not in result:
            return result
        for pair in result["progress"]:
            if show is not None:
                show(pair["state"], pair["total"] - (pair["pending"] or 0), pair["total"])
    raise DaemonNotRunning("the daemon stopped before the cycle was complete; sync again")


def _error(answer: dict[str, Any]) -> SmtdError:
    error = SmtdError(answer["error"])
    error.exit_code = int(answer["code"])
    return error
