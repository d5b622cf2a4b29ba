"""What a user may do in each project. Pure.

Rights in single projects are rows of the table `smtd_right`, in the database of the records, so that the
transaction that creates a project also stores its owner. The users file has each user's right in all
projects, and whether the user is an admin.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType

#: The table of rights. *project*: the id of a project in Sumatra's table; *username*: a name of the users
#: file; *level*: a right except "none", which has no row. (`user` and `right` are reserved words of SQL.)
CREATE_RIGHTS = (
    "CREATE TABLE IF NOT EXISTS smtd_right (project VARCHAR(255) NOT NULL, username VARCHAR(100) NOT NULL,"
    " level VARCHAR(5) NOT NULL, PRIMARY KEY (project, username))"
)


class Right(IntEnum):
    """What a user may do in a project; each right includes those before it."""

    NONE = 0
    READ = 1
    #: To add, change and delete records, and to change the project's name and description.
    WRITE = 2
    #: To delete the project, and to give others rights in it.
    OWNER = 3

    @property
    def word(self) -> str:
        """The right as the users file, the table and the commands write it."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> Right:
        """Return the right written as *word*; NONE for any other word, so that a typo grants nothing."""
        return next((right for right in cls if right.word == word), cls.NONE)


@dataclass(frozen=True, slots=True)
class User:
    """A user who has logged in, as in the users file. *everywhere* is their right in every project."""

    name: str
    admin: bool = False
    everywhere: Right = Right.NONE


@dataclass(frozen=True, slots=True)
class Rights:
    """What a client may do: *everywhere* applies to every project, future ones too; *projects* adds to it."""

    everywhere: Right = Right.NONE
    projects: Mapping[str, Right] = field(default_factory=lambda: MappingProxyType({}))
    may_create: bool = False

    def on(self, project: str) -> Right:
        """Return the right in *project*, whether or not the project exists."""
        return max(self.everywhere, self.projects.get(project, Right.NONE))


def rights_of(user: User | None, rows: Iterable[tuple[str, str, str]], anonymous: Right) -> Rights:
    """Return the rights of *user* (None: not logged in), given *rows* of project, username and level.

    *anonymous* is the right of every client in every project; logging in takes nothing away from it. Names
    are compared exactly. An admin owns every project. Every user may create projects, and then owns them; a
    client that has not logged in may not create any.
    """
    if user is None:
        return Rights(anonymous)
    if user.admin:
        return Rights(Right.OWNER, may_create=True)
    own = {project: Right.of(level) for project, username, level in rows if username == user.name}
    return Rights(max(user.everywhere, anonymous), MappingProxyType(own), may_create=True)
