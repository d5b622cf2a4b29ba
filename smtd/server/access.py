"""Who asks, and what they may do: the seam between the server and its accounts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from smtd.server.accounts.rights import Right, Rights, User


class Authenticating(Protocol):
    """What tells whom a request is from."""

    async def authenticate(self, authorization: str | None, address: str) -> User | None:
        """Return who sends a request from *address* with this `Authorization`; None if nobody can be told.

        Without credentials nothing has failed. Raises TooManyFailures for a wrong login after too many
        others. It costs next to nothing for what was right a moment ago, so that a stream can ask again and
        again.
        """


@dataclass(frozen=True, slots=True)
class View:
    """Which projects somebody sees: these, or *everything*, those to come included."""

    projects: frozenset[str] = frozenset()
    everything: bool = False

    @classmethod
    def parse(cls, text: str) -> View:
        """Return the view that is written as *text*."""
        return EVERYTHING if text == _EVERYTHING else cls(frozenset(text.split("/")) - {""})

    def __str__(self) -> str:
        return _EVERYTHING if self.everything else "/".join(sorted(self.projects))  # no project has a slash

    def new(self, before: View, there: Collection[str]) -> set[str]:
        """Return which of the projects that are *there* it shows, and *before* did not."""
        if before.everything:
            return set()
        shown = set(there) if self.everything else self.projects.intersection(there)
        return set(shown - before.projects)

    def with_project(self, project: str) -> View:
        """Return the view of somebody who sees *project*, too."""
        return self if self.everything else View(self.projects | {project})


#: How a view of everything is written: no project is called so, as it could not be told from a right for all.
_EVERYTHING = "*"
EVERYTHING = View(everything=True)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request (None: nobody who has logged in), from where, and what they may do."""

    user: User | None
    address: str
    rights: Rights

    @property
    def account(self) -> str:
        """The name of the user; empty for nobody."""
        return "" if self.user is None else self.user.name

    @property
    def name(self) -> str:
        """How the user is called in answers."""
        return "anonymous" if self.user is None else self.user.name

    @property
    def seat(self) -> str:
        """Whose streams are counted together."""
        return f"from {self.address}" if self.user is None else f"of {self.user.name}"

    @property
    def view(self) -> View:
        """Which projects they may read."""
        if self.rights.everywhere >= Right.READ:
            return EVERYTHING
        return View(frozenset(name for name, right in self.rights.projects.items() if right >= Right.READ))

    def may(self, right: Right, project: str) -> bool:
        """Say whether they have *right* in *project*."""
        return self.rights.on(project) >= right
