"""A dump of a database, and how it is restored: all rows come back with their numbers."""

from __future__ import annotations

from smtd.stores.django import schema
from tests.servers.server import Database, Statement

_TABLES = (
    "SELECT table_name FROM information_schema.tables WHERE table_schema = {} AND table_name LIKE 'django%'"
)

_MADE = {dialect: schema.statements(dialect) for dialect in ("postgresql", "mysql")}


class Dump:
    """The current contents of *database*, kept in tables beside Sumatra's."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._postgresql = database.server.scheme == "postgresql"
        schemas = "current_schema()" if self._postgresql else "database()"
        self._tables = sorted(name for (name,) in database.run(_TABLES.format(schemas)))
        for table in self._tables:
            database.run(f"CREATE TABLE kept_{table} AS SELECT * FROM {table}")
        self._numbers = self._last_numbers()

    def reload(self) -> None:
        """Empty the tables and fill them again: a dump of the rows alone."""
        self._fill([(self._emptied(), ())] if self._postgresql else [])

    def restore(self) -> None:
        """Drop the tables and create them again, as a complete dump does: `pg_restore --clean`."""
        dialect = "postgresql" if self._postgresql else "mysql"
        dropped: list[Statement] = [(f"DROP TABLE {', '.join(self._tables)}", ())]
        made: list[Statement] = [(statement, ()) for statement in _MADE[dialect]]
        self._fill([*dropped, *made])

    def _fill(self, before: list[Statement]) -> None:
        filled = [(f"INSERT INTO {table} SELECT * FROM kept_{table}", ()) for table in self._tables]
        if self._postgresql:
            around: list[Statement] = [("SET session_replication_role = replica", ())]
            after: list[Statement] = [
                (f"SELECT setval('{name}', {number})", ()) for name, number in self._numbers
            ]
        else:
            # The time of a table's creation has whole seconds.
            around = [("SELECT sleep(1.1)", ()), ("SET foreign_key_checks = 0", ())]
            before = [*before, *((f"TRUNCATE {table}", ()) for table in self._tables)]
            after = [(f"ALTER TABLE {name} AUTO_INCREMENT = {number}", ()) for name, number in self._numbers]
        self._database.run_all(*around, *before, *filled, *after)

    def _emptied(self) -> str:
        return f"TRUNCATE {', '.join(self._tables)}"

    def _last_numbers(self) -> list[tuple[str, int]]:
        """Return the numbers that rows get next, according to a dump."""
        if self._postgresql:
            asked = "SELECT sequencename, last_value FROM pg_sequences WHERE last_value IS NOT NULL"
        else:
            asked = "SELECT table_name, auto_increment FROM information_schema.tables"
            asked += " WHERE table_schema = database() AND auto_increment IS NOT NULL"
        return [(name, int(number)) for name, number in self._database.run(asked)]
