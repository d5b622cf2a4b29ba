"""Find the store that a name stands for, by the content of the file and not by its name.

The drivers recognize the files and addresses of their stores (`driver.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from smtd import denied, regular
from smtd.errors import StoreRefused, StoreUnreachable, UsageError
from smtd.filestat import identity
from smtd.paths import expanded, is_from_windows
from smtd.sqlite import ERRORS, opened
from smtd.stores import registry
from smtd.stores.access import NO_SETTINGS, Access
from smtd.stores.driver import Driver, Files, Server
from smtd.stores.location import Location, real_path
from smtd.untrusted import SchemaCodeBlocked


def find(name: str, access: Access = NO_SETTINGS, *, may_be_new: bool = False) -> Location:
    """Return the location that *name* stands for. Blocks for a few reads of small files.

    With *may_be_new* the store need not exist, if the ending of its name determines its kind. Raises
    UsageError for a name that smtd does not understand, StoreUnreachable if there is no
    store, StoreRefused for one that smtd cannot open.
    """
    if "\0" in name:
        raise UsageError("this is not a location: it contains a NUL character")
    if not name:
        raise UsageError("this is not a location: it is empty; use . for the project in this directory")
    scheme, separator, _ = name.partition("://")
    if separator:
        for driver, server in _servers():
            if scheme.lower() in server.schemes:
                return _at(driver, server, name, access)
        raise UsageError(f"{scheme}:// locations are not supported yet; name a project directory or a file")
    found = _resolve(name, may_be_new=may_be_new)
    project_access = found.access
    # The user may name another account than the project.
    if access.username in (None, project_access.username):
        access = access.of(project_access.username, project_access.password)
    access = replace(access, tls=access.tls or project_access.tls)
    # A location resolves links when it is made, so it is made again only if it differs.
    return found if access == project_access else replace(found, access=access)


def _servers() -> Iterator[tuple[Driver, Server]]:
    return ((driver, driver.server) for driver in registry.DRIVERS if driver.server is not None)


def _kinds_of_files() -> Iterator[tuple[Driver, Files]]:
    return ((driver, driver.files) for driver in registry.DRIVERS if driver.files is not None)


def _at(driver: Driver, server: Server, address: str, access: Access) -> Location:
    url, access = server.parse(address, access)
    return Location(driver, Path(), None, access, url)


def _resolve(name: str, *, may_be_new: bool) -> Location:
    path = expanded(name)
    try:
        if path.is_dir():
            return _project(path)
        found = _detect(path)
    except OSError as exc:
        raise StoreUnreachable(f"{name} cannot be read: {denied.why(exc)}") from exc
    if found is not None:
        return found
    new = {ending: driver for driver, files in _kinds_of_files() for ending in files.new}
    if may_be_new and path.suffix in new:
        if path.parent.is_dir():
            return Location(new[path.suffix], path)
        raise StoreUnreachable(f"there is no directory {path.parent} to create {path.name} in")
    hint = f"; to create one, give its name one of the endings {', '.join(new)}" if may_be_new else ""
    raise StoreUnreachable(f"there is no record store at {name}{hint}")


def current_project(directory: Path) -> Path:
    """Return the directory of the Sumatra project in *directory* or the nearest one above it.

    Raises UsageError if there is none.
    """
    for candidate in (directory, *directory.parents):
        if (candidate / ".smt").is_dir():
            return candidate
    raise UsageError(
        f"there is no Sumatra project in {directory} or above it; go to the directory of one (smt init makes"
        " it)"
    )


def _project(directory: Path) -> Location:
    """Follow a project directory, or its `.smt`, to its store."""
    home = directory / ".smt" if (directory / ".smt" / "project").exists() else directory
    file = home / "project"
    if not file.exists():
        raise StoreUnreachable(f"{directory} is not a Sumatra project: it has no .smt/project")
    try:
        project = json.loads(regular.read(file, regular.SMALL))
        name, store = project["name"], project["record_store"]
        kind = store["type"].rpartition(".")[2]
        drivers, recorded = _recorded(kind, store)
        if not isinstance(name, str) or not isinstance(recorded, str) or "\0" in recorded:
            raise TypeError("text expected")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise StoreRefused(f"{file} is not a project file of Sumatra 0.8; run smt info to check it") from exc
    if (server := _server(drivers, recorded)) is not None:
        access = NO_SETTINGS
        if server[1].over_http:  # for a database, the account is in the address
            access = Access(username=store.get("username"), password=store.get("password"))
        return replace(_at(*server, recorded, access), project=name, signposts=(file,))
    if "://" in recorded or not any(each.files for each in drivers):
        raise StoreRefused(f"the store of project {name} is a {kind} that smtd cannot open yet")
    if is_from_windows(recorded) and _detect(home.parent / recorded) is None:
        raise StoreRefused(
            f"project {name} was made on Windows, and its store is {recorded} there; name the store's file"
            f" itself, or write its path on this machine into {file}"
        )
    path = _relocated(home, home.parent / expanded(recorded))
    there = _detect(path) or Location(_driver_to_create(drivers), path)
    return replace(there, project=name, signposts=(file,))


def _recorded(record_store: str, store: dict[str, Any]) -> tuple[list[Driver], Any]:
    """Return the drivers that Sumatra's class *record_store* may mean, and the path or address in *store*."""
    entries = [(each, each.project) for each in registry.DRIVERS if each.project is not None]
    named = [(each, entry.key) for each, entry in entries if entry.record_store == record_store]
    return [each for each, _ in named], store[named[0][1]] if named else ""


