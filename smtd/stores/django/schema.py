"""The tables of Sumatra 0.8.1's Django schema, and the statements on them.

The names in lists of columns are quoted, since `user` is a reserved word in some databases.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from datetime import datetime, timezone
from importlib.resources import files

from smtd.sqlite import script
from smtd.stores.django.connection import Row
from smtd.stores.django.mapping import (
    KNOWN,
    MEMBERSHIPS,
    OUTPUTS,
    PREFIX,
    RECORD_COLUMNS,
    REFERENCES,
    Relation,
)
from smtd.stores.django.rows import moment

#: What `manage.py migrate` records, so that Sumatra's first command finds nothing to do.
MIGRATIONS = (
    ("contenttypes", "0001_initial"),
    ("contenttypes", "0002_remove_content_type_name"),
    ("django_store", "0001_initial"),
    ("django_store", "0002_tag_taggeditem"),
)
#: The last migration of Sumatra 0.8.
_LAST = MIGRATIONS[-1]
MODELS = (
    "datakey",
    "datastore",
    "dependency",
    "executable",
    "launchmode",
    "parameterset",
    "platforminformation",
    "project",
    "repository",
    "record",
    "tag",
    "taggeditem",
)


def mismatch(migrations: Collection[Row], columns: Iterable[Row]) -> str:
    """Return why tables are not those of Sumatra 0.8.1, as a clause (empty: they are).

    *migrations* are those that the database lists as applied; *columns* has table and name of each column.
    """
    if _LAST not in migrations:
        return "its schema is older or different; smtd supports only schema 0.8.1"
    for table, column in sorted(columns):
        known = KNOWN.get(table.removeprefix(PREFIX))
        if known is not None and column not in known:
            return (
                f"its table {table} has the column {column!r}, which smtd would not carry; use an smtd that"
                " knows it"
            )
    return ""


def is_migrated(db: sqlite3.Connection, tables: Collection[str]) -> bool:
    """Say whether the schema of *db*, which has these *tables*, is that of Sumatra 0.8. Blocks."""
    if "django_migrations" not in tables:
        return False
    done = db.execute("SELECT 1 FROM django_migrations WHERE app = ? AND name = ?", _LAST)
    return done.fetchone() is not None


def names(columns: Iterable[str], form: str = '"{}"') -> str:
    """Return a list of column names, each put into *form*."""
    return ", ".join(map(form.format, columns))


def placeholders(count: int) -> str:
    """Return *count* placeholders for a list in a statement."""
    return ", ".join("?" * count)


_OF_R, _OF_X = 'r."{}"', 'x."{}"'


def _references() -> str:
    """Return the columns of the rows that a record refers to, and the joins that select them."""
    columns = [f'x{at}."{name}"' for at, each in enumerate(REFERENCES) for name in each.columns]
    joins = [reference_join(at, each) for at, each in enumerate(REFERENCES)]
    return f"{', '.join(columns)} FROM {PREFIX}record r {' '.join(joins)}"


def reference_join(number: int, reference: Relation) -> str:
    """Return the join, as `x` and *number*, of the row that a record `r` refers to."""
    return f"LEFT JOIN {PREFIX}{reference.table} x{number} ON x{number}.id = r.{reference.link}"


def _members(relation: Relation) -> str:
    """Return the query for the rows of *relation* that records have: id of the record, and the columns."""
    return (
        f"SELECT m.record_id, {names(relation.columns, _OF_X)} FROM {PREFIX}{relation.through} m"
        f" JOIN {PREFIX}{relation.table} x ON x.id = m.{relation.link}"
        " WHERE m.record_id IN ({ids}) ORDER BY m.id"
    )


SELECT_RECORDS = f"SELECT r.db_id, r.project_id, {names(RECORD_COLUMNS, _OF_R)}, {_references()}"
# The plus keeps SQLite from using the index of content types, which are the same in all rows.
SELECT_TAGS = """
SELECT t.object_id, n.name FROM django_store_taggeditem t
JOIN django_store_tag n ON n.id = t.tag_id
JOIN django_content_type c ON c.id = +t.content_type_id
    AND c.app_label = 'django_store' AND c.model = 'record'
WHERE t.object_id IN ({ids})
"""
SELECT_OUTPUTS = (
    f"SELECT {OUTPUTS.link}, {names(OUTPUTS.columns)} FROM {PREFIX}{OUTPUTS.table}"
    f" WHERE {OUTPUTS.link} IN ({{ids}}) ORDER BY id"
)
SELECT_INPUTS, SELECT_DEPENDENCIES, SELECT_PLATFORMS = map(_members, MEMBERSHIPS)

_LINKS = [reference.link for reference in REFERENCES]
INSERT_RECORD = (
    f"INSERT INTO django_store_record ({names(RECORD_COLUMNS)}, tags, project_id, {names(_LINKS)})"
    f" VALUES ({placeholders(len(RECORD_COLUMNS) + 2 + len(_LINKS))})"
)


def statements(dialect: str) -> list[str]:
    """Return the statements that create all tables and indexes in *dialect*. Blocks."""
    return script(files(__package__).joinpath(f"{dialect}.sql").read_text("utf-8"))


def creation(dialect: str) -> list[tuple[str, tuple[str, ...]]]:
    """Return the statements, with their values, that create all tables, as Django would. Blocks."""
    now = moment(datetime.now(timezone.utc))
    migration = f"INSERT INTO django_migrations (app, name, applied) VALUES (?, ?, '{now}')"
    kind = "INSERT INTO django_content_type (app_label, model) VALUES ('django_store', ?)"
    return [
        *((statement, ()) for statement in statements(dialect)),
        *((migration, done) for done in MIGRATIONS),
        *((kind, (model,)) for model in MODELS),
    ]
