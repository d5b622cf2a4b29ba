"""Where the tables of Sumatra 0.8.1 keep the fields of a record: written once, for all that reads or writes.

Columns are named with the most characters that they hold (`models.py` in sumatra/recordstore/django_store;
None: as many as there are).
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
#: Characters of the name of a project, of a tag, and of all tags of a record together.
PROJECT, TAG, TAGS = 50, 50, 255


class Relation(NamedTuple):
    """A *field* of the record that is in rows of another *table*, in its *columns*.

    Without *through* the record table refers to the row by its own column *link*. Else the table *through*
    has pairs of a record and a row, which its column *link* names. *link* of `OUTPUTS` names the record.
    """

    field: str
    table: str
    link: str
    columns: Mapping[str, int | None]
    through: str = ""


_DATA = {"path": 200, "digest": 40, "creation": None, "metadata": None}

#: What a record refers to, in the order in which `schema.SELECT_RECORDS` gives it.
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
#: Of what a record has several, which others may have as well.
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
#: What a record has made is its own.
OUTPUTS = Relation("output_data", "datakey", "output_from_record_id", _DATA)

RELATIONS = {relation.field: relation for relation in (*REFERENCES, *MEMBERSHIPS, OUTPUTS)}

#: Rows that records share: the columns of each table. Nothing keeps them unique in the database.
SHARED = {relation.table: tuple(relation.columns) for relation in RELATIONS.values()} | {"tag": ("name",)}
RECORD_COLUMNS, DATA_KEY_COLUMNS = tuple(RECORD), tuple(_DATA)

#: All columns of the tables above. One more is of a Sumatra that smtd does not know: it would not be carried.
KNOWN = {table: frozenset(("id", *columns)) for table, columns in SHARED.items()}
KNOWN["datakey"] |= {OUTPUTS.link}
KNOWN["record"] = frozenset(("db_id", "project_id", "tags", *RECORD, *(each.link for each in REFERENCES)))