def _server(drivers: list[Driver], recorded: str) -> tuple[Driver, Server] | None:
    """Return the one of *drivers* for a server at the address *recorded*; None if that is a path."""
    for driver in drivers:
        server = driver.server
        scheme, separator, _ = recorded.partition("://")
        if server is not None and (len(drivers) == 1 or (separator and scheme in server.schemes)):
            return driver, server
    return None


def _driver_to_create(drivers: list[Driver]) -> Driver:
    """Return the one of *drivers* to assume for a missing store: one whose stores smtd can create, if any."""
    return min(drivers, key=lambda each: not (each.files and each.files.new))


def _relocated(home: Path, recorded: Path) -> Path:
    """Return the store inside a project directory that was moved, if there, or else its *recorded* path."""
    inside = home / recorded.name
    if recorded.parent.name == ".smt" and real_path(recorded.parent) != real_path(home):
        return inside if _detect(inside) is not None else recorded
    return recorded


def _detect(path: Path) -> Location | None:
    """Return the store at *path*, given with or without the endings of its backend; None if there is none."""
    several = _several_files(path)
    if path.is_file() and (several is None or _is_apart(path, several)):
        return Location(_sniff(path), path)
    if several is not None:
        return several
    for _, files in _kinds_of_files():
        named = Path(f"{path}{files.added}")
        if files.added and named.is_file():
            return Location(_sniff(named), named)
    regular.check(dict.fromkeys(_possible(path)))
    return None


def _several_files(path: Path) -> Location | None:
    """Return the store of several files of which *path* is the name, or one of the files; None if none is."""
    for driver, files in _kinds_of_files():
        base = _base(path, files)
        if any(files.endings) and any(Path(f"{base}{ending}").is_file() for ending in files.endings):
            return Location(driver, base)
    return None


def _base(path: Path, files: Files) -> Path:
    """Return *path* without the ending of one of *files*."""
    return path.with_suffix("") if path.suffix and path.suffix in files.endings else path


def _possible(path: Path) -> Iterator[Path]:
    """Yield all files that the name *path* may stand for."""
    yield path
    for _, files in _kinds_of_files():
        yield from (Path(f"{_base(path, files)}{ending}") for ending in (*files.endings, files.added))


def candidates(path: Path) -> Iterator[Path]:
    """Yield the files whose creation may make *path* the name of a store, without access to the disk."""
    yield from (path, path / "project", path / ".smt" / "project")
    for _, files in _kinds_of_files():
        yield from (Path(f"{path}{ending}") for ending in (files.endings[0], files.added) if ending)


def _is_apart(path: Path, several: Location) -> bool:
    """Say whether the file *path* is a store of its own, and neither a part of *several* nor a leftover.

    Raises UsageError if it is unclear which of the two the user means.
    """
    if path != several.path:
        return _in_database(path) is not None  # a backup copy of a database may have such a name
    files, beside = _sniff(path).files, several.driver.files
    if files is None or files.is_leftover is None or beside is None:
        return True
    return not files.is_leftover(path, [f"{path.name}{ending}" for ending in beside.watched])


def _sniff(path: Path) -> Driver:
    if (driver := _in_database(path)) is not None:
        return driver
    with regular.opened(path) as file:
        start = file.read(16)
    for driver, files in _kinds_of_files():
        if files.begins is not None and files.begins(path, start):
            return driver
    known = " nor ".join(dict.fromkeys(files.what for _, files in _kinds_of_files()))
    raise StoreRefused(f"{path} is not a record store: it is neither {known}")


#: The drivers of the databases that this process has open as stores, by device and inode of the file.
_open_databases: dict[tuple[int, int] | None, Driver] = {}


def known_while_open(location: Location) -> AbstractContextManager[None]:
    """Return a context in which the open database at *location* is assumed to keep its kind. Blocks.

    To ask SQLite each time would cost as much as the rest of finding a store. If another kind of store is
    written into the same file, reading it as the old kind fails, and the caller must leave the context.
    """
    files = location.driver.files
    is_database = files is not None and files.holds is not None
    return _known(identity(location.files[0]) if is_database else None, location.driver)


@contextmanager
def _known(identity: tuple[int, int] | None, driver: Driver) -> Iterator[None]:
    if identity is None or identity in _open_databases:
        yield
        return
    _open_databases[identity] = driver
    try:
        yield
    finally:
        del _open_databases[identity]


def _in_database(path: Path) -> Driver | None:
    """Return the driver for the SQLite file at *path*, or None for any other file.

    Only SQLite opens the file: if smtd opened and closed it itself, all other connections of this process
    would lose their locks on it (fcntl(2)), and their transactions would no longer be safe.
    """
    if (driver := _open_databases.get(identity(path))) is not None:
        return driver
    try:
        with opened(path) as db:
            db.execute("BEGIN")  # so that all drivers read one snapshot
            rows = db.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
            tables = {name for (name,) in rows}
            for driver, files in _kinds_of_files():
                if files.holds is not None and files.holds(db, tables):
                    return driver
    except ERRORS as exc:
        if "not a database" in str(exc):
            return None
        if isinstance(exc, SchemaCodeBlocked):
            raise StoreRefused(f"{path} {exc}") from exc
        raise StoreUnreachable(f"{path} cannot be read: {exc}") from exc
    raise StoreRefused(f"{path} is an SQLite file, but not a Sumatra record store")
