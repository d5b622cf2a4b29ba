"""smtd's own tables in a PostgreSQL database that it serves, and the triggers that note what others write.

Sumatra works as before: it reads and writes only its own tables, by name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from hashlib import blake2b
from typing import Any

from asyncpg import exceptions as pg

from smtd.server import postgresql_lease, trigger_notes
from smtd.server.accounts.rights import CREATE_RIGHTS
from smtd.server.backend import Head
from smtd.server.lease import LeaseTable
from smtd.server.postgresql_lease import PostgresqlLease
from smtd.server.remote import Locked, Names, create_tables, only_row
from smtd.stores.django.connection import DatabaseConnection, ServerLink
from smtd.stores.django.mapping import MEMBERSHIPS, OUTPUTS, PREFIX, SHARED
from smtd.stores.django.notify import CHANNEL
from smtd.stores.django.server import ServerDatabase

#: The channels on which processes announce commits, and triggers announce what other programs write.
_COMMITTED, _NOTED = "smtd_committed", "smtd_noted"

#: As `tables.py` has them. *access*: the number of the last transaction that changed more than records.
#: *triggers*: a fingerprint of the triggers, as they were made.
TABLES = (
    "CREATE TABLE IF NOT EXISTS smtd_head (id INTEGER PRIMARY KEY CHECK (id = 1), seq BIGINT NOT NULL,"
    " access BIGINT NOT NULL, made INTEGER NOT NULL, form TEXT NOT NULL, expired BIGINT NOT NULL,"
    " triggers TEXT NOT NULL) WITH (fillfactor = 10)",
    "CREATE TABLE IF NOT EXISTS smtd_era (start BIGINT PRIMARY KEY, ended BIGINT,"
    " began DOUBLE PRECISION NOT NULL)",
    'CREATE TABLE IF NOT EXISTS smtd_change (project TEXT COLLATE "C" NOT NULL,'
    ' label TEXT COLLATE "C" NOT NULL, seq BIGINT NOT NULL,'
    " digest TEXT, problem TEXT NOT NULL, moment TEXT NOT NULL,"
    " noted DOUBLE PRECISION NOT NULL, PRIMARY KEY (project, label)) WITH (fillfactor = 80)",
    "CREATE UNIQUE INDEX IF NOT EXISTS smtd_change_seq ON smtd_change (seq)",
    "CREATE INDEX IF NOT EXISTS smtd_change_project ON smtd_change (project, seq)",
    CREATE_RIGHTS,
    "CREATE TABLE IF NOT EXISTS smtd_seen (username TEXT NOT NULL, mark TEXT NOT NULL,"
    " number INTEGER NOT NULL, PRIMARY KEY (username, mark))",
    "CREATE TABLE IF NOT EXISTS smtd_dirty (id BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,"
    " record INTEGER, project TEXT, label TEXT)",
    postgresql_lease.TABLE,
    postgresql_lease.ROW,
)
#: Of those the first, and those that earlier versions did not make.
_NEEDED = ("smtd_head", "smtd_seen", "smtd_duty")
#: Sumatra's tables have no index that finds a label. Only tables that smtd serve made get one; it comes with
#: the triggers, as both are lost if the table is restored from a dump without them.
INDEX = "CREATE INDEX IF NOT EXISTS smtd_record_key ON django_store_record (project_id, label)"

#: Where the log ends, and what differs after it, the records or the whole server were restored from a backup.
_COLUMNS = """
h.seq, (SELECT max(start) FROM smtd_era), h.access,
concat_ws(' ', c.oid, pg_relation_filenode(c.oid),
  pg_relation_filenode(to_regclass('django_store_record')), pg_postmaster_start_time())
