"""What a package of stores offers for each of its kinds of store; nothing else in smtd asks for the kind.

`registry.py` has one line for each driver. A kind of store is a file, or a few with one name, told by its
content (`Files`), or is asked at an address (`Server`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from smtd.stores.access import Access
from smtd.stores.base import Store
from smtd.stores.incarnation import FileMarks


class Place(Protocol):
    """Where a store is, with what a person says of it: a location, as its driver sees it.

    Its text (`str`) is what people are shown.
    """

    @property
    def path(self) -> Path:
        """The path of the file, or of the files without what is added to it."""

    @property
    def url(self) -> str:
        """The address of a server, without a user."""

    @property
    def access(self) -> Access:
        """How to be let in, and how to read it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """A kind of store in files. What looks into them blocks.

    No two kinds recognize one file. A driver need not open it: SQLite has opened a database, and a file that
    is none was read.
    """

    #: What people call such a file.
    what: str
    #: What is added to the path of the store for each of its files; the first is its main file.
    endings: tuple[str, ...] = ("",)
    #: The same for the files whose looks tell that somebody wrote to the store, the main file first.
    watched: tuple[str, ...] = ("",)
    #: Says whether an open database, with these tables and views, is such a store.
    holds: Callable[[sqlite3.Connection, Collection[str]], bool] | None = None
    #: Says whether the file at a path, no database, is such a store: by its first 16 bytes.
    begins: Callable[[Path, bytes], bool] | None = None
    #: The ending of its main file, if Sumatra names the store without it and smtd with it.
    added: str = ""
    #: Endings of names by which a new store may be asked for.
    new: tuple[str, ...] = ()
    #: Makes an empty store, if a write of no records does not. Raises StoreUnreachable.
    create: Callable[[Place], Awaitable[None]] | None = None
    #: Says whether a store at a path is only what Sumatra leaves beside another one of these files.
    #: Raises UsageError if nobody can tell which is meant.
    is_leftover: Callable[[Path, Sequence[str]], bool] | None = None
    #: smtd's own server can offer such a store over HTTP.
    is_served: bool = False
    #: How such a file is told from another one at its place.
    marks: FileMarks = field(default_factory=FileMarks)


class Administration(Protocol):
    """A database on a server, for the person who looks after it."""

    async def risk(self) -> str:
        """Return why a crash of the server loses what was committed, with the remedy; empty: it does not."""

    async def make(self) -> bool:
        """Make the tables as Sumatra's first command would; say whether there were none."""

    async def run(self, statements: Iterable[str]) -> None:
        """Run *statements* that make or remove what is not Sumatra's, all or none of them if possible."""


class Triggers(NamedTuple):
    """The statements that let a database tell of changes, and those that end it."""

    install: Iterable[str]
    remove: Iterable[str]


@dataclass(frozen=True, slots=True)
class Notifications:
    """How a database on a server tells of changes by itself."""

    triggers: Callable[[], Triggers]
    #: Calls back when somebody writes to the store at a place; gives what says whether it still is heard.
    #: Raises StoreError.
    listening: Callable[[Place, Callable[[], None]], AbstractAsyncContextManager[Callable[[], bool]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A kind of store that is asked over a network."""

    #: The schemes of its addresses, in lower case.
    schemes: tuple[str, ...]
    #: Takes the user out of an address, so that it is never shown, and asks nothing of the server: returns
    #: the one form of the address, and the access. Raises UsageError, which repeats no secret.
    parse: Callable[[str, Access], tuple[str, Access]]
    #: It is spoken to over HTTP, so that a proxy may be in between.
    over_http: bool = False
    #: It answers a wrong user name or password as it answers a right one to whom nothing is shown.
    hides_projects: bool = False
    #: Connects to a database that a person looks after. Raises UsageError without the module for it.
    administer: Callable[[Place], AbstractAsyncContextManager[Administration]] | None = None
    notifications: Notifications | None = None


class ProjectEntry(NamedTuple):
    """How Sumatra's project files name a kind of store: by a class, with its path or address under a key."""

    record_store: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Driver:
    """One kind of store; it is in `files`, or on a `server`.

    Identities of stores in journals begin with *name*: it must never change, and no two kinds may share it.
    """

    name: str
    #: Gives the store at a place, and closes it afterwards; one that is not there is made by its first write.
    open: Callable[[Place], AbstractAsyncContextManager[Store]]
    files: Files | None = None
    server: Server | None = None
    project: ProjectEntry | None = None

    def __repr__(self) -> str:
        return f"Driver({self.name!r})"
