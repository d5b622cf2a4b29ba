"""Databases in the schemas of Sumatra before 0.8.1, created from what is known about these.

Each table has what smtd may read; indexes and the sizes of texts are left out.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from smtd.records.record import Key

VERSIONS = ("0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8 (development)")
PROJECT = "oldproj"
#: The record in each of them.
HAGGLING = Key(PROJECT, "haggling")

_TEXTS = "text NOT NULL"
#: Tables of all versions, with all their columns, in the latest form.
_TABLES: dict[str, dict[str, str]] = {
    "project": {"id": "varchar(50) PRIMARY KEY", "name": _TEXTS, "description": _TEXTS},
    "executable": dict.fromkeys(("path", "name", "version", "options"), _TEXTS),
    "repository": {"type": _TEXTS, "url": _TEXTS, "upstream": "text NULL"},
    "parameterset": {"type": _TEXTS, "content": _TEXTS},
    "launchmode": {"type": _TEXTS, "parameters": _TEXTS},
    "datastore": {"type": _TEXTS, "parameters": _TEXTS},
    "dependency": {
        **dict.fromkeys(("name", "path", "version", "diff"), _TEXTS),
        "source": "text NULL",
        "module": _TEXTS,
    },
    "platforminformation": dict.fromkeys(
        (
            *("architecture_bits", "architecture_linkage", "machine", "network_name", "ip_addr"),
            *("processor", "release", "system_name", "version"),
        ),
        _TEXTS,
    ),
    "datakey": {
        **dict.fromkeys(("path", "digest"), _TEXTS),
        "creation": "datetime NULL",
        "metadata": _TEXTS,
        "output_from_record_id": "integer NULL",
    },
    "record": {
        "db_id": "integer PRIMARY KEY",
        **dict.fromkeys(("label", "reason", "main_file", "version", "outcome", "tags", "diff"), _TEXTS),
        **dict.fromkeys(("user", "script_arguments", "stdout_stderr"), _TEXTS),
        **dict.fromkeys(("input_data", "data_key"), _TEXTS),
        "duration": "real NULL",
        "timestamp": "datetime NOT NULL",
        "repeats": "text NULL",
        "project_id": "varchar(50) NULL",
        **dict.fromkeys(("executable_id", "repository_id", "parameters_id"), "integer NULL"),
        **dict.fromkeys(("launch_mode_id", "datastore_id", "input_datastore_id"), "integer NULL"),
    },
    "record_input_data": {"record_id": "integer", "datakey_id": "integer"},
    "record_output_data": {"record_id": "integer", "datakey_id": "integer"},
    "record_dependencies": {"record_id": "integer", "dependency_id": "integer"},
    "record_platforms": {"record_id": "integer", "platforminformation_id": "integer"},
}
#: The first and the last version with a table or a column, if not all have it.
_SINCE = {
    **dict.fromkeys(("record.script_arguments", "executable.options", "record.input_data"), "0.3"),
    **dict.fromkeys(("datakey", "record_input_data", "record_output_data"), "0.4"),
    **dict.fromkeys(("record.input_datastore_id", "record.stdout_stderr"), "0.4"),
    **dict.fromkeys(("dependency.source", "repository.upstream"), "0.5"),
    "record.repeats": "0.6",
    **dict.fromkeys(("datakey.creation", "datakey.output_from_record_id"), "0.7"),
}
_UNTIL = {"record.input_data": "0.3", "record.data_key": "0.3", "record_output_data": "0.6"}
_OTHERS = """
CREATE TABLE django_content_type (id integer PRIMARY KEY, app_label text, model text);
INSERT INTO django_content_type VALUES (1, 'django_store', 'executable'), (7, 'django_store', 'record');
CREATE TABLE tagging_tag (id integer PRIMARY KEY, name varchar(50) UNIQUE);
CREATE TABLE tagging_taggeditem (id integer PRIMARY KEY, tag_id integer, content_type_id integer,
    object_id integer);
"""
_MIGRATIONS = """
CREATE TABLE django_migrations (id integer PRIMARY KEY, app text, name text, applied datetime);
INSERT INTO django_migrations (app, name) VALUES ('contenttypes', '0001_initial'),
    ('tagging', '0001_initial');
