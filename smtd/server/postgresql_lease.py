"""The lease of `lease.py` in PostgreSQL: who has it is in a row, until when in an advisory lock.

The holder has the lock whose number is the second at which the lease runs out. All can see it, it ends with
the connection, and to renew it needs no transaction: a row that is written each second would look to pairs,
and to servers of tables without triggers, as if somebody wrote all the time.
"""

from __future__ import annotations

from smtd.server.lease import LENGTH, Lease
from smtd.stores.django.connection import DatabaseConnection, ServerLink

#: *backend*: the process of PostgreSQL that has the lock. *ready*: the holder has begun. *users*: the
#: fingerprint of the users file of the holder.
TABLE = (
    "CREATE TABLE IF NOT EXISTS smtd_duty (id INTEGER PRIMARY KEY CHECK (id = 1), holder TEXT NOT NULL,"
    " backend INTEGER NOT NULL, ready INTEGER NOT NULL, users TEXT NOT NULL)"
)
ROW = (
    "INSERT INTO smtd_duty (id, holder, backend, ready, users)"
    " SELECT 1, '', 0, 0, '' WHERE NOT EXISTS (SELECT 1 FROM smtd_duty)"
)
#: The first number of the locks: "smtd". The second counts seconds from 2020 on, as it has 31 bits.
_LOCK, _FIRST = 0x736D7464, 1_577_836_800
_NOW = f"(CAST(extract(epoch FROM clock_timestamp()) AS double precision) - {_FIRST})"
_LEASE = f"""
SELECT d.holder, CAST((
  SELECT max(CAST(l.objid AS bigint)) FROM pg_locks l JOIN pg_database b ON b.oid = l.database
  WHERE l.locktype = 'advisory' AND CAST(l.classid AS bigint) = {_LOCK} AND l.objsubid = 2
    AND l.pid = d.backend AND b.datname = current_database()
) AS double precision) - {_NOW}, d.ready = 1, d.users FROM smtd_duty d
"""
#: A shared lock: the former holder may have one of the same number.
_EXTEND = f"""
WITH until AS MATERIALIZED (SELECT CAST(floor({_NOW} + {LENGTH}) AS integer) AS second)
SELECT second, pg_advisory_lock_shared({_LOCK}, second) FROM until
"""


class PostgresqlLease:
    """The lease, as far as this process has locks for it."""

    def __init__(self) -> None:
        #: The seconds at which the locks of this process say that the lease runs out.
        self._seconds: list[int] = []

    async def read(self, db: DatabaseConnection) -> Lease | None:
        found = await db.fetch(_LEASE)
        return Lease(*found[0]) if found else None

    async def take(self, link: ServerLink, before: Lease, term: str, *, is_ready: bool) -> bool:
        self._seconds = []  # the locks of an earlier connection ended with it
        await self._extend(link)  # first: a holder without a lock counts as gone
        taken = await link.value(
            "UPDATE smtd_duty SET holder = ?, backend = pg_backend_pid(), ready = ?, users = ''"
            " WHERE holder = ? RETURNING 1",
            (term, int(is_ready), before.holder),
        )
        if not taken:
            await self._unlock(link)
        return bool(taken)

    async def renew(self, link: ServerLink, term: str) -> bool:
        if not await link.value("SELECT holder = ? FROM smtd_duty", (term,)):
            await self._unlock(link)
            return False
        await self._extend(link)
        return True

    async def hold(self, db: DatabaseConnection, term: str) -> bool:
        return bool(await db.value("SELECT holder = ? FROM smtd_duty FOR SHARE", (term,)))

    async def _extend(self, link: ServerLink) -> None:
        """Get the lock for LENGTH seconds from now on, and then release those from before."""
        second = int(await link.value(_EXTEND))
        for before in self._seconds:
            await link.value(f"SELECT pg_advisory_unlock_shared({_LOCK}, {before})")
        self._seconds = [second]

    async def _unlock(self, link: ServerLink) -> None:
        for second in self._seconds:
            await link.value(f"SELECT pg_advisory_unlock_shared({_LOCK}, {second})")
        self._seconds = []
