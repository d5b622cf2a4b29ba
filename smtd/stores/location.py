"""Where a store is: its files or its address, and what tells it from others."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from smtd.stores.access import NOTHING_SAID, Access
from smtd.stores.driver import Driver
from smtd.stores.incarnation import Mark
from smtd.text import encodable


@dataclass(frozen=True, slots=True)
class Location:
    """A store that was found, or the place of one that is to be made.

    *url* is the address of a server or of a database on one, without a user. Else *path* is the file, or
    that of a dumb shelf as Sumatra names it: without the endings that its backend adds. *project* is the
    Sumatra project that led here, by the files *signposts*. *renames* has the projects that are kept, each
    with its name in the store, if that is another one than here. *name* is the path without symbolic links,
    as it was when the location was made, which blocks for a moment.
    """

    driver: Driver
    path: Path
    project: str | None = None
    access: Access = field(default=NOTHING_SAID, compare=False)
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
        """The same for every name of the same files, and another if they become another kind.

        Projects of other names are other projects: what was agreed of them says nothing of these.
        """
        user = f"{self.access.username}@" if self.access.username else ""
        renames = f" {dict(self.renames)}" if self.renames else ""
        return f"{self.driver.name}:{user}{self}{renames}"

    @property
    def is_served(self) -> bool:
        """Whether smtd's own server can offer such a store over HTTP."""
        return self.driver.files is not None and self.driver.files.is_served

    def is_missing(self) -> bool:
        """Say whether none of its files is there. Blocks."""
        if self.driver.files is None:
            return False  # asked by opening it
        return not any(Path(f"{self.path}{ending}").exists() for ending in self.driver.files.endings)

    def shares_file(self, other: Location) -> bool:
        """Say whether both are one file, also by a hard link: then it has no two sides. Blocks."""
        return any(_is_one(mine, theirs) for mine, theirs in zip(self.files, other.files, strict=False))

    @property
    def files(self) -> tuple[Path, ...]:
        """The files whose looks tell that somebody wrote to the store; none for a server."""
        watched = self.driver.files.watched if self.driver.files else ()
        return tuple(Path(f"{self.name}{ending}") for ending in watched)

    def mark(self) -> Mark | None:
        """Return the mark of its main file, or None if there is none, as of a server. Blocks."""
        return self.driver.files.marks.mark(self.files[0]) if self.driver.files else None

    def commits(self) -> int | None:
        """Return a count that grows with each change of its main file (None: there is none). Blocks."""
        return self.driver.files.marks.commits(self.files[0]) if self.driver.files else None

    def is_partial(self, found: Mark | None) -> bool:
        """Say whether the mark that was *found* lacks what only the content tells: ask again."""
        return self.driver.files is not None and self.driver.files.marks.is_partial(found)

    def is_another(self, before: Mark | None, now: Mark | None) -> bool:
        """Say whether its main file, whose mark is *now*, is not the one that had *before*. Blocks.

        No server, and no store that had no mark, is ever another one.
        """
        if before is None or self.driver.files is None:
            return False
        return self.driver.files.marks.is_another(self.files[0], before, now)

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
