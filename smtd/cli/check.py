"""`smtd check`: check the configuration, reach every store, and see whether the server could start."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
from anyio import to_thread

from smtd.cli import check_server
from smtd.cli.say import complain, say
from smtd.cli.state import required_file
from smtd.cli.stores import located
from smtd.config import Config, ServerConfig, load
from smtd.daemon import settings
from smtd.daemon.settings import PairSettings
from smtd.errors import SmtdError, UsageError
from smtd.merge.sides import Both
from smtd.output.counts import plural
from smtd.spelling import did_you_mean
from smtd.stores.driver import Server
from smtd.stores.location import Location
from smtd.stores.registry import open_store


@dataclass(frozen=True, slots=True)
class DatabaseChanges:
    """What to create or remove in databases on servers, besides checking them."""

    create: bool = False
    install_notify: bool = False
    remove_notify: bool = False


def run(chosen: Path | None, changes: DatabaseChanges) -> int:
    """Print what was found about the stores and the server, and return the exit code."""
    if changes.install_notify and changes.remove_notify:
        raise UsageError("--install-notify and --remove-notify exclude each other; give one of them")
    file = required_file(chosen)
    config = load(file)
    pairs = settings.of(config, {})
    problems, projects = anyio.run(_check_stores, config, changes)
    problems += [*_pair_problems(config, pairs, projects), *_missing_projects(config, projects)]
    if config.server is not None:
        unusable = config.stores.keys() - projects.keys()
        problems += anyio.run(_check_own_server, config, config.server, file, unusable)
    if not problems:
        counts = f"{plural(len(config.stores), 'store')}, {plural(len(config.pairs), 'pair')}"
        counts += "" if config.server is None else ", 1 server"
        say(f"{counts}: all is well")
    return max((problem.exit_code for problem in problems), default=0)


async def _check_stores(
    config: Config, changes: DatabaseChanges
) -> tuple[list[SmtdError], Mapping[str, Collection[str]]]:
    """Print a line for each store; return the errors, and the projects of the stores that were reached."""
    problems, found = [], {}
    for name in config.stores:
        try:
            line, found[name] = await _check_store(name, config, changes)
            say(f"{name:<12} {line}")
        except SmtdError as exc:
            problems.append(exc)
            complain(f"smtd: store {name}: {exc}")
    return problems, found


async def _check_own_server(
    config: Config, server: ServerConfig, file: Path, unusable: Collection[str]
) -> list[SmtdError]:
    """Print the server's line and errors, and return the errors; do not check a store in *unusable* again."""
    parts, problems = [], []
    async for found in check_server.findings(config, server, file, unusable):
        if isinstance(found, str):
            parts.append(found)
        else:
            problems.append(found)
            complain(f"smtd: server: {found}")
    address, *more = parts
    say(f"{'server':<12} {'  '.join([address, *(['; '.join(more)] if more else [])])}")
    return problems


def _missing_projects(config: Config, found: Mapping[str, Collection[str]]) -> Iterator[SmtdError]:
    """Print and yield an error for each project of a pair that neither of its stores has."""
    for name, pair in config.pairs.items():
        if pair.projects is None or pair.left not in found or pair.right not in found:
            continue
        names = pair.projects if isinstance(pair.projects, dict) else {one: one for one in pair.projects}
        known = {*found[pair.left], *found[pair.right]}
        for left, right in names.items():
            if left == "*" or left in found[pair.left] or right in found[pair.right]:
                continue
            hint = did_you_mean(left, known, "smtd list shows what a store has")
            problem = SmtdError(f"pair {name}: neither store has a project {left!r}{hint}")
            complain(f"smtd: {problem}")
            yield problem


def _pair_problems(
    config: Config, pairs: Mapping[str, PairSettings], held: Mapping[str, Collection[str]]
) -> list[SmtdError]:
    """Print and return an error for each pair of one store twice, or of directories of two projects.

    Skips pairs with a store that cannot be located. Warns of each pair that syncs fewer projects than its
    stores hold (*held*), though the configuration names no projects for it.
    """
    problems: list[SmtdError] = []
    for name, pair in config.pairs.items():
        try:
            left, right = (located(word, config, None, may_be_new=True) for word in (pair.left, pair.right))
        except SmtdError:
            continue  # already reported with its store
        try:
            if left.identity == right.identity:
                raise UsageError(f"pair {name}: {left} is on both sides; name two different stores")
            kept = pairs[name].scoped(Both(left, right)).projects
        except UsageError as exc:
            problems.append(exc)
            complain(f"smtd: {exc}")
            continue
        there = {*held.get(pair.left, ()), *held.get(pair.right, ())}
        if kept is not None and not pairs[name].names_projects and there - kept:
            complain(f"smtd: {settings.narrowed(name, *kept)}")
    return problems


async def _check_store(name: str, config: Config, changes: DatabaseChanges) -> tuple[str, Collection[str]]:
    """Return the line to print for a store, and its projects. Raises SmtdError."""
    location = await to_thread.run_sync(partial(located, name, config, None, may_be_new=True))
    own = set() if location.project is None else {location.project}
    server = location.driver.server
    done = await _make_changes(location, server, changes) if server is not None else ""
    if await to_thread.run_sync(location.is_missing):
        return f"{location}  does not exist yet; the first sync creates it", own
    is_served = config.server is not None and config.server.store == name
    if is_served and server is not None and await check_server.is_empty(location):
        return f"{location}  is empty", own
    async with open_store(location) as store:
        scan = await store.scan() if not store.capabilities.costly_reads else None
        projects = await store.projects()
        reason = store.capabilities.read_only
    if server is not None and server.hides_projects and not projects:
        raise SmtdError(
            f"{location} shows no projects to this user: check the user name and the password; if they are"
            " right, the server is empty and the first sync fills it"
        )
    held = f"{plural(len(scan.digests) + len(scan.unreadable), 'record')} of " if scan is not None else ""
    limits = f"; read-only: {reason}" if reason else ""
    return f"{location}  {done}{held}{', '.join(projects) or 'no projects'}{limits}", own.union(projects)


async def _make_changes(location: Location, server: Server, changes: DatabaseChanges) -> str:
    """Create or remove what *changes* says in the database at *location*; return what was done, in words."""
    if server.administer is None:
        return ""
    done = ""
    async with server.administer(location) as database:
        if risk := await database.risk():
            complain(f"smtd: {location}: {risk}")
        if changes.create and await database.make():
            done += "tables created; "
        if server.notifications is not None and (changes.install_notify or changes.remove_notify):
            triggers = server.notifications.triggers()
            if changes.remove_notify:
                await database.run(triggers.remove)
                done += "triggers removed; "
            elif location.access.notify:
                await database.run(triggers.install)
                done += "triggers installed; "
    return done
