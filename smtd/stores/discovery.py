"""Find which store a name stands for, by the content of the file and not by its name."""

from __future__ import annotations

import json
import sqlite3
from codecs import BOM_UTF8
from dataclasses import replace
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from smtd import denied, readonly, regular
from smtd.errors import StoreRefused, StoreUnreachable, UsageError
from smtd.paths import expanded, is_from_windows
from smtd.sqlite import ERRORS, opened
from smtd.stores.location import DUMB_ENDINGS, NOTHING_SAID, Access, Location, StoreKind, real_path
from smtd.untrusted import Acting

#: Names by which a store that is not there yet may be asked for.
_NEW = {
    ".sqlite": StoreKind.DJANGO,
    ".sqlite3": StoreKind.DJANGO,
    ".db": StoreKind.DJANGO,
    ".shelf": StoreKind.DUMB,
}
#: Databases by the schemes of their addresses, which are Sumatra's, and where they listen by default.
DATABASES = {
    "postgres": StoreKind.POSTGRESQL,
    "postgresql": StoreKind.POSTGRESQL,
    "mysql": StoreKind.MYSQL,
    "mariadb": StoreKind.MYSQL,
}
_WEB_PORTS = {"http": 80, "https": 443}
_PORTS = {StoreKind.POSTGRESQL: 5432, StoreKind.MYSQL: 3306}
#: How a connection may be protected, in the words of PostgreSQL's own programs.
TLS_MODES = ("disable", "prefer", "require", "verify-ca", "verify-full")
_ORDERS: tuple[Literal["little", "big"], ...] = ("little", "big")
#: See stores/shelf/gnu.py; of both byte orders.
_GDBM = [number.to_bytes(4, order) for number in range(0x13579ACD, 0x13579AD2) for order in _ORDERS]
_BERKELEY = (b"\x61\x15\x06\x00", b"\x00\x06\x15\x61")


def find(name: str, access: Access = NOTHING_SAID, *, may_be_new: bool = False) -> Location:
    """Return the location that *name* stands for. Blocks for a few reads of small files.

    With *may_be_new* the store need not be there, if its name tells its kind. Raises
    UsageError for a name that smtd does not understand, StoreUnreachable if there is no
    store, StoreRefused for one that smtd cannot open.
    """
    if "\0" in name:
        raise UsageError("this is not a location: it contains a NUL character")
    if not name:
        raise UsageError("this is not a location: it is empty; use . for the project in this directory")
    scheme = name.partition("://")[0].lower()
    if scheme in ("http", "https"):
        return _server(name, access)
    if scheme in DATABASES and "://" in name:
        return _database(name, access)
    found = _found(name, may_be_new=may_be_new)
    told = found.access
    if access.username in (None, told.username):  # else a person names another account than the project
        access = access.of(told.username, told.password)
    return replace(found, access=replace(access, tls=access.tls or told.tls))


def _server(address: str, access: Access) -> Location:
    """Take the user out of an address, so that it is never shown. Nothing is asked of the server."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        # What Python says of it shows a part, which may be one of a password.
        raise UsageError(
            "this is not the address of a Sumatra Server; in a password, write # as %23, / as %2F and @ as"
            " %40"
        ) from None
    if not host or parts.query or parts.fragment:
        raise UsageError("this is not the address of a Sumatra Server; write it like https://host/records/")
    if parts.username:
        password = None if parts.password is None else unquote(parts.password)
        access = access.of(unquote(parts.username), password)
    place = f"[{host}]" if ":" in host else host
    place += "" if port in (None, _WEB_PORTS[parts.scheme]) else f":{port}"
    path = parts.path if parts.path.endswith("/") else f"{parts.path}/"
    return Location(StoreKind.HTTP, Path(), None, access, f"{parts.scheme}://{place}{path}")


def _database(address: str, access: Access) -> Location:
    """Take the user out of the address of a database, as Sumatra reads it: nothing in it is quoted."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise UsageError("this is not the address of a database: its host or port cannot be read") from None
    database = parts.path.rsplit("/", 1)[-1]
    tls = options.pop("sslmode", access.tls)
    if not database or parts.fragment or options or tls not in ("", *TLS_MODES):
        raise UsageError(
            "this is not the address of a database; write it like postgresql://user@host/name,"
            f" with ?sslmode={' or '.join(TLS_MODES)} if needed"
        )
    if parts.username:
        access = access.of(parts.username, parts.password)
    kind = DATABASES[parts.scheme]
    place = f"[{host}]" if ":" in (host or "") else host or ""
    place += "" if port in (None, _PORTS[kind]) else f":{port}"
    return Location(kind, Path(), None, replace(access, tls=tls), f"{kind.value}://{place}/{database}")


