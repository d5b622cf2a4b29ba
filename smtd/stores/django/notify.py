"""Have PostgreSQL notify smtd of changes: triggers that a user has asked for, and a connection that listens.

A notification has no content, and only makes smtd look at the store.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from anyio import CancelScope

from smtd.stores.django.postgresql import connected
from smtd.stores.django.server import Address

CHANNEL = "smtd_changed"
#: Every save and every deletion of Sumatra writes to at least one of these tables.
_TABLES = ("record", "taggeditem", "datakey", "record_input_data")
REMOVE = (
    *(f"DROP TRIGGER IF EXISTS smtd_changed ON django_store_{table}" for table in _TABLES),
    "DROP FUNCTION IF EXISTS smtd_changed()",
)
INSTALL = (
    *REMOVE,
    "CREATE FUNCTION smtd_changed() RETURNS trigger LANGUAGE plpgsql AS"
    f" $$ BEGIN PERFORM pg_notify('{CHANNEL}', ''); RETURN NULL; END $$",
    *(
        f"CREATE TRIGGER smtd_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON django_store_{table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION smtd_changed()"
        for table in _TABLES
    ),
)


class NotifySubscription:
    """A subscription to the notifications, which lasts while its connection is `alive`."""

    def __init__(self, db: Any, changed: Callable[[], None]) -> None:
        self._db = db
        self._changed = changed

    @property
    def alive(self) -> bool:
        """Whether the connection is still open."""
        return not self._db.is_closed()

    def on_notify(self, *_: object) -> None:
        """Call back: a client has written, or the connection has ended."""
        self._changed()


@asynccontextmanager
async def subscribe(address: Address, changed: Callable[[], None]) -> AsyncIterator[NotifySubscription]:
    """Call *changed* when a client has written to the database at *address*, or when the connection ends.

    Raises the errors of the driver.
    """
    db = await connected(address)
    subscription = NotifySubscription(db, changed)
    try:
        db.add_termination_listener(subscription.on_notify)
        await db.add_listener(CHANNEL, subscription.on_notify)
        yield subscription
    finally:
        with CancelScope(shield=True), suppress(Exception):  # it is gone in any case
            db.remove_termination_listener(subscription.on_notify)
            await db.remove_listener(CHANNEL, subscription.on_notify)
            await db.close(timeout=2)
