"""How to detect that a database file was replaced by another one, or by an earlier state of itself."""

from __future__ import annotations

import sqlite3

from smtd.stores.incarnation import DatabaseMarks, number

#: The highest id that a record ever had: SQLite never reuses an id in this table.
_HIGHEST = "SELECT seq FROM sqlite_sequence WHERE name = 'django_store_record'"
#: The id of the newest row, and the columns of a row that never change.
NEWEST = "SELECT max(db_id) FROM django_store_record"
NAME = "SELECT project_id, label FROM django_store_record WHERE db_id = ?"


def highest(db: sqlite3.Connection) -> int | None:
    """Return the highest id that a record ever had; None if there never was a record."""
    return number(db, _HIGHEST)


MARKS = DatabaseMarks(highest=highest, newest=NEWEST, name=NAME)