def _found(name: str, *, may_be_new: bool) -> Location:
    scheme, separator, _ = name.partition("://")
    if separator:
        raise UsageError(f"{scheme}:// locations are not supported yet; name a project directory or a file")
    path = expanded(name)
    try:
        if path.is_dir():
            return _project(path)
        found = _file(path)
    except OSError as exc:
        raise StoreUnreachable(f"{name} cannot be read: {denied.why(exc)}") from exc
    if found is not None:
        return found
    if may_be_new and path.suffix in _NEW:
        if path.parent.is_dir():
            return Location(_NEW[path.suffix], path)
        raise StoreUnreachable(f"there is no directory {path.parent} to create {path.name} in")
    hint = f"; to create one, give its name one of the endings {', '.join(_NEW)}" if may_be_new else ""
    raise StoreUnreachable(f"there is no record store at {name}{hint}")


def current_project(directory: Path) -> Path:
    """Return the directory of the Sumatra project in *directory* or the nearest one above it."""
    for candidate in (directory, *directory.parents):
        if (candidate / ".smt").is_dir():
            return candidate
    raise UsageError(f"there is no Sumatra project in {directory} or above it; name two locations")


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
        recorded = store[_STORE_PATHS[kind]] if kind in _STORE_PATHS else ""
        if not isinstance(name, str) or not isinstance(recorded, str):
            raise TypeError("text expected")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise StoreRefused(f"{file} is not a project file of Sumatra 0.8; run smt info to check it") from exc
    if kind == "HttpRecordStore":
        access = Access(username=store.get("username"), password=store.get("password"))
        return replace(_server(recorded, access), project=name, signposts=(file,))
    if kind == "DjangoRecordStore" and recorded.partition("://")[0] in DATABASES:
        return replace(_database(recorded, NOTHING_SAID), project=name, signposts=(file,))
    if kind not in _STORE_PATHS or "://" in recorded:
        raise StoreRefused(f"the store of project {name} is a {kind} that smtd cannot open yet")
    if is_from_windows(recorded) and _file(home.parent / recorded) is None:
        raise StoreRefused(
            f"project {name} was made on Windows, and its store is {recorded} there; name the store's file"
            f" itself, or write its path on this machine into {file}"
        )
    return replace(_project_store(home, name, kind, expanded(recorded)), signposts=(file,))


#: Where a project file keeps the path of its store, by the class of the store.
_STORE_PATHS = {
    "DjangoRecordStore": "db_file",
    "ShelveRecordStore": "shelf_name",
    "HttpRecordStore": "server_url",
}


def _project_store(home: Path, name: str, kind: str, recorded: Path) -> Location:
    path = _moved(home, recorded if recorded.is_absolute() else home.parent / recorded)
    found = _file(path)
    if found is None:
        found = Location(StoreKind.DJANGO if kind == "DjangoRecordStore" else StoreKind.DUMB, path)
    return Location(found.kind, found.path, name)


def _moved(home: Path, recorded: Path) -> Path:
    """Prefer the store inside a project directory that was moved, to the one at its old place."""
    inside = home / recorded.name
    if recorded.parent.name == ".smt" and real_path(recorded.parent) != real_path(home):
        return inside if _file(inside) is not None else recorded
    return recorded


