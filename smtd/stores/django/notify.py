"""Let PostgreSQL tell of changes: triggers that a person has asked for, and a connection that listens.

A notice carries nothing, and only makes us look. It says no word of what smtd itself reads.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from anyio import CancelScope

from smtd.stores.django.postgresql import connected
from smtd.stores.django.server import Address

CHANNEL = "smtd_changed"
#: What a save or a deletion of Sumatra writes to in any case.
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


class Ear:
    """Listens, as long as its connection is `alive`."""

    def __init__(self, db: Any, changed: Callable[[], None]) -> None:
        self._db = db
        self._changed = changed

    @property
    def alive(self) -> bool:
        """Say whether it still hears."""
        return not self._db.is_closed()

    def hear(self, *_: object) -> None:
        """Call the subscribers."""
        self._changed()


@asynccontextmanager
async def listening(address: Address, changed: Callable[[], None]) -> AsyncIterator[Ear]:
    """Call *changed* when anybody has written to the database at *address*, or nothing is heard any more.

    Raises what the driver raises.
    """
    db = await connected(address)
    ear = Ear(db, changed)
    try:
        db.add_termination_listener(ear.hear)
        await db.add_listener(CHANNEL, ear.hear)
        yield ear
    finally:
        with CancelScope(shield=True), suppress(Exception):  # it is gone in any case
            db.remove_termination_listener(ear.hear)
            await db.remove_listener(CHANNEL, ear.hear)
            await db.close(timeout=2)
