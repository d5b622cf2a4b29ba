"""The tables of Sumatra 0.8.1's Django schema, and the statements on them.

All names are quoted as SQL does, since `user` is a reserved word in some databases.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from importlib.resources import files

from smtd.sqlite import script
from smtd.stores.django.rows import DEPENDENCY_COLUMNS, PLATFORM_COLUMNS, RECORD_COLUMNS, moment

PREFIX = "django_store_"
DATA_KEY_COLUMNS = ("path", "digest", "creation", "metadata")

#: Rows that records share: table and columns. Nothing keeps them unique in the database.
SHARED = {
    "executable": ("path", "name", "version", "options"),
    "repository": ("type", "url", "upstream"),
    "parameterset": ("type", "content"),
    "launchmode": ("type", "parameters"),
    "datastore": ("type", "parameters"),
    "dependency": DEPENDENCY_COLUMNS,
    "platforminformation": PLATFORM_COLUMNS,
    "datakey": DATA_KEY_COLUMNS,
    "tag": ("name",),
}

#: What `manage.py migrate` records, so that Sumatra's first command finds nothing to do.
MIGRATIONS = (
    ("contenttypes", "0001_initial"),
    ("contenttypes", "0002_remove_content_type_name"),
    ("django_store", "0001_initial"),
    ("django_store", "0002_tag_taggeditem"),
)
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

#: The reference from a record to each row that it shares, in the order of `rows.record`.
REFERENCES = (
    "executable_id",
    "repository_id",
    "parameters_id",
    "launch_mode_id",
    "datastore_id",
    "input_datastore_id",
)


def names(columns: Iterable[str], form: str = '"{}"') -> str:
    """Return a list of column names, each put into *form*."""
    return ", ".join(map(form.format, columns))


def marks(count: int) -> str:
    """Return *count* placeholders for a list in a statement."""
    return ", ".join("?" * count)


SELECT_RECORDS = f"""
SELECT r.db_id, r.project_id, {names(RECORD_COLUMNS, 'r."{}"')},
    e.path, e.name, e.version, e.options, v.type, v.url, v.upstream, p.type, p.content,
    l.type, l.parameters, d.type, d.parameters, i.type, i.parameters
FROM django_store_record r
LEFT JOIN django_store_executable e ON e.id = r.executable_id
LEFT JOIN django_store_repository v ON v.id = r.repository_id
LEFT JOIN django_store_parameterset p ON p.id = r.parameters_id
LEFT JOIN django_store_launchmode l ON l.id = r.launch_mode_id
LEFT JOIN django_store_datastore d ON d.id = r.datastore_id
LEFT JOIN django_store_datastore i ON i.id = r.input_datastore_id
"""

# The plus keeps SQLite from going by the index of content types, which are the same in all rows.
SELECT_TAGS = """
SELECT t.object_id, n.name FROM django_store_taggeditem t
JOIN django_store_tag n ON n.id = t.tag_id
JOIN django_content_type c ON c.id = +t.content_type_id
    AND c.app_label = 'django_store' AND c.model = 'record'
WHERE t.object_id IN ({ids})
"""
SELECT_OUTPUTS = """
SELECT output_from_record_id, path, digest, creation, metadata FROM django_store_datakey
WHERE output_from_record_id IN ({ids}) ORDER BY id
"""
SELECT_INPUTS = """
SELECT m.record_id, k.path, k.digest, k.creation, k.metadata FROM django_store_record_input_data m
JOIN django_store_datakey k ON k.id = m.datakey_id
WHERE m.record_id IN ({ids}) ORDER BY m.id
"""
SELECT_DEPENDENCIES = f"""
SELECT m.record_id, {names(DEPENDENCY_COLUMNS, "d.{}")}
FROM django_store_record_dependencies m JOIN django_store_dependency d ON d.id = m.dependency_id
WHERE m.record_id IN ({{ids}}) ORDER BY m.id
"""
SELECT_PLATFORMS = f"""
SELECT m.record_id, {names(PLATFORM_COLUMNS, "d.{}")}
FROM django_store_record_platforms m
JOIN django_store_platforminformation d ON d.id = m.platforminformation_id
WHERE m.record_id IN ({{ids}}) ORDER BY m.id
"""

INSERT_RECORD = (
    f"INSERT INTO django_store_record ({names(RECORD_COLUMNS)}, tags, project_id, {names(REFERENCES)})"
    f" VALUES ({marks(len(RECORD_COLUMNS) + 2 + len(REFERENCES))})"
)


def statements(dialect: str) -> list[str]:
    """Return the statements that make all tables and indexes in *dialect*. Blocks."""
    return script(files(__package__).joinpath(f"{dialect}.sql").read_text("utf-8"))


def making(statements: Iterable[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Return *statements*, which make the tables, and those that tell Django so; each with its values."""
    return [*((statement, ()) for statement in statements), *noted()]


def noted() -> list[tuple[str, tuple[str, ...]]]:
    """Return the statements, with their values, that tell Django that the tables are made."""
    now = moment(datetime.now(timezone.utc))
    migration = f"INSERT INTO django_migrations (app, name, applied) VALUES (?, ?, '{now}')"
    kind = "INSERT INTO django_content_type (app_label, model) VALUES ('django_store', ?)"
    return [*((migration, done) for done in MIGRATIONS), *((kind, (model,)) for model in MODELS)]
