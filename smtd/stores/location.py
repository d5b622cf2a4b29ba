"""Where a store is: its kind, its files, and what tells it from others."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from smtd.text import encodable

#: The endings of the files of a dumb shelf.
DUMB_ENDINGS = (".dat", ".dir", ".bak")


class StoreKind(Enum):
    """The kinds of store that smtd can open, by what their files hold."""

    DUMB = "shelf (dbm.dumb)"
    SQLITE3 = "shelf (dbm.sqlite3)"
    GNU = "shelf (dbm.gnu)"
    NDBM = "shelf (dbm.ndbm)"
    DJANGO = "sqlite"
    OLD_DJANGO = "sqlite (Sumatra before 0.8)"
    EXPORT = "export"
    HTTP = "http"
    POSTGRESQL = "postgresql"
    MYSQL = "mysql"


#: What is asked over a network, and has no files.
SERVERS = frozenset({StoreKind.HTTP, StoreKind.POSTGRESQL, StoreKind.MYSQL})


@dataclass(frozen=True, slots=True)
class Access:
    """What a person says about a store beside where it is.

    *timezone*: where the clocks of its records stood, if Sumatra before 0.8 wrote them, which
    kept local times (empty: where this machine's stands). *python*: the interpreter whose Sumatra
    uses the shelf, for writing a kind of dbm file that this Python cannot. *username* and *password*:
    how to be let in by a server; *token*: the same over HTTP, in place of both. *ca_file*: the authority that
    vouches for it, if this machine knows of none (False for *verify_tls*: nobody needs to). *tls*: how a
    connection to a database is protected, in PostgreSQL's words (empty: as it comes). *proxy*: by which a
    server is reached over HTTP. *notify*: a database may tell of changes by itself.
    """

    timezone: str = ""
    python: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    verify_tls: bool = True
    tls: str = ""
    proxy: str | None = field(default=None, repr=False)
    notify: bool = False

    def of(self, username: str | None, password: str | None) -> Access:
        """Return the access of the account that an address or a project names, if it names one.

        Its password is the one that goes with it, or what was said of the same account, or of none: never
        that of another.
        """
        if not username:
            return self
        own = self.password if self.username in (None, username) else None
        return replace(self, username=username, password=password or own)


#: A person said nothing beside where it is.
NOTHING_SAID = Access()


@dataclass(frozen=True, slots=True)
class Location:
    """A store that was found, or the place of one that is to be made.

    *url* is the address of a server or of a database on one, without a user. Else *path* is the file, or
    that of a dumb shelf as Sumatra names it: without the endings that its backend adds. *project* is the
    Sumatra project that led here, by the files *signposts*. *renames* has the projects that are kept, each
    with its name in the store, if that is another one than here. *name* is the path without symbolic links,
    as it was when the location was made, which blocks for a moment.
    """

    kind: StoreKind
    path: Path
    project: str | None = None
    access: Access = field(default=NOTHING_SAID, compare=False)
    url: str = ""
    signposts: tuple[Path, ...] = field(default=(), compare=False)
    renames: tuple[tuple[str, str], ...] = ()
    name: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        if self.kind in SERVERS:
            object.__setattr__(self, "name", self.url)
            return
        dumb = self.kind is StoreKind.DUMB
        name = real_path(Path(f"{self.path}.dat")).with_suffix("") if dumb else real_path(self.path)
        object.__setattr__(self, "name", str(name))

    @property
    def identity(self) -> str:
        """The same for every name of the same files, and another if they become another kind.

        Projects of other names are other projects: what was agreed of them says nothing of these.
        """
        user = f"{self.access.username}@" if self.access.username else ""
        renames = f" {dict(self.renames)}" if self.renames else ""
        return f"{self.kind.name.lower()}:{user}{self}{renames}"

    def is_missing(self) -> bool:
        """Say whether none of its files is there. Blocks."""
        if self.kind in SERVERS:
            return False  # asked by opening it
        endings = DUMB_ENDINGS if self.kind is StoreKind.DUMB else ("",)
        return not any(Path(f"{self.path}{ending}").exists() for ending in endings)

    def shares_file(self, other: Location) -> bool:
        """Say whether both are one file, also by a hard link: then it has no two sides. Blocks."""
        return any(_is_one(mine, theirs) for mine, theirs in zip(self.files, other.files, strict=False))

    @property
    def files(self) -> tuple[Path, ...]:
        """The files whose looks tell that somebody wrote to the store; none for a server."""
        if self.kind in SERVERS:
            return ()
        if self.kind in (StoreKind.DUMB, StoreKind.DJANGO, StoreKind.OLD_DJANGO, StoreKind.SQLITE3):
            endings = (".dat", ".dir") if self.kind is StoreKind.DUMB else ("", "-wal")
            return tuple(Path(f"{self.name}{ending}") for ending in endings)
        return (Path(self.name),)

    def __str__(self) -> str:
        return encodable(self.name)  # a path need not be Unicode


def real_path(path: Path) -> Path:
    """Return *path* without symbolic links, but for one that leads to itself, at which pathlib fails."""
    return Path(os.path.realpath(path))


def _is_one(path: Path, other: Path) -> bool:
    try:
        return os.path.samefile(path, other)
    except OSError:  # one of them is not there
        return False
