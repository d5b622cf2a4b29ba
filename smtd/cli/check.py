"""`smtd check`: is the configuration right, and is every store there?"""

from __future__ import annotations

from dataclasses import dataclass
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
from smtd.stores.locations import DATABASES, Kind, Location
from smtd.stores.registry import open_database, open_store


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be made, or removed, in databases on servers, beside looking."""

    create: bool = False
    install_notify: bool = False
    remove_notify: bool = False


def run(chosen: Path | None, asked: Asked) -> int:
    """Print what was found of each store, and return the exit code."""
    if asked.install_notify and asked.remove_notify:
        raise UsageError("--install-notify and --remove-notify undo each other; give one of them")
    config = configuration(chosen)
    settings.of(config, {})
    problems = anyio.run(_reach, config, asked) + _doubled(config)
    if not problems:
        click.echo(f"{len(config.stores)} stores, {len(config.pairs)} pairs: all is well")
    return max((problem.exit_code for problem in problems), default=0)


async def _reach(config: Config, asked: Asked) -> list[SmtdError]:
    problems = []
    for name in config.stores:
        try:
            click.echo(f"{name:<12} {await _reached(name, config, asked)}")
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


async def _reached(name: str, config: Config, asked: Asked) -> str:
    location = await to_thread.run_sync(partial(located, name, config, None, may_be_new=True))
    done = await _done(location, asked) if location.kind in DATABASES.values() else ""
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
    return f"{location}  {done}{held}{', '.join(projects) or 'no project'}{limits}"


async def _done(location: Location, asked: Asked) -> str:
    """Make what is asked for in the database at *location*; return what was done, for its line."""
    done = ""
    async with open_database(location) as database:
        if asked.create and await database.make():
            done += "tables made; "
        if location.kind is Kind.POSTGRESQL and (asked.install_notify or asked.remove_notify):
            from smtd.stores.django import notify

            if asked.remove_notify:
                await database.run(notify.REMOVE)
                done += "triggers removed; "
            elif location.access.notify:
                await database.run(notify.INSTALL)
                done += "triggers installed; "
    return done
