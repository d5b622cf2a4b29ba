"""`smtd check` for stores: each is opened, logged in to, read, and tried for writing without a trace."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from anyio import to_thread

from smtd import denied
from smtd.config import Config
from smtd.errors import SmtdError, StoreUnreachable
from smtd.output.counts import plural
from smtd.server.opening import ServedState, served_state
from smtd.stores.driver import Server
from smtd.stores.location import Location
from smtd.stores.registry import open_store


@dataclass(frozen=True, slots=True)
class DatabaseChanges:
    """What to create or remove in databases on servers, besides checking them."""

    create: bool = False
    install_notify: bool = False
    remove_notify: bool = False


@dataclass(slots=True)
class StoreFinding:
    """What was found about the configured store *name*.

    *location* None: it was not found. *projects*: those that it has, and that of its directory. *is_missing*:
    it does not exist yet. *is_empty*: it is a database without tables. *read_only*: why nothing can be
    written to such a store (empty: it can). *is_writable*: whether a write would succeed (None: not tried).
    *problem*: why it cannot be used; *write_problem*: why it cannot be written, though read.
    """

    name: str
    location: Location | None = None
    projects: Collection[str] = frozenset()
    records: int | None = None
    is_missing: bool = False
    is_empty: bool = False
    read_only: str = ""
    is_writable: bool | None = None
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    problem: SmtdError | None = None
    write_problem: SmtdError | None = None

    @property
    def errors(self) -> list[SmtdError]:
        """What is wrong."""
        return [each for each in (self.problem, self.write_problem) if each is not None]


async def check(
    name: str, config: Config, changes: DatabaseChanges, locate: Callable[[str], Location]
) -> StoreFinding:
    """Return what reading the store *name* shows. *locate* blocks, and raises SmtdError."""
    found = StoreFinding(name)
    try:
        found.location = await to_thread.run_sync(locate, name)
        await _read(found, found.location, config, changes)
    except SmtdError as exc:
        found.problem = exc
    return found


async def _read(found: StoreFinding, location: Location, config: Config, changes: DatabaseChanges) -> None:
    own = frozenset[str]() if location.project is None else frozenset({location.project})
    found.projects = own
    server = location.driver.server
    if server is not None:
        await _make_changes(found, location, server, changes)
    if await to_thread.run_sync(location.is_missing):
        found.is_missing = True
        return
    is_served = config.server is not None and config.server.store == found.name
    if is_served and server is not None and await _is_empty(location):
        found.is_empty = True
        found.notes.append("is empty")
        return
    async with open_store(location) as store:
        scan = await store.scan() if not store.capabilities.costly_reads else None
        projects = await store.projects()
        found.read_only = store.capabilities.read_only
    if server is not None and server.hides_projects and not projects:
        raise SmtdError(
            f"{location} shows no projects to this user: check the user name and the password; if they are"
            " right, it has no right in a project, or the server is empty and the first sync fills it"
        )
    found.records = None if scan is None else len(scan.digests) + len(scan.unreadable)
    held = "" if found.records is None else f"{plural(found.records, 'record')} of "
    found.notes.append(f"{held}{', '.join(projects) or 'no projects'}")
    if scan is not None and scan.unreadable:
        unread = plural(len(scan.unreadable), "record")
        found.warnings.append(f"{unread} cannot be read; smtd list {found.name} says why")
    if found.read_only:
        found.notes.append(f"read-only: {found.read_only}")
    found.projects = own.union(projects)


async def _is_empty(location: Location) -> bool:
    """Say whether the database on a server at *location* has no tables yet. Raises SmtdError."""
    return location.is_served and await served_state(location) is ServedState.EMPTY


async def _make_changes(
    found: StoreFinding, location: Location, server: Server, changes: DatabaseChanges
) -> None:
    """Create or remove what *changes* says in the database at *location*; note what was done, and risks."""
    if server.administer is None:
        return
    async with server.administer(location) as database:
        if risk := await database.risk():
            found.warnings.append(risk)
        if changes.create and await database.make():
            found.notes.append("tables created")
        if server.notifications is not None and (changes.install_notify or changes.remove_notify):
            triggers = server.notifications.triggers()
            if changes.remove_notify:
                await database.run(triggers.remove)
                found.notes.append("triggers removed")
            elif location.access.notify:
                await database.run(triggers.install)
                found.notes.append("triggers installed")


async def try_write(found: StoreFinding, projects: Collection[str]) -> None:
    """Note whether *projects* in the store could be written."""
    location = found.location
    if location is None or found.problem is not None or found.read_only:
        return
    try:
        untried = await _tried(found, location, projects)
    except SmtdError as exc:
        found.write_problem, found.is_writable = exc, False
        return
    found.is_writable = None if untried else True
    if untried or not found.is_missing:
        found.notes.append(untried or "can be written")


async def _tried(found: StoreFinding, location: Location, projects: Collection[str]) -> str:
    """Return what could not be tried (empty: nothing). Raises StoreError."""
    if found.is_missing:
        await to_thread.run_sync(_try_to_create, location)
        found.notes.append("does not exist yet; the first sync creates it")
        return ""
    if found.is_empty:
        return "smtd serve creates the tables"
    if location.driver.try_write is None:
        return "smtd cannot try to write to it without a trace"
    return await location.driver.try_write(location, projects)


def _try_to_create(location: Location) -> None:
    """Raise StoreUnreachable if this user can create no file where the store is to be. Blocks."""
    if why := denied.in_directory(Path(location.name).parent):
        raise StoreUnreachable(f"{location} cannot be created: {why}")
