"""What errors of PostgreSQL mean for a person."""

from __future__ import annotations

import asyncio

import asyncpg
from asyncpg import exceptions as pg

from smtd import denied
from smtd.errors import LoginRefused, StoreBusy, StoreError, StoreRefused, StoreUnreachable

#: Errors that the next attempt may not meet.
_TRANSIENT = (
    pg.PostgresConnectionError,
    pg.OperatorInterventionError,
    pg.InsufficientResourcesError,
    pg.TransactionRollbackError,
    pg.InterfaceError,
    pg.InternalClientError,
    pg.InvalidCachedStatementError,
    ConnectionError,
)


def store_error(exc: Exception, name: str) -> StoreError | None:
    """Return *exc*, an error of asyncpg or of the network, as one for a person; None if it is neither.

    *name* is what a person calls the database.
    """
    if isinstance(exc, (pg.InvalidPasswordError, pg.InvalidAuthorizationSpecificationError)):
        return LoginRefused(f"login to {name} failed: {exc}; check the user and the password")
    if isinstance(exc, pg.InvalidCatalogNameError):
        return StoreRefused(f"{name} does not exist ({exc}); create the database first")
    if isinstance(exc, pg.InsufficientPrivilegeError):
        return StoreRefused(f"permission denied: this user may not use {name} ({exc}); ask for it (GRANT)")
    if isinstance(exc, pg.ReadOnlySQLTransactionError):
        return StoreRefused(f"{name} only reads ({exc}); name the server that takes writes")
    if isinstance(exc, pg.LockNotAvailableError):
        return StoreBusy(f"other programs keep writing to {name}; smtd tries again")
    if isinstance(exc, ConnectionRefusedError):
        return StoreUnreachable(f"{name} cannot be reached: connection refused; check that the server runs")
    if isinstance(exc, ConnectionError) and "SSL" in str(exc):
        return StoreRefused(f"{name} does not support TLS; set up TLS there, or use sslmode=prefer")
    if isinstance(exc, _TRANSIENT):
        return StoreBusy(f"{name} closed the connection: {exc}")
    if isinstance(exc, (TimeoutError, asyncio.TimeoutError)):
        return StoreUnreachable(f"{name} does not answer; check the server and the network")
    if isinstance(exc, OSError):
        return StoreUnreachable(f"{name} cannot be reached: {denied.why(exc)}")
    if isinstance(exc, (asyncpg.PostgresError, asyncpg.InterfaceError)):
        return StoreUnreachable(f"{name} cannot be used: {exc}")
    return None
