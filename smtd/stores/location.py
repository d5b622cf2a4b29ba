"""Where a store is: its files or its address, and how it is identified."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from smtd.stores.access import NO_SETTINGS, Access
from smtd.stores.driver import Driver
from smtd.stores.incarnation import Mark
from smtd.text import encodable


@dataclass(frozen=True, slots=True)
class Location:
    """The location of a store that exists, or that is to be created.

    *url* is the address of a server or of a database on one, without a user. Otherwise *path* is the file;
    for a dumb shelf it is the name that Sumatra uses, without the endings that its backend adds. *project* is
    the Sumatra project whose files, *signposts*, named the store. *renames* pairs the name of each synced
    project here with its name in the store; empty if they are the same. *name* is the path with symbolic
    links resolved when the location was made, which blocks for a moment, or *url*.
    """

    driver: Driver
    path: Path
    project: str | None = None
    access: Access = field(default=NO_SETTINGS, compare=False)
    url: str = ""
    signposts: tuple[Path, ...] = field(default=(), compare=False)
    renames: tuple[tuple[str, str], ...] = ()
    name: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        name = self.url
        if self.driver.files is not None:
            ending = self.driver.files.endings[0]
            real = real_path(Path(f"{self.path}{ending}"))
            name = str(real.with_suffix("") if ending else real)
        object.__setattr__(self, "name", name)

    @property
    def identity(self) -> str:
        """The identity of the store in the journal: equal for all names of the same files.

        It changes with the kind of store, the user name and *renames*: what was agreed on projects with other
        names does not hold for these.
        """
        user = f"{self.access.username}@" if self.access.username else ""
        renames = f" {dict(self.renames)}" if self.renames else ""
        return f"{self.driver.name}:{user}{self}{renames}"

    @property
    def is_served(self) -> bool:
        """Whether smtd's own server can offer such a store over HTTP."""
        kind = self.driver.files or self.driver.server
        return kind is not None and kind.is_served

    def is_missing(self) -> bool:
        """Say whether none of its files exists. Blocks."""
        if self.driver.files is None:
            return False  # whether a server is there shows when it is opened
        return not any(Path(f"{self.path}{ending}").exists() for ending in self.driver.files.endings)

    def shares_file(self, other: Location) -> bool:
        """Say whether both use the same file, even by a hard link: then they cannot be a pair. Blocks."""
        return any(_is_one(mine, theirs) for mine, theirs in zip(self.files, other.files, strict=False))

    @property
    def files(self) -> tuple[Path, ...]:
        """The files whose status shows that a program wrote to the store; none for a server."""
        watched = self.driver.files.watched if self.driver.files else ()
        return tuple(Path(f"{self.name}{ending}") for ending in watched)

    def mark(self) -> Mark | None:
        """Return the mark of its main file, or None if there is none, as for a server. Blocks."""
        return self.driver.files.marks.mark(self.files[0]) if self.driver.files else None

    def commits(self) -> int | None:
        """Return a count that grows with each change of its main file (None: there is none). Blocks."""
        return self.driver.files.marks.commits(self.files[0]) if self.driver.files else None

    def is_partial(self, found: Mark | None) -> bool:
        """Say whether the mark *found* lacks the values that come from the content: then read it again."""
        return self.driver.files is not None and self.driver.files.marks.is_partial(found)

    def is_another(self, before: Mark | None, now: Mark | None) -> bool:
        """Say whether its main file, whose mark is *now*, is another file than that marked *before*. Blocks.

        A server, or a store without an earlier mark, never counts as another one.
        """
        if before is None or self.driver.files is None:
            return False
        return self.driver.files.marks.is_another(self.files[0], before, now)

    def __str__(self) -> str:
        return encodable(self.name)  # a path need not be Unicode


def real_path(path: Path) -> Path:
    """Return *path* with symbolic links resolved; leave a link to itself, at which pathlib fails."""
    return Path(os.path.realpath(path))


def _is_one(path: Path, other: Path) -> bool:
    try:
        return os.path.samefile(path, other)
    except OSError:  # one of them is not there
        return False
