"""Have PostgreSQL notify smtd of changes: triggers that a user has asked for, and a connection that listens.

A notification has no content, and only makes smtd look at the store.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from anyio import CancelScope

from smtd.stores.django.address import Address
from smtd.stores.django.postgresql import connected
from smtd.stores.driver import Announcements

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


@asynccontextmanager
async def subscribe(address: Address, changed: Callable[[], None]) -> AsyncIterator[Announcements]:
    """Call *changed* when a client has written to the database at *address*, or when the connection ends.

    Raises the errors of the driver.
    """
    db = await connected(address)

    def notified(*_: object) -> None:
        changed()

    def is_alive() -> bool:
        return not db.is_closed()

    try:
        db.add_termination_listener(notified)
        await db.add_listener(CHANNEL, notified)
        yield Announcements(is_alive, is_alive)
    finally:
        with CancelScope(shield=True), suppress(Exception):  # it is gone in any case
            db.remove_termination_listener(notified)
            await db.remove_listener(CHANNEL, notified)
            await db.close(timeout=2)
