"""The tables and columns of Sumatra 0.8.1 for the fields of a record, listed once for all code.

Each column is listed with the most characters that it holds (`models.py` in sumatra/recordstore/django_store;
None: no limit).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

PREFIX = "django_store_"

#: The columns of the record table that are fields of the record itself.
RECORD: Mapping[str, int | None] = {
    "label": 100,
    "timestamp": None,
    "reason": None,
    "duration": None,
    "main_file": 100,
    "version": 50,
    "outcome": None,
    "script_arguments": None,
    "diff": None,
    "user": 100,
    "stdout_stderr": None,
    "repeats": 100,
}
#: The most characters of the name of a project, of a tag, and of all tags of a record together.
PROJECT, TAG, TAGS = 50, 50, 255


class Relation(NamedTuple):
    """A *field* of the record that is stored in the *columns* of another *table*.

    Without *through*, the record table refers to the row in its own column *link*. Otherwise the table
    *through* has pairs of a record and a row, and refers to the row in its column *link*. In `OUTPUTS`,
    *link* is the column of the row that refers to the record.
    """

    field: str
    table: str
    link: str
    columns: Mapping[str, int | None]
    through: str = ""


_DATA = {"path": 200, "digest": 40, "creation": None, "metadata": None}

#: The rows that a record refers to, in the order in which `schema.SELECT_RECORDS` selects them.
REFERENCES = (
    Relation(
        "executable",
        "executable",
        "executable_id",
        {"path": 200, "name": 50, "version": 100, "options": 50},
    ),
    Relation("repository", "repository", "repository_id", {"type": 100, "url": 200, "upstream": 200}),
    Relation("parameters", "parameterset", "parameters_id", {"type": 100, "content": None}),
    Relation("launch_mode", "launchmode", "launch_mode_id", {"type": 100, "parameters": 1000}),
    Relation("datastore", "datastore", "datastore_id", {"type": 100, "parameters": 200}),
    Relation("input_datastore", "datastore", "input_datastore_id", {"type": 100, "parameters": 200}),
)
#: The fields of which a record has several rows, which other records may share.
MEMBERSHIPS = (
    Relation("input_data", "datakey", "datakey_id", _DATA, "record_input_data"),
    Relation(
        "dependencies",
        "dependency",
        "dependency_id",
        {"module": 50, "name": 50, "path": 200, "version": 40, "diff": None, "source": 200},
        "record_dependencies",
    ),
    Relation(
        "platforms",
        "platforminformation",
        "platforminformation_id",
        {
            "architecture_bits": 100,
            "architecture_linkage": 100,
            "machine": 20,
            "network_name": 100,
            "ip_addr": 39,
            "processor": 100,
            "release": 100,
            "system_name": 20,
            "version": 200,
        },
        "record_platforms",
    ),
)
#: The output data of a record, which belongs to it alone.
OUTPUTS = Relation("output_data", "datakey", "output_from_record_id", _DATA)

RELATIONS = {relation.field: relation for relation in (*REFERENCES, *MEMBERSHIPS, OUTPUTS)}

#: The columns of each table whose rows records share. No constraint of the database keeps the rows unique.
SHARED = {relation.table: tuple(relation.columns) for relation in RELATIONS.values()} | {"tag": ("name",)}
#: The tables with links, and all tables to which smtd writes.
THROUGH = tuple(relation.through for relation in MEMBERSHIPS)
WRITTEN = ("project", "record", *THROUGH, "taggeditem", *SHARED)
RECORD_COLUMNS, DATA_KEY_COLUMNS = tuple(RECORD), tuple(_DATA)

#: All columns of the tables above. Any other is from a Sumatra that smtd does not know: smtd would lose it.
KNOWN = {table: frozenset(("id", *columns)) for table, columns in SHARED.items()}
KNOWN["datakey"] |= {OUTPUTS.link}
KNOWN["record"] = frozenset(("db_id", "project_id", "tags", *RECORD, *(each.link for each in REFERENCES)))
