"""The lease on a duty that one of several processes has: who may take it, and whether this process has it.

The holder renews it each second. If the holder is stopped (a suspended machine, SIGSTOP) the lease runs out,
and another process takes it. So a process that acts for the duty checks the lease in the same transaction
(fencing): a process that continues after a stop may still believe that it has it.
"""

from __future__ import annotations

import logging
import secrets
from typing import NamedTuple, Protocol

from smtd.errors import StoreUnreachable
from smtd.server.alarm import Alarm
from smtd.stores.django.connection import DatabaseConnection, ServerLink

log = logging.getLogger("smtd")

#: Seconds for which a lease is valid unless it is renewed, by the clock of the database.
LENGTH = 10.0
#: Seconds for which two users files must differ: a change reaches the machines one after the other.
PATIENCE = 10.0


class DutyLost(StoreUnreachable):
    """Another process has taken the duty over: this process was stopped or cut off for too long."""


class Lease(NamedTuple):
    """The lease as the database has it.

    *holder*: the term for which a process has it, or had it last (empty: none ever had). *left*: seconds for
    which it is valid (negative: overdue; None: its holder has gone). *is_ready*: the holder has begun with
    the duty. *users*: the fingerprint of the holder's users file.
    """

    holder: str
    left: float | None
    is_ready: bool
    users: str


def may_take(lease: Lease) -> bool:
    """Say whether another process may take *lease*.

    If it is valid for longer than LENGTH, the clock of the database was set back, so it says nothing.
    """
    return lease.left is None or not 0 < lease.left <= LENGTH


class LeaseTable(Protocol):
    """How one kind of database keeps the lease. *term* is a random name, which no other holder ever has."""

    async def read(self, db: DatabaseConnection) -> Lease | None:
        """Return the lease; None if there is no row for it, as in the middle of a restore."""

    async def take(self, link: ServerLink, before: Lease, term: str, *, is_ready: bool) -> bool:
        """Take the lease for LENGTH seconds for *term*, if *before* still has it; say whether that succeeded.

        It ends with *link* at the latest. The users file of the new holder is unknown then.
        """

    async def renew(self, link: ServerLink, term: str) -> bool:
        """Renew the lease for LENGTH seconds; return False, and do nothing, if *term* has it no more."""

    async def hold(self, db: DatabaseConnection, term: str) -> bool:
        """Say whether *term* has the lease; if so, nobody takes it until the end of the transaction."""


class Duty:
    """The lease in *table*, as this process knows it; *name* is that of the database in messages."""

    def __init__(self, table: LeaseTable, name: str) -> None:
        #: The term for which this process has the lease, as far as it knows; empty: it has none.
        self.term = ""
        #: Rings when this process gets it.
        self.taken = Alarm()
        self._table = table
        self._name = name
        self._users = ""

    async def keep(self, link: ServerLink, *, is_ready: bool, users: str) -> Lease | None:
        """Renew the lease, or try to take it; return it if another process has it.

        *is_ready*: this process need not prepare anything before others may rely on the duty. *users*: the
        fingerprint of its users file. Raises what the driver raises.
        """
        if self.term and not await self._table.renew(link, self.term):
            self.lose(self.term)
        if self.term:
            if users != self._users:
                await link.run("UPDATE smtd_duty SET users = ? WHERE holder = ?", (users, self.term))
                self._users = users
            return None
        lease = await self._table.read(link)
        if lease is None or not may_take(lease):
            return lease
        term = secrets.token_hex(8)
        if await self._table.take(link, lease, term, is_ready=is_ready):
            self.term, self._users = term, ""
            log.info("%s: this server now enters what other programs write", self._name)
            self.taken.ring()
        return None

    async def check(self, db: DatabaseConnection, term: str) -> None:
        """Raise DutyLost unless *term* has the lease, and keep others from taking it until the commit."""
        if not await self._table.hold(db, term):
            self.lose(term)
            raise DutyLost(f"another process has taken over {self._name}")

    async def begin(self, db: DatabaseConnection) -> None:
        """Note that the holder has begun. Call it inside a transaction, after `check`."""
        await db.run("UPDATE smtd_duty SET ready = 1")

    def lose(self, term: str) -> None:
        """Note that *term* is over."""
        if term == self.term:
            log.warning(
                "%s: another server now enters what other programs write: this one was stopped, or cut off,"
                " for more than %.0f s",
                self._name,
                LENGTH,
            )
            self.term = ""

    def release(self) -> None:
        """Note that the connection that held the lease is closed."""
        self.term = ""


class UsersComparison:
    """Compares the users file of this process with that of another server of the database *name*."""

    def __init__(self, name: str) -> None:
        self._name = name
        #: The two fingerprints that differ, and since when; None: there is no difference.
        self._difference: tuple[str, str] | None = None
        self._since = 0.0
        self._has_warned = False

    def compare(self, own: str, other: str, now: float) -> None:
        """Compare two fingerprints (empty: unknown) at the time *now*; warn once of a lasting difference."""
        difference = (own, other) if own and other and own != other else None
        if difference != self._difference:
            self._difference, self._since, self._has_warned = difference, now, False
        if difference is not None and not self._has_warned and now - self._since >= PATIENCE:
            self._has_warned = True
            log.warning(
                "%s is also served with another users file: users and rights differ from server to server;"
                " copy one users file to all of them",
                self._name,
            )