"""
_TABLES = "smtd_head h JOIN pg_class c ON c.oid = CAST('smtd_head' AS regclass)"
_HEAD = f"SELECT {_COLUMNS} FROM {_TABLES}"
#: With it no trigger notes what this transaction writes.
_LOCK = f"SELECT set_config('smtd.writes', 'on', true), {_COLUMNS} FROM {_TABLES} FOR UPDATE OF h"
_SHARED_NOTES = "SELECT EXISTS (SELECT 1 FROM smtd_dirty WHERE record IS NULL AND project IS NULL)"
#: All triggers as they are, and the file of the table of records: a restore may fill it without them.
_TRIGGERS = """
SELECT concat_ws(' ', pg_relation_filenode(CAST('django_store_record' AS regclass)), (
  SELECT md5(string_agg(concat_ws(' ', c.relname, t.tgenabled, pg_get_triggerdef(t.oid), p.prosrc), ';'
    ORDER BY c.relname, t.tgname))
  FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
    JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE t.tgname LIKE 'smtd\\_dirty%' AND n.nspname = current_schema()))
"""

#: The function that each kind of trigger calls, with what it inserts. It has the rights of the user who made
#: it, so that a program that may write records needs no right to write notes.
_FUNCTIONS = {
    "record": """
IF TG_OP <> 'INSERT' THEN
  INSERT INTO {schema}.smtd_dirty (record, project, label) VALUES (OLD.db_id, OLD.project_id, OLD.label);
END IF;
IF TG_OP <> 'DELETE' THEN
  INSERT INTO {schema}.smtd_dirty (record, project, label) VALUES (NEW.db_id, NEW.project_id, NEW.label);
END IF;
""",
    "owned": """
