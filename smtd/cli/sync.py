"""`smtd sync`: one cycle of one pair, without a daemon."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio

from smtd import pairing
from smtd.cli import gc_tuning, show, user_daemon
from smtd.cli.list_records import unknown_projects
from smtd.cli.login import with_typed_login
from smtd.cli.say import complain, say_json
from smtd.cli.state import configuration, state_directory
from smtd.cli.stores import located
from smtd.config import Config
from smtd.engine.pair import Policy
from smtd.engine.report import PairReport, Progress
from smtd.errors import UsageError
from smtd.journal.journal import open_journal
from smtd.merge.decide import Conflicts, Mode
from smtd.merge.sides import SIDES, Both
from smtd.output import shapes
from smtd.output.shapes import Shape
from smtd.stores.location import Location
from smtd.text import encodable


@dataclass(frozen=True, slots=True)
class Request:
    """The arguments of the command line."""

    left: str
    right: str | None = None
    projects: tuple[str, ...] = ()
    mode: str = "two-way"
    deletes: str = "propagate"
    conflicts: str = "ask"
    unfinished: str = "hold"
    verify: bool = False
    dry_run: bool = False
    timezone: str | None = None
    state: Path | None = None
    config: Path | None = None
    no_input: bool = False


def run(request: Request, *, as_json: bool) -> int:
    """Sync, print the result, and return the exit code."""
    began = time.monotonic()
    gc_tuning.tune()
    config = configuration(request.config)
    locations = _locations(request, config)
    directory = state_directory(request.state, config)
    with show.progress(quiet=as_json) as progress:
        report = _by_daemon(request, locations, directory, progress)
        by_daemon = report is not None
        if report is None:
            report = shapes.pair(anyio.run(partial(sync, request, locations, directory, progress)))
    if by_daemon and not as_json:
        did = "planned this" if request.dry_run else "ran the cycle"
        complain(f"smtd: the running daemon syncs this pair ({report['pair']}); it {did}")
    seconds = time.monotonic() - began
    if as_json:
        say_json(shapes.sync(seconds, [report]))
    else:
        show.report(report, seconds, dry_run=request.dry_run)
    return 0 if report["ok"] else 1


def _by_daemon(
    request: Request, locations: Both[Location], directory: Path, progress: Progress
) -> Shape | None:
    """Have a daemon that has the pair run the cycle, unless *request* has options that it does not know."""
    wanted = (request.mode, request.deletes, request.conflicts, request.verify)
    if wanted != ("two-way", "propagate", "ask", False) or request.timezone:
        return None
    return user_daemon.sync(
        locations,
        directory,
        _projects(request, locations),
        everything=pairing.ALL in request.projects,
        dry_run=request.dry_run,
        include_unfinished=request.unfinished == "mirror",
        progress=progress,
    )


async def sync(
    request: Request, locations: Both[Location], directory: Path, progress: Progress
) -> PairReport:
    """Run one cycle of the pair of the stores at *locations*, with the options of *request*."""
    policy = Policy(
        projects=_projects(request, locations),
        mode=Mode(request.mode),
        propagate_deletes=request.deletes == "propagate",
        conflicts=Conflicts(request.conflicts),
        hold_unfinished=request.unfinished == "hold",
        verify_within=0.0 if request.verify else Policy().verify_within,
    )
    async with open_journal(directory) as journal, pairing.open_stores(locations) as stores:
        run = pairing.preview if request.dry_run else pairing.sync
        name = _name(request, locations)
        report = await run(journal, name, locations, stores, policy, progress=progress)
        if request.projects and not report.in_sync:
            known = {project for side in SIDES for project in await stores[side].projects()}
            for line in unknown_projects(request.projects, known):
                complain(f"smtd: {line}")
        return report


def _locations(request: Request, config: Config) -> Both[Location]:
    may_ask = not request.no_input
    left = with_typed_login(located(request.left, config, request.timezone), may_ask=may_ask)
    right = located(request.right, config, request.timezone, may_be_new=request.right is not None)
    right = with_typed_login(right, may_ask=may_ask)
    if str(left) == str(right) or left.shares_file(right):
        raise UsageError(f"{left} is on both sides; name two different stores")
    return Both(left, right)


def _name(request: Request, locations: Both[Location]) -> str:
    """Return the names by which the user called the two sides, without the secrets of an address."""
    words = Both(request.left, request.right or ".")
    shown = [str(locations[side]) if "://" in words[side] else words[side] for side in SIDES]
    return encodable(" ".join(shown))


def _projects(request: Request, locations: Both[Location]) -> frozenset[str] | None:
    """Return the projects to sync (None: all of both stores). Raises UsageError for two directories."""
    if request.projects:
        return None if pairing.ALL in request.projects else frozenset(request.projects)
    if request.right is None and locations.right.project is not None:
        return frozenset({locations.right.project})
    return pairing.projects(locations, "with --project NAME (repeatable), or --project '*' for all")