def _file(path: Path) -> Location | None:
    """Tell what the file at *path* is, with or without the endings of its backend."""
    if path.suffix in DUMB_ENDINGS and path.is_file() and _sqlite_kind(path) is not None:
        return Location(_sniff(path), path)
    base = path.with_suffix("") if path.suffix in DUMB_ENDINGS else path
    dumb = any(Path(f"{base}{ending}").is_file() for ending in DUMB_ENDINGS)
    if path.is_file() and path.suffix not in DUMB_ENDINGS and not (dumb and _is_stray(path)):
        return Location(_sniff(path), path)
    if dumb:
        return Location(StoreKind.DUMB, base)
    database = Path(f"{path}.db")
    if database.is_file():
        return Location(_sniff(database), database)
    regular.check([path, *(Path(f"{base}{ending}") for ending in (*DUMB_ENDINGS, ".db"))])
    return None


def _is_stray(path: Path) -> bool:
    """Say whether *path*, which has a shelf beside it, is what `smt sync` leaves there.

    It takes a dumb shelf for a database that is not there yet, and makes an empty one. Raises
    UsageError if the database has records too.
    """
    if _sniff(path) is not StoreKind.DJANGO:
        return False
    try:
        with opened(path) as db:
            empty = db.execute("SELECT 1 FROM django_store_record LIMIT 1").fetchone() is None
    except sqlite3.OperationalError:
        return True  # it has no tables yet
    if not empty:
        raise UsageError(
            f"{path} is both an SQLite store and a shelf ({path.name}.dat, {path.name}.dir), both with"
            f" records; name the shelf {path.name}.dat, or move the files of one of them"
        )
    return True


def _sniff(path: Path) -> StoreKind:
    if (kind := _sqlite_kind(path)) is not None:
        return kind
    with regular.opened(path) as file:
        start = file.read(16)
    if start[:4] in _GDBM:
        return StoreKind.GNU
    if start[12:16] in _BERKELEY:
        return StoreKind.NDBM
    if path.suffix == ".json" and start.removeprefix(BOM_UTF8).lstrip()[:1] in (b"[", b"{"):
        return StoreKind.EXPORT
    raise StoreRefused(
        f"{path} is not a record store: it is neither a shelf nor an SQLite file nor an export (.json)"
    )


def _sqlite_kind(path: Path) -> StoreKind | None:
    """Tell what the SQLite file at *path* is, or None for any other file.

    SQLite itself is asked: opening the file and closing it again takes away the locks that all
    other connections of this process have on it (fcntl(2)), and with them what keeps a transaction whole.
    """
    try:
        with opened(path) as db:
            tables = {
                name
                for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
            }
            is_old = "django_store_record" in tables and not _is_migrated(db, tables)
    except ERRORS as exc:
        if "not a database" in str(exc):
            return None
        if isinstance(exc, Acting):
            raise StoreRefused(f"{path} {exc}") from exc
        raise StoreUnreachable(f"{path} cannot be read: {readonly.obstacle(path, exc) or exc}") from exc
    if "django_store_record" in tables or not tables:
        return StoreKind.OLD_DJANGO if is_old else StoreKind.DJANGO  # an empty file is an empty database
    # Sumatra on Python 3.13 takes a Django store for a shelf, and leaves an empty table `Dict` in it.
    if "Dict" in tables:
        return StoreKind.SQLITE3
    raise StoreRefused(f"{path} is an SQLite file, but not a Sumatra record store")


def _is_migrated(db: sqlite3.Connection, tables: set[str]) -> bool:
    """Say whether the schema is that of Sumatra 0.8: its last migration was made."""
    if "django_migrations" not in tables:
        return False
    last = "SELECT 1 FROM django_migrations WHERE app = 'django_store' AND name = '0002_tag_taggeditem'"
    return db.execute(last).fetchone() is not None
