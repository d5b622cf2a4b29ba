"""smtd's errors: their class says who must act.

Each message is one sentence for users: what, where, what to do next. The program acts on the class, the
shell on `exit_code`.
"""

from __future__ import annotations

from typing import Any


class SmtdError(Exception):
    """The base of all errors that smtd explains to users; never raised itself."""

    exit_code = 1
    #: The message has one line for each of several mistakes, and its line breaks are smtd's own.
    has_lines = False


class UsageError(SmtdError):
    """A command line or a configuration is wrong: the user must correct it."""

    exit_code = 2


class StoreError(SmtdError):
    """A store, or one of its records, could not be used."""

    exit_code = 4


class StoreUnreachable(StoreError):
    """The store cannot be reached or read now; a later try may succeed."""


class StoreBusy(StoreUnreachable):
    """The store may succeed in a moment: after *retry_after* seconds, if it gave a time.

    `decided` has the known outcomes of a write that failed: those of some of its changes, by key.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.decided: dict[Any, Any] = {}


class StoreRefused(StoreError):
    """The store can be reached but not used as it is: a user must change something."""


class LoginRefused(StoreRefused):
    """The store does not accept the user and the secret, or got none."""


class StoreElsewhere(StoreRefused):
    """The server has its records at another *address*, and says so."""

    def __init__(self, message: str, address: str) -> None:
        super().__init__(message)
        self.address = address


class RecordUnusable(StoreError):
    """One record cannot be read, or a store cannot hold it; the other records are not affected."""

    @property
    def reason(self) -> str:
        """What is wrong with it, for `Scan.unreadable`."""
        return str(self)


class Nameless(str):
    """The reason why a record has no name: a record that seems to be missing may be this one."""

    __slots__ = ()


class RecordNameless(RecordUnusable):
    """The name of one record cannot be read: it may be any record that seems to be missing."""

    @property
    def reason(self) -> Nameless:
        return Nameless(self)


class AnotherRecord(RecordUnusable):
    """A store returned another record than the requested one, about which nothing is known then."""


class PlanChanged(SmtdError):
    """A plan is no longer what the next cycle would do."""


class JournalError(SmtdError):
    """smtd's own journal cannot be used."""

    exit_code = 4


class DaemonNotRunning(SmtdError):
    """No daemon answers at the control socket."""

    exit_code = 3


class DaemonRuns(UsageError):
    """Another daemon uses the socket or the state directory that this one needs."""
