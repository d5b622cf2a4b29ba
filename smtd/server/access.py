"""Who asks, and what they may do: the seam between the server and its accounts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol, TypeAlias

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

    @property
    def mark(self) -> str:
        """A short word that differs for each view, and is the same after each start."""
        words = repr((self.everything, sorted(self.projects)))
        return blake2b(words.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


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

    def view(self, project: str | None = None) -> View:
        """Return which projects they may read; only of *project*, if one is given."""
        if project is not None:
            return View(frozenset((project,) if self.may(Right.READ, project) else ()))
        if self.rights.everywhere >= Right.READ:
            return View(everything=True)
        return View(frozenset(name for name, right in self.rights.projects.items() if right >= Right.READ))

    def may(self, right: Right, project: str) -> bool:
        """Say whether they have *right* in *project*."""
        return self.rights.on(project) >= right


#: Tells who asks and what they may do by now; None: nobody any more.
Again: TypeAlias = Callable[[], Awaitable[Caller | None]]
