"""What tells a database in a file from another one, or from an earlier state of itself, at its place."""

from __future__ import annotations

import sqlite3

from smtd.stores.incarnation import DatabaseMarks, number

#: The highest number that records ever had: SQLite gives none to two of them.
_HIGHEST = "SELECT seq FROM sqlite_sequence WHERE name = 'django_store_record'"
#: The newest row, and what never changes of a row.
NEWEST = "SELECT max(db_id) FROM django_store_record"
NAME = "SELECT project_id, label FROM django_store_record WHERE db_id = ?"


def highest(db: sqlite3.Connection) -> int | None:
    """Return the highest number that a record ever had; None before there was one."""
    return number(db, _HIGHEST)


MARKS = DatabaseMarks(highest=highest, newest=NEWEST, name=NAME)
