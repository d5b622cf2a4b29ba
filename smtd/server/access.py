"""Who asks, and what they may do: the seam between the server and its accounts."""

from __future__ import annotations

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
class Caller:
    """Who sends a request (None: nobody who has logged in), from where, and what they may do."""

    user: User | None
    address: str
    rights: Rights

    @property
    def name(self) -> str:
        """How the user is called in answers."""
        return "anonymous" if self.user is None else self.user.name

    @property
    def seat(self) -> str:
        """Whose streams are counted together."""
        return f"from {self.address}" if self.user is None else f"of {self.user.name}"

    def may(self, right: Right, project: str) -> bool:
        """Say whether they have *right* in *project*."""
        return self.rights.on(project) >= right
