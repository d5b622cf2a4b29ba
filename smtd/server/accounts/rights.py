"""What a user may do in which project. Pure.

Rights for single projects are rows of the table `smtd_right`, in the database of the records, so that the
transaction which makes a project also makes its owner. The right for all projects, and whether somebody is
an admin, are in the users file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType

#: The table of rights. *project*: the id of a project in Sumatra's table; *username*: a name of the users
#: file; *level*: a right but "none", which is no row. (`user` and `right` are words of SQL.)
CREATE_RIGHTS = (
    "CREATE TABLE IF NOT EXISTS smtd_right (project VARCHAR(255) NOT NULL, username VARCHAR(100) NOT NULL,"
    " level VARCHAR(5) NOT NULL, PRIMARY KEY (project, username))"
)


class Right(IntEnum):
    """What somebody may do in a project; each includes those before it."""

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
        """Return the right that is written as *word*; NONE if it is none, so that a slip gives nothing."""
        return next((right for right in cls if right.word == word), cls.NONE)


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who has logged in, as the users file describes them. *everywhere* holds in every project."""

    name: str
    admin: bool = False
    everywhere: Right = Right.NONE


@dataclass(frozen=True, slots=True)
class Rights:
    """What somebody may do: *everywhere* in each project, those to come included, and more in some."""

    everywhere: Right = Right.NONE
    projects: Mapping[str, Right] = field(default_factory=lambda: MappingProxyType({}))
    may_create: bool = False

    def on(self, project: str) -> Right:
        """Return what they may do in *project*, whether it is there or not."""
        return max(self.everywhere, self.projects.get(project, Right.NONE))


def rights_of(user: User | None, rows: Iterable[tuple[str, str, str]], anonymous: Right) -> Rights:
    """Return the rights of *user* (None: nobody has logged in) by *rows* (project, username, level).

    *anonymous* is what everybody may do in every project, and logging in takes nothing away from it. Names
    are compared exactly. An admin owns every project. Every user may create projects, and then owns them;
    nobody else may.
    """
    if user is None:
        return Rights(anonymous)
    if user.admin:
        return Rights(Right.OWNER, may_create=True)
    own = {project: Right.of(level) for project, username, level in rows if username == user.name}
    return Rights(max(user.everywhere, anonymous), MappingProxyType(own), may_create=True)
