"""The lease of `lease.py` in MySQL and MariaDB: it lasts as long as the lock of the only serving process.

So it never runs out while that process has the lock (`exclusion.py`), and nobody has to renew it.
"""

from __future__ import annotations

from smtd.server.exclusion import LOCK, Exclusion
from smtd.server.lease import LENGTH, Lease
from smtd.stores.django.connection import DatabaseConnection
from smtd.stores.django.server import ServerLink

#: As `postgresql_lease.py` has it.
TABLE = (
    "CREATE TABLE smtd_duty (id INTEGER PRIMARY KEY, holder VARCHAR(100) NOT NULL, ready INTEGER NOT NULL,"
    " users VARCHAR(255) NOT NULL)"
)
ROW = "INSERT IGNORE INTO smtd_duty (id, holder, ready, users) VALUES (1, '', 0, '')"
#: Whether another connection has the lock: null if none has it.
_LEASE = f"SELECT holder, is_used_lock({LOCK}) <> connection_id(), ready, users FROM smtd_duty"
_HAS = "SELECT holder = ? FROM smtd_duty"


class MysqlLease:
    """The lease of the process that has *exclusion*."""

    def __init__(self, exclusion: Exclusion) -> None:
        self._exclusion = exclusion

    async def read(self, db: DatabaseConnection) -> Lease | None:
        """See `LeaseTable.read`. For the connection that has the lock, the holder has gone."""
        for holder, is_held, ready, users in await db.fetch(_LEASE):
            return Lease(holder, LENGTH if is_held else None, bool(ready), users)
        return None

    async def take(self, link: ServerLink, before: Lease, term: str, *, is_ready: bool) -> bool:
        """See `LeaseTable.take`."""
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
        """See `LeaseTable.hold`."""
        # What others have committed since the snapshot counts, too. Not a shared lock, which `set_ready` and
        # a change of the users file would both have to wait for.
        return bool(await db.value(f"{_HAS} FOR UPDATE", (term,)))

    async def set_ready(self, db: DatabaseConnection) -> None:
        """See `LeaseTable.set_ready`."""
        await db.run("UPDATE smtd_duty SET ready = 1")

    async def publish_users(self, link: ServerLink, term: str, users: str) -> None:
        """See `LeaseTable.publish_users`."""
        await link.run("UPDATE smtd_duty SET users = ? WHERE holder = ?", (users, term))
