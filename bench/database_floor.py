"""The least that a store costs from an SQLite file into PostgreSQL, or back: the same rows, at once.

    python database_floor.py to|from SQLITE ADDRESS

No digest, no comparison, no journal and no reading back; not a line is shared with smtd.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from contextlib import closing
from datetime import datetime, timezone
from ipaddress import ip_address
from typing import Any

import asyncpg

TABLES = (
    *("project", "executable", "repository", "parameterset", "launchmode", "datastore", "dependency"),
    *("platforminformation", "tag", "record", "datakey", "record_input_data", "record_dependencies"),
    *("record_platforms", "taggeditem"),
)
#: Columns that are no texts there, and what makes their values of texts.
KINDS: dict[str, Any] = {
    "timestamp": lambda text: datetime.fromisoformat(text).replace(tzinfo=timezone.utc),
    "creation": lambda text: datetime.fromisoformat(text).replace(tzinfo=timezone.utc),
    "ip_addr": ip_address,
}


async def main(way: str, file: str, address: str) -> None:
    """Copy all tables, each in one statement."""
    db = await asyncpg.connect(address, ssl="disable")
    with closing(sqlite3.connect(file)) as other:
        if way == "to":
            async with db.transaction():
                for table in (f"django_store_{name}" for name in TABLES):
                    rows = other.execute(f"SELECT * FROM {table}")
                    names = [column[0] for column in rows.description]
                    await db.copy_records_to_table(table, records=kindly(names, rows), columns=names)
        else:
            for table in (f"django_store_{name}" for name in TABLES):
                names = [column[1] for column in other.execute(f"PRAGMA table_info({table})")]
                quoted = ", ".join(f'"{name}"' for name in names)
                found = await db.fetch(f"SELECT {quoted} FROM {table}")
                placeholders = ", ".join("?" * len(names))
                other.executemany(
                    f"INSERT INTO {table} ({quoted}) VALUES ({placeholders})",
                    [list(map(plain, row)) for row in found],
                )
            other.commit()
    await db.close()


def plain(value: Any) -> Any:
    """Return *value* as SQLite takes it."""
    return value if value is None or isinstance(value, (str, int, float)) else str(value)


def kindly(names: list[str], rows: Any) -> list[Any]:
    """Return *rows* with the values that PostgreSQL takes."""
    made = {number: KINDS[name] for number, name in enumerate(names) if name in KINDS}
    if not made:
        return list(rows)
    return [
        [made[at](value) if at in made and value is not None else value for at, value in enumerate(row)]
        for row in rows
    ]


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
