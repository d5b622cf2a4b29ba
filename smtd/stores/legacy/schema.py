"""The tables of the Django schemas before Sumatra 0.8.1, and statements that read them as its own.

A row is selected in the form that `rows.record` expects: if a schema lacks a column, the statement has the
value that Sumatra itself uses for it. The schema is recognized by its tables and columns alone, since no
database says which Sumatra created it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from smtd.errors import StoreRefused
from smtd.stores.django import schema
from smtd.stores.django.mapping import MEMBERSHIPS, OUTPUTS, PREFIX, RECORD_COLUMNS, REFERENCES, Relation
from smtd.stores.legacy.sources import INPUT_DATASTORE

#: The columns that a schema may lack, by table, with the values for them. If any other column is missing, the
#: schema is unknown.
_MISSING = {
    "record": {"stdout_stderr": "''", "repeats": "NULL", "script_arguments": "''", "user": "''"},
    "executable": {"options": "''"},
    "repository": {"upstream": "NULL"},
    "dependency": {"source": "NULL"},
    "datakey": {"creation": "NULL"},
}
_ALWAYS = (
    *("record", "project", "executable", "repository", "parameterset", "launchmode", "datastore"),
    *("dependency", "platforminformation", "record_dependencies", "record_platforms"),
)
_TAGS = frozenset(("tagging_tag", "tagging_taggeditem", "django_content_type"))
_SELECT_TAGS = """
SELECT t.object_id, n.name FROM tagging_taggeditem t JOIN tagging_tag n ON n.id = t.tag_id
JOIN django_content_type c ON c.id = t.content_type_id AND c.app_label = 'django_store' AND c.model = 'record'
"""


class OldSchema:
    """The statements on a database with *tables* (columns by table) at *path*.

    *migrations* are those that the database lists as applied. Raises StoreRefused for a schema that smtd
    does not know.
    """

    def __init__(
        self, tables: Mapping[str, Collection[str]], migrations: Collection[tuple[str, str]], path: object
    ) -> None:
        self._tables = tables
        self._path = path
        if "django_store_simulationrecord" in tables:
            raise StoreRefused(
                f"{path} is a store of Sumatra 0.1, which smtd cannot read; export it with Sumatra's tools"
            )
        if missing := [name for name in _ALWAYS if PREFIX + name not in tables]:
            raise StoreRefused(f"{path} is not a Sumatra record store: it has no table {PREFIX}{missing[0]}")
        if ("django_store", "0002_tag_taggeditem") in migrations:
            raise StoreRefused(f"{path} was upgraded to Sumatra 0.8; run the command again")
        self.version = self._version(migrations)

    def _version(self, migrations: Collection[tuple[str, str]]) -> str:
        """Return the first Sumatra that had this schema."""
        if not self._has("record", "script_arguments"):
            return "0.2"
        if not self.has_data_keys:
            return "0.3"
        if PREFIX + "record_output_data" in self._tables:
            if self._has("record", "repeats"):
                return "0.6"
            return "0.5" if self._has("dependency", "source") else "0.4"
        if ("django_store", "0001_initial") in migrations:
            return "0.8 (development)"
        return "0.7"

    @property
    def has_data_keys(self) -> bool:
        """Say whether data has tables of its own; before 0.4 a record has a list of paths."""
        return PREFIX + "datakey" in self._tables

    def _has(self, table: str, column: str) -> bool:
        return column in self._tables[PREFIX + table]

    def records(self) -> str:
        """Select id, project, the columns of `rows.record`, tags, and lists of inputs and outputs."""
        columns = ["r.db_id, r.project_id", self._columns("record", "r", RECORD_COLUMNS)]
        joins = []
        for at, each in enumerate(REFERENCES):
            if each.field == "input_datastore" and not self._has("record", each.link):
                columns += ["'{}'".format(text.replace("'", "''")) for text in INPUT_DATASTORE]
            else:
                columns.append(self._columns(each.table, f"x{at}", each.columns))
                joins.append(schema.reference_join(at, each))
        columns.append(self._columns("record", "r", ("tags",)))
        for name in ("input_data", "data_key"):
            columns.append(f'r."{name}"' if self._has("record", name) else "NULL")
        return (
            f"SELECT {', '.join(columns)} FROM {PREFIX}record r {' '.join(joins)}"
            " WHERE r.project_id IS NOT NULL ORDER BY r.db_id"
        )

    def parts(self) -> list[str | None]:
        """Select the rows of records in other tables: tags, inputs, outputs, dependencies, platforms.

        The first column is the id of the record. None: there are no such tables.
        """
        inputs, dependencies, platforms = MEMBERSHIPS
        data = [self._shared(inputs), self._outputs()] if self.has_data_keys else [None, None]
        tags = _SELECT_TAGS if self._tables.keys() >= _TAGS else None
        return [tags, *data, self._shared(dependencies), self._shared(platforms)]

    def _outputs(self) -> str:
        if PREFIX + "record_output_data" in self._tables:
            return self._shared(OUTPUTS._replace(link="datakey_id", through="record_output_data"))
        return (
            f"SELECT k.{OUTPUTS.link}, {self._columns('datakey', 'k', OUTPUTS.columns)}"
            f" FROM {PREFIX}datakey k WHERE k.{OUTPUTS.link} IS NOT NULL ORDER BY k.id"
        )

    def _shared(self, relation: Relation) -> str:
        return (
            f"SELECT m.record_id, {self._columns(relation.table, 'x', relation.columns)}"
            f" FROM {PREFIX}{relation.through} m JOIN {PREFIX}{relation.table} x ON x.id = m.{relation.link}"
            " ORDER BY m.id"
        )

    def _columns(self, table: str, alias: str, columns: Collection[str]) -> str:
        return ", ".join(self._column(table, alias, name) for name in columns)

    def _column(self, table: str, alias: str, name: str) -> str:
        if self._has(table, name):
            return f'{alias}."{name}"'
        if name in _MISSING.get(table, {}):
            # A row that is missing gets this value, too, but its other columns are NULL.
            return _MISSING[table][name]
        raise StoreRefused(
            f"{self._path} is not a Sumatra record store: its table {PREFIX}{table} has no column {name}"
        )
