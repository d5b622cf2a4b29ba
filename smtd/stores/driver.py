"""The interface of a driver, which describes one kind of store: the rest of smtd never asks for the kind.

`registry.py` lists all drivers. A store is one file, or several files with a common name, recognized by their
content (`Files`), or a server at an address (`Server`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias

from smtd.stores.access import Access
from smtd.stores.base import Store
from smtd.stores.incarnation import FileMarks


class Place(Protocol):
    """The location of a store with the user's settings for it, as a driver sees it.

    `str` gives the text that users are shown.
    """

    @property
    def path(self) -> Path:
        """The path of the file; of several files, the path without their endings."""

    @property
    def url(self) -> str:
        """The address of a server, without user name and password."""

    @property
    def access(self) -> Access:
        """The credentials and other settings for the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """A kind of store in files. The functions that read them block.

    No two kinds recognize the same file. A driver need not open a file to recognize it: `holds` gets a
    database that is open, and `begins` the first bytes of any other file.
    """

    #: What users call such a file.
    what: str
    #: The endings that make the path of the store the path of each of its files; the first is the main file.
    endings: tuple[str, ...] = ("",)
    #: The same for the files whose status shows that a program wrote to the store, the main file first.
    watched: tuple[str, ...] = ("",)
    #: Says whether an open database, with these tables and views, is such a store.
    holds: Callable[[sqlite3.Connection, Collection[str]], bool] | None = None
    #: Says whether the file at a path, which is not a database, is such a store, given its first 16 bytes.
    begins: Callable[[Path, bytes], bool] | None = None
    #: The ending of its main file, if Sumatra names the store without it and smtd with it.
    added: str = ""
    #: The endings of file names that ask for a new store of this kind.
    new: tuple[str, ...] = ()
    #: Creates an empty store, if a write of no records does not. Raises StoreUnreachable.
    create: Callable[[Place], Awaitable[None]] | None = None
    #: Says whether a store at a path is only a leftover of Sumatra's beside another store with these files.
    #: Raises UsageError if it is unclear which of the two the user means.
    is_leftover: Callable[[Path, Sequence[str]], bool] | None = None
    #: smtd's own server can offer such a store over HTTP.
    is_served: bool = False
    #: How to detect that another file has taken the place of such a file.
    marks: FileMarks = field(default_factory=FileMarks)


class Administration(Protocol):
    """A database on a server, for its administrator."""

    async def risk(self) -> str:
        """Return why a crash of the server can lose commits, with the remedy; empty: it cannot."""

    async def version(self) -> str:
        """Return the name and version of the server."""

    async def make(self) -> bool:
        """Create the tables as Sumatra's first command would; say whether there were none."""

    async def run(self, statements: Iterable[str]) -> None:
        """Run *statements* that create or remove what is not Sumatra's, if possible all or none of them."""


class Triggers(NamedTuple):
    """The statements that make a database notify clients of changes, and those that undo that."""

    install: Iterable[str]
    remove: Iterable[str]


class Announcements(NamedTuple):
    """A subscription to the changes that a store announces. *is_alive*: it works, or will by itself.

    *is_current*: a change that happens now is reported. While it is not, the store must be polled.
    """

    is_alive: Callable[[], bool]
    is_current: Callable[[], bool]


#: Subscribes to the changes of the store at a place, and calls a function back for each; see `Notifications`.
Subscribe: TypeAlias = Callable[["Place", Callable[[], None]], AbstractAsyncContextManager[Announcements]]


@dataclass(frozen=True, slots=True)
class Notifications:
    """How a database on a server notifies smtd of changes."""

    triggers: Callable[[], Triggers]
    #: Calls back when a client writes to the store at a place. Raises StoreError.
    subscribe: Subscribe


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A kind of store that is reached over a network."""

    #: The schemes of its addresses, in lower case.
    schemes: tuple[str, ...]
    #: Moves user name and password from an address to the access, so that they are never shown: returns the
    #: normalized address and the access, without a request. Raises UsageError, whose text has no secret.
    parse: Callable[[str, Access], tuple[str, Access]]
    #: smtd reaches it over HTTP, possibly through a proxy.
    over_http: bool = False
    #: It answers a wrong user name or password as it answers a user who may see no project.
    hides_projects: bool = False
    #: Connects to a database that smtd's own server offers over HTTP, by connections of its own. Raises
    #: UsageError if the module for it is missing.
    served: Callable[[Place], AbstractAsyncContextManager[Any]] | None = None
    #: Connects to a database for its administrator. Raises UsageError if the module for it is missing.
    administer: Callable[[Place], AbstractAsyncContextManager[Administration]] | None = None
    notifications: Notifications | None = None
    #: Calls back when a record on the server at a place changed, where that needs nothing to be set up there;
    #: as `Notifications.subscribe`.
    subscribe: Subscribe | None = None

    @property
    def is_served(self) -> bool:
        """Whether smtd's own server can offer such a store over HTTP."""
        return self.served is not None


class ProjectEntry(NamedTuple):
    """How Sumatra's project files name a kind of store: its class, and the key of its path or address."""

    record_store: str
    key: str


#: Tries to write to projects with some names in the store at a place, as far as that leaves no trace. Returns
#: what could not be tried, as a clause (empty: nothing). Raises StoreError if a write would fail.
TryWrite: TypeAlias = Callable[["Place", Collection[str]], Awaitable[str]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Driver:
    """One kind of store: either `files` or `server` is set.

    Identities of stores in journals begin with *name*: it must never change, and no two kinds may share it.
    """

    name: str
    #: Opens the store at a place for the length of a block; its first write creates files that are missing.
    open: Callable[[Place], AbstractAsyncContextManager[Store]]
    files: Files | None = None
    server: Server | None = None
    project: ProjectEntry | None = None
    #: None: smtd only reads such a store, or cannot try.
    try_write: TryWrite | None = None

    def __repr__(self) -> str:
        return f"Driver({self.name!r})"
