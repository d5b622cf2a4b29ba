"""A pair that a running daemon holds is synced by the daemon."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from smtd.cli.socket_path import socket_path
from smtd.control.client import ask
from smtd.engine.report import Progress
from smtd.errors import NoDaemon, SmtdError, UsageError
from smtd.merge.sides import Both
from smtd.output.shapes import Shape
from smtd.stores.location import Location

#: Seconds in which a daemon tells whether it holds a pair.
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
    """Have the daemon run a cycle of its pair of the stores at *locations*; None if it holds no such pair.

    The pair must keep just *projects*, if any are named, and *everything* if that is asked for. A daemon with
    another state directory than *state* knows nothing of what was agreed here. Blocks. Raises what the cycle
    raised.
    """
    words = [locations.left.identity, locations.right.identity]
    try:
        socket = socket_path(None)
        found = _ask_daemon(socket, PATIENCE, verb="pair of", stores=words, state=str(state.absolute()))
    except (NoDaemon, UsageError):  # nor a place for one
        return None
    if found["pair"] is None or (everything and found["projects"] is not None):
        return None
    if projects is not None and sorted(projects) != found["projects"]:
        return None
    answer = _ask_daemon(
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


def _ask_daemon(
    socket: str, patience: float | None, show: Progress | None = None, **request: Any
) -> dict[str, Any]:
    for answer in ask(socket, request, patience):
        if not answer.get("ok"):
            raise _error(answer)
        result: dict[str, Any] = answer["result"]
        if "progress" not in result:
            return result
        for pair in result["progress"]:
            if show is not None:
                show(pair["state"], pair["total"] - (pair["pending"] or 0), pair["total"])
    raise NoDaemon("the daemon stopped before the cycle was complete; sync again")


def _error(answer: dict[str, Any]) -> SmtdError:
    error = SmtdError(answer["error"])
    error.exit_code = int(answer["code"])
    return error
