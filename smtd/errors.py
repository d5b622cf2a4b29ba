"""Errors that say whose turn it is.

Each message is one sentence for a person: what, where, what to do next. The class tells the
program what to do; `exit_code` tells the shell.
"""

from __future__ import annotations

from typing import Any


class SmtdError(Exception):
    """Something that smtd can name; never raised itself."""

    exit_code = 1
    #: The message has a line for each of several mistakes, none of which somebody else wrote.
    has_lines = False


class UsageError(SmtdError):
    """The words of a command or a configuration are wrong: the person's turn."""

    exit_code = 2


class StoreError(SmtdError):
    """A store, or one of its records, could not be used."""

    exit_code = 4


class StoreUnreachable(StoreError):
    """The store cannot be reached or read now; a later try may succeed."""


class StoreBusy(StoreUnreachable):
    """The store may do it in a moment: *retry_after* seconds from now, if it said so.

    `decided` has what is known of a write all the same: the outcomes of some of its changes, by key.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.decided: dict[Any, Any] = {}


class StoreRefused(StoreError):
    """The store can be reached but not used as it is: a person must change something."""


class RecordUnusable(StoreError):
    """One record cannot be read, or cannot be held by a store; the others go on."""

    @property
    def reason(self) -> str:
        """What is wrong with it, for `Scan.unreadable`."""
        return str(self)


class Nameless(str):
    """Why a record has no name: one that seems to be missing may be this one."""

    __slots__ = ()


class RecordNameless(RecordUnusable):
    """One record has no name that can be read: it may be any that seems to be missing."""

    @property
    def reason(self) -> Nameless:
        return Nameless(self)


class AnotherRecord(RecordUnusable):
    """A store gave another record than it was asked for: that tells nothing about the one asked for."""


class PlanMoved(SmtdError):
    """A plan is no longer what the next cycle would do."""


class JournalError(SmtdError):
    """smtd's own journal cannot be used."""

    exit_code = 4


class NoDaemon(SmtdError):
    """No daemon answers at the control socket."""

    exit_code = 3


class DaemonRuns(UsageError):
    """Another daemon has what this one wants: its socket or its state directory."""
