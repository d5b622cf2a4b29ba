"""Try to write to a database as far as that leaves no trace: with statements that change no row."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import NamedTuple, TypeAlias

from smtd.errors import StoreRefused
from smtd.stores.django.connection import DatabaseConnection
from smtd.stores.django.database import translating_errors
from smtd.stores.django.mapping import PREFIX, THROUGH, WRITTEN
from smtd.stores.django.server import ServerDatabase
from smtd.stores.driver import Place

#: The tables whose rows smtd changes, with a column, and those from which it deletes rows.
_UPDATES = {"record": "label", "datakey": "path"}
_DELETES = ("record", "datakey", "taggeditem", *THROUGH)


class Denial(NamedTuple):
    """What no statement without rows shows: *query* gives its `name`, and *sentence* says it of a `place`."""

    query: str
    sentence: str


OF_POSTGRESQL = (
    Denial(
        "SELECT c.oid::regclass::text FROM pg_class c"
        " JOIN pg_depend d ON d.objid = c.oid AND d.deptype = 'a'"
        f" JOIN pg_class t ON t.oid = d.refobjid AND t.relname LIKE '{PREFIX}%'"
        " AND pg_table_is_visible(t.oid)"
        " WHERE CASE WHEN c.relkind = 'S' THEN NOT has_sequence_privilege(c.oid, 'USAGE') END ORDER BY 1",
        "permission denied: this user may not use the sequence {name} of {place}; ask for it (GRANT USAGE)",
    ),
    Denial(
        "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relname LIKE"
        f" '{PREFIX}%' AND pg_table_is_visible(c.oid) AND row_security_active(c.oid) ORDER BY 1",
        "row-level security may hide records in {name} of {place} from this user, and smtd would take them"
        " for deleted; use a user who sees every row (BYPASSRLS)",
    ),
)


class _RolledBack(Exception):
    """Ends a transaction that is not to be committed."""


#: Connects to the database at a place.
Connect: TypeAlias = Callable[[Place], AbstractAsyncContextManager[ServerDatabase]]


async def on_server(connect: Connect, place: Place, denials: Sequence[Denial] = ()) -> None:
    """Run each kind of statement that a write needs on the database at *place*, and roll all back.

    *denials*: what such a server may deny besides. Raises StoreError.
    """
    async with connect(place) as database:
        with translating_errors(database):
            async with database.session() as db, _rolled_back(db):
                for statement in _statements():
                    await db.run(statement)
                found = [(each, await db.fetch(each.query)) for each in denials]
    for denial, rows in found:
        if rows:
            raise StoreRefused(denial.sentence.format(name=rows[0][0], place=place))


@asynccontextmanager
async def _rolled_back(db: DatabaseConnection) -> AsyncIterator[None]:
    try:
        async with db.writing():
            yield
            raise _RolledBack
    except _RolledBack:
        pass


def _statements() -> Iterator[str]:
    """Yield statements that need the privileges of a write, but find no row."""
    for table in WRITTEN:
        yield f"INSERT INTO {PREFIX}{table} SELECT * FROM {PREFIX}{table} WHERE 1 = 0"
    for table, column in _UPDATES.items():
        yield f"UPDATE {PREFIX}{table} SET {column} = {column} WHERE 1 = 0"
    for table in _DELETES:
        yield f"DELETE FROM {PREFIX}{table} WHERE 1 = 0"
