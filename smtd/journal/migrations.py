"""Bring a journal of an earlier version up to schema.sql; all data stay.

The schema only grows. So a journal gets the tables, indexes and columns of schema.sql that it lacks; a new
column has a default, or may be NULL. `_STEPS` has what is to be done besides.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial

from smtd.sqlite import Connection

#: The earliest version that can be migrated.
OLDEST = 8
#: Statements for journals of up to a version; they run once the schema is that of schema.sql.
_STEPS = (
    (
        9,
        """
        INSERT INTO forgotten
            SELECT pair, max(id), coalesce((SELECT at FROM history ORDER BY id LIMIT 1), max(started))
            FROM cycle WHERE id <= coalesce((SELECT cycle FROM history ORDER BY id LIMIT 1), id)
                AND (SELECT min(last) FROM seal) > 0
            GROUP BY pair
        """,
    ),
    (10, "DROP TABLE quiet"),
)
#: The tables and indexes that the schema names, with the statements that create them.
_OBJECTS = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
#: Each column of each table, with the words that define it.
_COLUMNS = """
SELECT m.name, c.name, c.type || iif(c."notnull", ' NOT NULL', '') || ifnull(' DEFAULT ' || c.dflt_value, '')
    FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'
"""


async def migrate(db: Connection, version: int, schema: str) -> None:
    """Bring a journal of *version* up to the text of *schema*, within the open transaction."""
    objects = {name for name, _ in await db.fetch(_OBJECTS)}
    columns = {(table, name) for table, name, _ in await db.fetch(_COLUMNS)}
    await db.run_script(await db.in_thread(partial(_missing, schema, objects, columns)))
    await db.run_script([statement for last, statement in _STEPS if version <= last])


def _missing(schema: str, objects: set[str], columns: set[tuple[str, str]]) -> list[str]:
    """Return the statements that add what *schema* has besides these *objects* and *columns*. Blocks."""
    with closing(sqlite3.connect(":memory:")) as model:
        model.executescript(schema)
        added = [
            f"ALTER TABLE {table} ADD COLUMN {column} {definition}"
            for table, column, definition in model.execute(_COLUMNS)
            if table in objects and (table, column) not in columns
        ]
        return added + [create for name, create in model.execute(_OBJECTS) if name not in objects]
