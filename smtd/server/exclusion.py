"""Only one process serves a MySQL or MariaDB database: a lock of the server, and a fence in `smtd_head`.

The lock refuses a second process. It belongs to a connection, so another process can get it as soon as the
first one has died, and also if the first one was stopped for longer than `_LEASE`, or its network failed. If
the first one then continues, it does not know. So `smtd_head` has the name of the process that got the lock
last, and each transaction of the server compares it after it has locked that row (`check`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from smtd.errors import UsageError
from smtd.server.backend import Replaced
from smtd.server.lease import LENGTH, Lease
from smtd.server.remote import Names
from smtd.stores.django.connection import DatabaseConnection, ServerLink
from smtd.stores.django.database import translating_errors
from smtd.stores.django.server import ServerDatabase

#: The lock. All databases of a server share the names of locks, so it contains the name of the database.
LOCK = "concat('smtd-serve:', md5(database()))"
#: Seconds to wait at the start for a process that is ending.
_WAIT = 2
#: Seconds of silence after which the server closes the connection that has the lock (`RemoteBackend` asks
#: something each second): another process has to wait that long if the machine of this one fails.
_LEASE = 30

#: As `postgresql_lease.py` has it.
LEASE_TABLE = (
    "CREATE TABLE smtd_duty (id INTEGER PRIMARY KEY, holder VARCHAR(100) NOT NULL, ready INTEGER NOT NULL,"
    " users VARCHAR(255) NOT NULL)"
)
LEASE_ROW = "INSERT IGNORE INTO smtd_duty (id, holder, ready, users) VALUES (1, '', 0, '')"
#: Whether another connection has the lock: null if none has it.
_STATE = f"SELECT holder, is_used_lock({LOCK}) <> connection_id(), ready, users FROM smtd_duty"
_HAS = "SELECT holder = ? FROM smtd_duty"


class Fenced(Replaced):
    """Another process has begun to serve the database."""


class Exclusion:
    """The claim of the process with *names* to be the only one that serves a database."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._is_claimed = False
        #: The connection that got the lock at the start, until `link` gives it away.
        self._first: ServerLink | None = None

    @asynccontextmanager
    async def claimed(self, database: ServerDatabase) -> AsyncIterator[None]:
        """Claim *database* for the length of a block. Raises UsageError if another process serves it."""
        async with _leased(database) as link:
            with translating_errors(database):
                if not await self.try_lock(link, _WAIT):
                    raise UsageError(await self._refusal(link))
                await link.run("UPDATE smtd_head SET owner = ?", (self._names.process,))
            self._first, self._is_claimed = link, True
            try:
                yield
            finally:
                self._first, self._is_claimed = None, False

    async def _refusal(self, link: ServerLink) -> str:
        where = f"SELECT host FROM information_schema.processlist WHERE id = is_used_lock({LOCK})"
        host = str(await link.value(where) or "").rpartition(":")[0] or "some machine"
        return (
            f"{self._names.database} is already served by another process on {host}; only one process can"
            " serve a MySQL or MariaDB database, so stop that one first"
        )

    @asynccontextmanager
    async def link(self, database: ServerDatabase) -> AsyncIterator[ServerLink]:
        """Yield a connection that has the lock, or can get it by `try_lock`."""
        link, self._first = self._first, None
        if link is None or link.is_closed:
            async with _leased(database) as another:
                yield another
            return
        try:
            yield link
        except Exception:
            await link.close()  # else it would keep the lock from the next one
            raise

    async def try_lock(self, link: ServerLink, seconds: int = 0) -> bool:
        """Try for some *seconds* to get the lock for as long as *link* lasts; say whether it has it."""
        return bool(await link.value(f"SELECT get_lock({LOCK}, {seconds})"))

    def check(self, owner: object) -> None:
        """Raise Fenced if this process has claimed the database, and `smtd_head` names another *owner*."""
        if self._is_claimed and owner != self._names.process:
            raise Fenced(
                f"another process has begun to serve {self._names.database}, or it was restored from a backup"
            )


@asynccontextmanager
async def _leased(database: ServerDatabase) -> AsyncIterator[ServerLink]:
    """Yield a connection that the server closes when it has been silent for `_LEASE` seconds."""
    async with database.own_link() as link:
        await link.run(f"SET SESSION wait_timeout = {_LEASE}")
        yield link


class MysqlLease:
    """The lease of `lease.py`: it lasts as long as the lock that *exclusion* has.

    So it never runs out while that process has the lock, and nobody has to renew it.
    """

    def __init__(self, exclusion: Exclusion) -> None:
        self._exclusion = exclusion

    async def read(self, db: DatabaseConnection) -> Lease | None:
        """See `LeaseTable.read`. For the connection that has the lock, the holder has gone."""
        for holder, is_held, ready, users in await db.fetch(_STATE):
            return Lease(holder, LENGTH if is_held else None, bool(ready), users)
        return None

    async def take(self, link: ServerLink, before: Lease, term: str, *, is_ready: bool) -> bool:
        if not await self._exclusion.try_lock(link):
            return False
        await link.run(
            "UPDATE smtd_duty SET holder = ?, ready = ?, users = '' WHERE holder = ?",
            (term, int(is_ready), before.holder),
        )
        return await self.renew(link, term)

    async def renew(self, link: ServerLink, term: str) -> bool:
        """Say whether *term* has the lease: nothing else is needed."""
        return bool(await link.value(_HAS, (term,)))

    async def hold(self, db: DatabaseConnection, term: str) -> bool:
        # What others have committed since the snapshot counts, too. Not a shared lock, which `set_ready` and
        # a change of the users file would both have to wait for.
        return bool(await db.value(f"{_HAS} FOR UPDATE", (term,)))
