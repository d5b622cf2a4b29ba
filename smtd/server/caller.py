"""The caller of a request and their rights."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeAlias

from smtd.server.accounts.rights import Right, Rights, User


@dataclass(frozen=True, slots=True)
class View:
    """The projects that a caller can see: *projects*, or if *everything* all, future ones included."""

    projects: frozenset[str] = frozenset()
    everything: bool = False

    @property
    def fingerprint(self) -> str:
        """A short hash that identifies the view, and stays the same when the server restarts."""
        text = repr((self.everything, sorted(self.projects)))
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request: the *user* (None: not logged in), their *address* and their *rights*."""

    user: User | None
    address: str
    rights: Rights

    @property
    def username(self) -> str:
        """The name of the user; empty if they are not logged in."""
        return "" if self.user is None else self.user.name

    @property
    def name(self) -> str:
        """The name of the user as answers show it."""
        return "anonymous" if self.user is None else self.user.name

    @property
    def quota_key(self) -> str:
        """Whose streams count together: the user, or without a login the address, in words for a message."""
        return f"from {self.address}" if self.user is None else f"of {self.user.name}"

    def view(self, project: str | None = None) -> View:
        """Return the projects that the caller may read; with *project*, at most that one."""
        if project is not None:
            return View(frozenset((project,) if self.may(Right.READ, project) else ()))
        if self.rights.everywhere >= Right.READ:
            return View(everything=True)
        return View(frozenset(name for name, right in self.rights.projects.items() if right >= Right.READ))

    def may(self, right: Right, project: str) -> bool:
        """Say whether the caller has *right* in *project*."""
        return self.rights.on(project) >= right


#: Authenticates a request once more. Returns the caller with their current rights; None: they have to log in.
#: Raises RequestRefused (429).
Reauthenticate: TypeAlias = Callable[[], Awaitable[Caller | None]]
