"""The least that copying an SQLite store to an empty one can cost in Python: all rows, read and inserted.

    python copy_floor.py STORE EMPTY NEW

in one transaction, as they are: nothing is understood, compared, or remembered.
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
from contextlib import closing


def main(store: str, empty: str, new: str) -> None:
    """Do it."""
    shutil.copyfile(empty, new)
    with closing(sqlite3.connect(store)) as source, closing(sqlite3.connect(new)) as target, target:
        tables = source.execute(
            "SELECT name FROM sqlite_master WHERE name LIKE 'django_store%' AND type = 'table'"
        )
        for (table,) in tables.fetchall():
            rows = source.execute(f"SELECT * FROM {table}").fetchall()
            if rows:
                target.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
