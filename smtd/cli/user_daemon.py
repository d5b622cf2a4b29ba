"""The daemon of this user: whether it answers, what commands ask it, and how they let it sync a pair."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from smtd.cli.socket_path import socket_path
from smtd.control.client import Result, result
from smtd.engine.report import Progress
from smtd.errors import DaemonNotRunning, SmtdError, UsageError
from smtd.merge.sides import Both
from smtd.stores.location import Location

#: Seconds for the daemon to answer what needs no store.
PATIENCE = 20.0


def is_running() -> bool:
    """Say whether a daemon of this user answers. Blocks."""
    return request_if_running("status") is not None


def request(verb: str, show: Progress | None = None, **more: Any) -> Result:
    """Return the result of *verb*; with *show*, which gets the progress, it may take any time. Blocks.

    Raises DaemonNotRunning, UsageError if this user has no place for a socket, and what the daemon answers.
    """

    def progressed(pairs: list[Result]) -> None:
        for pair in pairs:
            if show is not None:
                show(pair["state"], pair["total"] - (pair["pending"] or 0), pair["total"])

    return result(socket_path(None), {"verb": verb, **more}, PATIENCE if show is None else None, progressed)


def request_if_running(verb: str, **more: Any) -> Result | None:
    """Return the result of *verb* (None: no daemon of this user answers). Blocks."""
    try:
        return request(verb, **more)
    except (DaemonNotRunning, UsageError):  # UsageError: this user has no place for a socket
        return None


def sync(
    locations: Both[Location],
    state: Path,
    projects: Collection[str] | None,
    *,
    everything: bool,
    dry_run: bool,
    include_unfinished: bool,
    progress: Progress,
) -> Result | None:
    """Have the daemon run a cycle of its pair of the stores at *locations*; None if it has no such pair.

    The pair must sync exactly *projects*, if any are named, and all projects if *everything* is set. A daemon
    with another state directory than *state* does not have the baselines of here. Blocks. Raises what the
    cycle raised.
    """
    words = [locations.left.identity, locations.right.identity]
    found = request_if_running("pair of", stores=words, state=str(state.absolute()))
    if found is None or found["pair"] is None or (everything and found["projects"] is not None):
        return None
    if projects is not None and sorted(projects) != found["projects"]:
        return None
    return cycle(
        "sync plan" if dry_run else "sync now",
        progress,
        pairs=[found["pair"]],
        include_unfinished=include_unfinished,
        progress=True,
        mirrored=found["swapped"],
    )


def cycle(verb: str, show: Progress, **more: Any) -> Result:
    """Return the report of the one pair whose cycle *verb* runs. Blocks. Raises what the cycle raised."""
    answer = request(verb, show, **more)
    for each in answer["errors"]:
        error = SmtdError(each["error"])
        error.exit_code = int(each["code"])
        raise error
    report: Result = answer["pairs"][0]
    return report