"""

#: One row of each table; a record refers to the first rows of the others.
ROWS: dict[str, dict[str, Any]] = {
    "project": {"id": PROJECT, "name": "", "description": ""},
    "executable": {"path": "/usr/bin/python", "name": "Python", "version": "2.7.3", "options": "-O"},
    "repository": {"type": "MercurialRepository", "url": "/code", "upstream": "https://code.lab.example/c"},
    "parameterset": {"type": "SimpleParameterSet", "content": "seed = 1"},
    "launchmode": {"type": "SerialLaunchMode", "parameters": "{}"},
    "datastore": {"type": "FileSystemDataStore", "parameters": "{'root': u'/data'}"},
    "dependency": {
        "name": "numpy",
        "path": "/opt/numpy",
        "version": "1.7",
        "diff": "",
        "source": "attribute",
        "module": "python",
    },
    "platforminformation": {
        "architecture_bits": "64bit",
        "architecture_linkage": "ELF",
        "machine": "x86_64",
        "network_name": "node-1",
        "ip_addr": "192.0.2.17",
        "processor": "",
        "release": "3.2.0",
        "system_name": "Linux",
        "version": "#1 SMP",
    },
    "datakey": {
        "path": "out.txt",
        "digest": "3700c58368775a12aee5a37e780fd2fbf2d31a10",
        "creation": "2012-09-28 11:40:21",
        "metadata": "{'size': 45L}",
        "output_from_record_id": 1,
    },
    "record": {
        "label": "haggling",
        "reason": "why",
        "main_file": "main.py",
        "version": "5f6221aa3a14",
        "outcome": "42",
        "tags": "foo",
        "diff": "",
        "user": "Ada",
        "script_arguments": "<parameters>",
        "stdout_stderr": "hello\n",
        "input_data": "[u'in.csv']",
        "data_key": "['out.txt']",
        "duration": 2.5,
        "timestamp": "2012-09-28 11:40:20.643678",
        "repeats": None,
        "project_id": PROJECT,
        "executable_id": 1,
        "repository_id": 1,
        "parameters_id": 1,
        "launch_mode_id": 1,
        "datastore_id": 1,
        "input_datastore_id": 1,
    },
    "record_input_data": {"record_id": 1, "datakey_id": 1},
    "record_output_data": {"record_id": 1, "datakey_id": 1},
    "record_dependencies": {"record_id": 1, "dependency_id": 1},
    "record_platforms": {"record_id": 1, "platforminformation_id": 1},
}


def make(path: Path, version: str) -> Path:
    """Create a database of *version* with one record, `haggling`, and return *path*."""
    with closing(sqlite3.connect(path)) as db:
        db.executescript(_OTHERS)
        for table in _TABLES:
            if _is_in(table, version):
                db.execute(_definition(table, version))
                _insert(db, table, version, {})
        if version >= "0.7":
            db.executescript(_MIGRATIONS)
        if version > "0.7":
            db.execute("INSERT INTO django_migrations (app, name) VALUES ('django_store', '0001_initial')")
        db.commit()
    tag(path, "foo")
    return path


def add(path: Path, version: str, **values: Any) -> None:
    """Add one more record, which equals the first one except for *values*."""
    with closing(sqlite3.connect(path)) as db, db:
        _insert(db, "record", version, values)


def tag(path: Path, name: str, row: int = 1) -> None:
    """Tag a record only in the tables of tags."""
    with closing(sqlite3.connect(path)) as db, db:
        last = db.execute("INSERT INTO tagging_tag (name) VALUES (?)", (name,)).lastrowid
        values = (last, 7, row)
        db.execute(
            "INSERT INTO tagging_taggeditem (tag_id, content_type_id, object_id) VALUES (?, ?, ?)", values
        )


def run(path: Path, statement: str, *values: Any) -> None:
    """Run one statement, as another program could."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(statement, values)


def _is_in(name: str, version: str) -> bool:
    return _SINCE.get(name, "") <= version[:3] <= _UNTIL.get(name, "9")


def _columns(table: str, version: str) -> dict[str, str]:
    every = _TABLES[table]
    return {name: kind for name, kind in every.items() if _is_in(f"{table}.{name}", version)}


def _definition(table: str, version: str) -> str:
    columns = _columns(table, version)
    if not any("PRIMARY KEY" in kind for kind in columns.values()):
        columns = {"id": "integer PRIMARY KEY", **columns}
    listed = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
    return f"CREATE TABLE django_store_{table} ({listed})"


def _insert(db: sqlite3.Connection, table: str, version: str, values: dict[str, Any]) -> None:
    columns = _columns(table, version).keys()
    row = {name: value for name, value in {**ROWS[table], **values}.items() if name in columns}
    listed = ", ".join(f'"{name}"' for name in row)
    placeholders = ", ".join("?" * len(row))
    db.execute(f"INSERT INTO django_store_{table} ({listed}) VALUES ({placeholders})", list(row.values()))
