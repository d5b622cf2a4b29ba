"""`smtd check`: is the configuration right, and is every store there?"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import anyio
import click
from anyio import to_thread

from smtd.cli.state import configuration
from smtd.cli.stores import located
from smtd.config import Config
from smtd.daemon import settings
from smtd.errors import SmtdError, UsageError
from smtd.stores.registry import open_store


def run(chosen: Path | None) -> int:
    """Print what was found of each store, and return the exit code."""
    config = configuration(chosen)
    settings.of(config, {})
    problems = anyio.run(_reach, config) + _doubled(config)
    if not problems:
        click.echo(f"{len(config.stores)} stores, {len(config.pairs)} pairs: all is well")
    return max((problem.exit_code for problem in problems), default=0)


async def _reach(config: Config) -> list[SmtdError]:
    problems = []
    for name in config.stores:
        try:
            click.echo(f"{name:<12} {await _reached(name, config)}")
        except SmtdError as exc:
            problems.append(exc)
            click.echo(f"smtd: store {name}: {exc}", err=True)
    return problems


def _doubled(config: Config) -> list[SmtdError]:
    """Return an error for each pair whose two stores are one, under two names."""
    problems: list[SmtdError] = []
    for name, pair in config.pairs.items():
        try:
            left, right = (located(word, config, None, may_be_new=True) for word in (pair.left, pair.right))
        except SmtdError:
            continue  # told of its store already
        if left.identity == right.identity:
            problems.append(UsageError(f"pair {name}: {left} is the store on both sides; name two"))
            click.echo(f"smtd: {problems[-1]}", err=True)
    return problems


async def _reached(name: str, config: Config) -> str:
    location = await to_thread.run_sync(partial(located, name, config, None, may_be_new=True))
    if await to_thread.run_sync(location.is_missing):
        return f"{location}  not there yet; the first sync makes it"
    async with open_store(location) as store:
        scan = await store.scan() if not store.capabilities.dear_reads else None
        projects = await store.projects()
        reason = store.capabilities.read_only
    if store.capabilities.dear_reads and not projects:
        return f"{location}  no project that this user may see; a wrong name or password looks the same"
    held = f"{len(scan.digests) + len(scan.unreadable)} records of " if scan is not None else ""
    limits = f"; only read: {reason}" if reason else ""
    return f"{location}  {held}{', '.join(projects) or 'no project'}{limits}"