INSERT INTO {schema}.smtd_dirty (record, project, label)
SELECT DISTINCT r.db_id, r.project_id, r.label FROM {schema}.django_store_record r
WHERE r.db_id IN (
  CAST(to_jsonb(OLD) ->> TG_ARGV[0] AS integer), CAST(to_jsonb(NEW) ->> TG_ARGV[0] AS integer)
);
""",
    "shared": "INSERT INTO {schema}.smtd_dirty (record, project, label) VALUES (NULL, NULL, NULL);",
    "access": "INSERT INTO {schema}.smtd_dirty (record, project, label) VALUES (NULL, '', NULL);",
}
_WHEN = "WHEN (current_setting('smtd.writes', true) IS DISTINCT FROM 'on'{condition})"


class ServedPostgresql:
    """What serving a PostgreSQL database needs of its own.

    *is_notified*: triggers that announce each write were installed there (`smtd check --install-notify`).
    """

    tables: Sequence[str] = TABLES
    replacing = "ON CONFLICT (project, label) DO UPDATE SET {}"
    new_value = "excluded.{}"
    tells_of_writes = is_shared = has_transactional_ddl = True

    def __init__(self, names: Names, *, is_notified: bool) -> None:
        self.lease: LeaseTable = PostgresqlLease()
        self._names = names
        self._is_notified = is_notified

    def is_missing(self, exc: Exception) -> bool:
        return isinstance(exc, pg.UndefinedTableError)

    async def check(self, db: DatabaseConnection) -> None:
        """Do nothing: every supported version has what is needed."""

    async def has_tables(self, db: DatabaseConnection) -> bool:
        there = " AND ".join(f"to_regclass('{name}') IS NOT NULL" for name in _NEEDED)
        return bool(await db.value(f"SELECT {there}"))

    async def is_unfinished(self, db: DatabaseConnection) -> bool:
        """Return False: a transaction creates all tables."""
        return False

    async def create(self, link: ServerLink, sumatras: Sequence[tuple[str, Sequence[Any]]] | None) -> None:
        await create_tables(link, self, sumatras)

    @asynccontextmanager
    async def claimed(self, database: ServerDatabase) -> AsyncIterator[None]:
        """Begin at once: any number of processes may serve the database."""
        yield

    def listening_link(self, database: ServerDatabase) -> AbstractAsyncContextManager[ServerLink]:
        """Yield a connection that no other task uses."""
        return database.own_link()

    async def head(self, db: DatabaseConnection) -> Head:
        return Head(*only_row(await db.fetch(_HEAD)))

    async def lock_head(self, db: DatabaseConnection) -> Locked:
        _, *head = only_row(await db.fetch(_LOCK))
        return Locked(Head(*head), bool(await db.value(_SHARED_NOTES)))

    async def announce(self, db: DatabaseConnection) -> None:
        """Announce this transaction to other processes once it is committed."""
        await db.value("SELECT pg_notify(?, ?)", (_COMMITTED, self._names.process))

    async def delete_notes(self, db: DatabaseConnection, note_ids: Sequence[int]) -> None:
        await trigger_notes.delete(db, note_ids)

    async def triggers_version(self, db: DatabaseConnection) -> str:
        """Return what differs if the triggers differ, or those that this smtd would make."""
        return f"{_fingerprint()} {await db.value(_TRIGGERS)}"

    async def repair_triggers(self, db: DatabaseConnection) -> None:
        """Recreate the triggers. Call it inside a transaction."""
        schema = str(await db.value("SELECT quote_ident(current_schema())"))
        for statement in (INDEX, *_statements(schema)):
            await db.run(statement)

    async def listen(
        self, link: ServerLink, committed: Callable[[], None], written: Callable[[], None]
    ) -> None:
        """Call *committed* when another process commits, and *written* when another program writes."""

        def on_commit(_db: Any, _pid: int, _channel: str, process: str) -> None:
            if process != self._names.process:
                committed()

        def on_write(*_what: Any) -> None:
            written()

        await link.raw.add_listener(_COMMITTED, on_commit)
        await link.raw.add_listener(_NOTED, on_write)
        if self._is_notified:
            await link.raw.add_listener(CHANNEL, on_write)


def _triggers() -> Iterator[tuple[str, str, str]]:
    """Yield the table of each trigger, its function with its argument, and when it runs.

    They cover every column from which a record is read. Rows that many records share are only added by
    Sumatra; a row that is added belongs to no record yet.
    """
    everything = "AFTER INSERT OR UPDATE OR DELETE"
    yield f"{PREFIX}record", "record()", everything
    owners = [(OUTPUTS.table, OUTPUTS.link), ("taggeditem", "object_id")]
    owners += [(each.through, "record_id") for each in MEMBERSHIPS]
    for table, owner in owners:
        yield f"{PREFIX}{table}", f"owned('{owner}')", everything
    for table in [*(f"{PREFIX}{name}" for name in sorted(SHARED)), "django_content_type"]:
        yield table, "shared()", "AFTER UPDATE OR DELETE"
    for table in (f"{PREFIX}project", "smtd_right"):
        yield table, "access()", everything


def _statements(schema: str) -> Iterator[str]:
    """Yield the statements that recreate the functions and triggers for the tables in *schema*."""
    for name, body in _FUNCTIONS.items():
        yield (
            f"CREATE OR REPLACE FUNCTION {schema}.smtd_note_{name}() RETURNS trigger LANGUAGE plpgsql"
            " SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS"
            f" $$ BEGIN {body.format(schema=schema)} PERFORM pg_notify('{_NOTED}', ''); RETURN NULL; END $$"
        )
    for table, call, when in _triggers():
        place = f"{schema}.{table}"
        kind = call.partition("(")[0]
        for event in when.removeprefix("AFTER ").split(" OR "):
            name = f"smtd_dirty_{kind}_{event.lower()}"
            differs = " AND OLD.* IS DISTINCT FROM NEW.*" if event == "UPDATE" else ""
            yield f"DROP TRIGGER IF EXISTS {name} ON {place}"
            yield (
                f"CREATE TRIGGER {name} AFTER {event} ON {place} FOR EACH ROW"
                f" {_WHEN.format(condition=differs)} EXECUTE FUNCTION {schema}.smtd_note_{call}"
            )
        name = f"smtd_dirty_{kind}_truncate"
        whole = "access" if kind == "access" else "shared"
        yield f"DROP TRIGGER IF EXISTS {name} ON {place}"
        yield (
            f"CREATE TRIGGER {name} AFTER TRUNCATE ON {place} FOR EACH STATEMENT"
            f" EXECUTE FUNCTION {schema}.smtd_note_{whole}()"
        )


def _fingerprint() -> str:
    return blake2b("\n".join(_statements("s")).encode(), digest_size=8).hexdigest()
