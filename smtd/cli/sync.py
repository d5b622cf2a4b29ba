"""`smtd sync`: one cycle of one pair, without a daemon."""

from __future__ import annotations

import gc
import json
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import anyio
import click
from anyio import to_thread

from smtd.cli import show
from smtd.cli.state import configuration, state_directory
from smtd.cli.stores import located
from smtd.config import Config
from smtd.engine import cycle
from smtd.engine.apply import Progress
from smtd.engine.pair import Pair, Policy
from smtd.engine.report import PairReport
from smtd.engine.report import as_json as report_json
from smtd.errors import StoreUnreachable, UsageError
from smtd.journal.journal import Journal, open_journal
from smtd.merge.decide import Mode
from smtd.merge.sides import SIDES, Both
from smtd.stores.locations import Location
from smtd.stores.registry import open_store


@dataclass(frozen=True, slots=True)
class Request:
    """The words of the command line."""

    left: str
    right: str | None = None
    projects: tuple[str, ...] = ()
    mode: str = "two-way"
    deletes: str = "propagate"
    unfinished: str = "hold"
    verify: bool = False
    dry_run: bool = False
    timezone: str | None = None
    state: Path | None = None
    config: Path | None = None


def run(request: Request, *, as_json: bool) -> int:
    """Sync, print the result, and return the exit code."""
    began = time.monotonic()
    # A short life with many records that all live to its end: look for garbage rarely.
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
    with show.progress(quiet=as_json) as progress:
        report = anyio.run(partial(sync, request, progress))
    seconds = time.monotonic() - began
    if as_json:
        click.echo(json.dumps(report_json(seconds, [report])))
    else:
        show.report(report, seconds, dry_run=request.dry_run)
    return 0 if report.ok else 1


async def sync(request: Request, progress: Progress) -> PairReport:
    """Run one cycle of the pair that *request* names."""
    config = await to_thread.run_sync(configuration, request.config)
    locations = await to_thread.run_sync(_locations, request, config)
    policy = Policy(
        projects=_projects(request, locations),
        mode=Mode(request.mode),
        propagate_deletes=request.deletes == "propagate",
        hold_unfinished=request.unfinished == "hold",
        verify_within=0.0 if request.verify else Policy().verify_within,
    )
    directory = state_directory(request.state, config)
    async with open_journal(directory) as journal:
        if await _known_the_other_way_round(journal, locations):
            policy = replace(policy, mode=policy.mode.flipped)
            report = await _sync(journal, locations.swapped, policy, request, progress)
            return report.swapped
        return await _sync(journal, locations, policy, request, progress)


async def _sync(
    journal: Journal, locations: Both[Location], policy: Policy, request: Request, progress: Progress
) -> PairReport:
    async with (
        journal.pair(locations.left.identity, locations.right.identity) as known,
        open_store(locations.left) as left,
        open_store(locations.right) as right,
    ):
        for location in (locations.left, locations.right):
            if await known.has_agreed() and await to_thread.run_sync(location.is_missing):
                raise StoreUnreachable(
                    f"{location} is missing, though it was synced before; bring it back, or sync"
                    " with another --state to fill a new store"
                )
        pair = Pair(_name(request, locations), Both(left, right), known, policy)
        return await cycle.run(pair, dry_run=request.dry_run, progress=progress)


def _locations(request: Request, config: Config) -> Both[Location]:
    left = located(request.left, config, request.timezone)
    right = located(request.right, config, request.timezone, may_be_new=request.right is not None)
    if str(left) == str(right):
        raise UsageError(f"{left} is the store on both sides; name two different ones")
    return Both(left, right)


def _name(request: Request, locations: Both[Location]) -> str:
    """Return what the person called the two sides, without the secrets of an address."""
    words = Both(request.left, request.right or ".")
    shown = [str(locations[side]) if "://" in words[side] else words[side] for side in SIDES]
    return " ".join(shown)


def _projects(request: Request, locations: Both[Location]) -> frozenset[str] | None:
    """Return the projects to sync (None: all of both stores)."""
    if request.projects:
        return frozenset(request.projects)
    if request.right is None and locations.right.project is not None:
        return frozenset({locations.right.project})
    return None


async def _known_the_other_way_round(journal: Journal, locations: Both[Location]) -> bool:
    left, right = locations.left.identity, locations.right.identity
    return not await journal.knows(left, right) and await journal.knows(right, left)
