"""`smtd list`: list the records of a store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from smtd import pairing
from smtd.cli.login import with_typed_login
from smtd.cli.say import complain, say, say_json
from smtd.cli.state import configuration
from smtd.cli.stores import located
from smtd.output.local_time import local_time
from smtd.records.record import Key, Record
from smtd.spelling import did_you_mean
from smtd.stores.base import Scan
from smtd.stores.location import Location
from smtd.stores.registry import open_store


def run(
    name: str,
    projects: tuple[str, ...],
    *,
    timezone: str | None,
    config: Path | None,
    as_json: bool,
    no_input: bool,
) -> int:
    """Print the records of a store, newest first, and return the exit code."""
    location = located(name, configuration(config), timezone)
    location = with_typed_login(location, may_ask=not no_input)
    named = projects
    if not projects and location.project is not None:
        projects = (location.project,)
    if pairing.ALL in projects:
        projects = ()
    scan, records, known = anyio.run(partial(_read, location, projects))
    problems = [f"{location}: {line}" for line in unknown_projects(named, known)]
    if not (scan.digests or scan.unreadable or problems or as_json):
        problems = [_nothing(location, projects, known)]
    for line in problems:
        complain(f"smtd: {line}")
    if as_json:
        say_json({"location": str(location), "projects": _json(scan, records)})
    else:
        _print(scan, records)
    return 1 if scan.unreadable else 0


async def _read(
    location: Location, projects: tuple[str, ...]
) -> tuple[Scan, dict[Key, Record], Collection[str]]:
    """Return the records of *projects* (empty: all), and the names of all projects if one has no records."""
    async with open_store(location) as store:
        scan = await store.scan(frozenset(projects) or None)
        found = {key.project for key in (*scan.digests, *scan.unreadable)}
        known = found if found and found.issuperset(projects) else await store.projects()
        return scan, await store.read(list(scan.digests)), known


def _nothing(location: Location, projects: Sequence[str], known: Collection[str]) -> str:
    """Return a sentence about a store where *projects* (empty: all that it has, *known*) have no record."""
    if known:
        return f"{location} has no records{f' of {projects[0]}' if len(projects) == 1 else ''}"
    server, user = location.driver.server, location.access.username
    if server is not None and server.over_http:  # it hides those that others own
        return f"{location} shows no projects to {user or 'clients without a login'}"
    return f"{location} has no projects yet"


def unknown_projects(named: Collection[str], known: Collection[str]) -> Iterator[str]:
    """Yield a sentence for each project that a user *named* and that is not *known*, with the likely one."""
    for project in named:
        if project != pairing.ALL and project not in known:
            yield f"there is no project {project!r}{did_you_mean(project, known)}"


def _newest_first(records: dict[Key, Record]) -> list[tuple[Key, Record]]:
    return sorted(records.items(), key=lambda item: (item[1].timestamp, item[0].label), reverse=True)


def _json(scan: Scan, records: dict[Key, Record]) -> list[dict[str, Any]]:
    listed: dict[str, list[dict[str, Any]]] = defaultdict(list)
    unreadable: dict[str, list[dict[str, str]]] = defaultdict(list)
    for key, record in _newest_first(records):
        listed[key.project].append(
            {
                "label": key.label,
                "timestamp": record.timestamp.isoformat(),
                "reason": record.reason,
                "outcome": record.outcome,
                "tags": sorted(record.tags),
                "digest": scan.digests[key].hex(),
            }
        )
    for key, error in sorted(scan.unreadable.items()):
        unreadable[key.project].append({"label": key.label, "error": error})
    return [
        {"project": project, "records": listed[project], "unreadable": unreadable[project]}
        for project in sorted(listed.keys() | unreadable.keys())
    ]


def _print(scan: Scan, records: dict[Key, Record]) -> None:
    for key, record in _newest_first(records):
        tags = ", ".join(sorted(record.tags))
        say(f"{key}  {local_time(record.timestamp)}  {tags}".rstrip())
    for key, error in sorted(scan.unreadable.items()):
        complain(f"{key}  cannot be read: {error}")
