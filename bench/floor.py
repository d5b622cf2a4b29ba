"""The least that a first sync can cost: load the pickle, insert the rows, commit once.

    python floor.py SHELF EMPTY DATABASE

copies the empty store EMPTY to DATABASE and puts into it the rows that smtd puts there. It loads
inertly, as smtd does, but in its own process; and it knows only the records of this benchmark.
There is no digest, no comparison, no journal and no reading back: what smtd takes longer than
this is the price of those. Not a line is shared with smtd.
"""

from __future__ import annotations

import dbm.dumb
import functools
import io
import json
import pickle
import shutil
import sqlite3
import sys
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from datetime import datetime, timedelta, timezone
from typing import Any

PLAIN = {
    ("datetime", "datetime"): datetime,
    ("datetime", "timedelta"): timedelta,
    ("datetime", "timezone"): timezone,
}
#: Everything that records may share, and the columns of its table.
SHARED = {
    "executable": ("path", "name", "version", "options"),
    "repository": ("type", "url", "upstream"),
    "parameterset": ("type", "content"),
    "launchmode": ("type", "parameters"),
    "datastore": ("type", "parameters"),
    "dependency": ("module", "name", "path", "version", "diff", "source"),
    "platforminformation": (
        *("architecture_bits", "architecture_linkage", "machine", "network_name", "ip_addr"),
        *("processor", "release", "system_name", "version"),
    ),
    "datakey": ("path", "digest", "creation", "metadata"),
    "tag": ("name",),
}
SCALARS = (
    *("label", "reason", "duration", "main_file", "version", "outcome", "script_arguments"),
    *("diff", "user", "stdout_stderr", "repeats"),
)
REFERENCES = (
    *("executable_id", "repository_id", "parameters_id"),
    *("launch_mode_id", "datastore_id", "input_datastore_id"),
)
LINKS = {
    "record_input_data": ("record_id", "datakey_id"),
    "record_dependencies": ("record_id", "dependency_id"),
    "record_platforms": ("record_id", "platforminformation_id"),
    "taggeditem": ("object_id", "tag_id", "content_type_id"),
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return PLAIN.get((module, name)) or _stand_in(module, name)


@functools.cache
def _stand_in(module: str, name: str) -> type:
    """Return an empty class in the place of the one that the pickle names."""
    return type(name, (), {"__module__": module})


class _Rows:
    """All rows to insert, by table."""

    def __init__(self, record_type: int) -> None:
        self._record_type = record_type
        self.records: list[tuple[Any, ...]] = []
        self.outputs: list[tuple[Any, ...]] = []
        self.shared: dict[str, dict[tuple[Any, ...], int]] = {table: {} for table in SHARED}
        self.links: dict[str, list[tuple[int, ...]]] = defaultdict(list)

    def add(self, project: str, record: Any) -> None:
        row_id = len(self.records) + 1
        one, stores = self._id, (record.datastore, record.input_datastore)
        self.records.append(
            (
                *(getattr(record, name) for name in SCALARS),
                _moment(record.timestamp),
                ",".join(sorted(record.tags)),
                project,
                one("executable", *(getattr(record.executable, name) for name in SHARED["executable"])),
                one(
                    "repository", _kind(record.repository), record.repository.url, record.repository.upstream
                ),
                one("parameterset", _kind(record.parameters), _text(record.parameters)),
                one("launchmode", _kind(record.launch_mode), str(vars(record.launch_mode))),
                *(one("datastore", _kind(store), str(vars(store))) for store in stores),
            )
        )
        self.outputs += ((*_data_key(key), row_id) for key in record.output_data)
        for name in sorted(record.tags):
            self.links["taggeditem"].append((row_id, one("tag", name), self._record_type))
        for key in record.input_data:
            self.links["record_input_data"].append((row_id, one("datakey", *_data_key(key))))
        for found in record.dependencies:
            language = type(found).__module__.rpartition(".")[2]
            values = (getattr(found, name) for name in SHARED["dependency"][1:])
            self.links["record_dependencies"].append((row_id, one("dependency", language, *values)))
        for found in record.platforms:
            values = (getattr(found, name) for name in SHARED["platforminformation"])
            self.links["record_platforms"].append((row_id, one("platforminformation", *values)))

    def _id(self, table: str, *values: Any) -> int:
        known = self.shared[table]
        return known.setdefault(values, len(known) + 1)


def _kind(value: object) -> str:
    return type(value).__name__


def _text(parameters: Any) -> str:
    return json.dumps(parameters._values, sort_keys=True, indent=4)


def _moment(value: datetime) -> str:
    return value.replace(tzinfo=None).isoformat(" ")


def _data_key(key: Any) -> tuple[str, str, str, str]:
    return (key.path, key.digest, _moment(key.creation), json.dumps(key.metadata, sort_keys=True))


def _insert(db: sqlite3.Connection, table: str, columns: Iterable[str], rows: Iterable[Any]) -> None:
    names = tuple(columns)
    marks = ", ".join("?" * len(names))
    quoted = ", ".join(f'"{name}"' for name in names)
    db.executemany(f"INSERT INTO django_store_{table} ({quoted}) VALUES ({marks})", rows)


def main(shelf: str, empty: str, database: str) -> None:
    """Do it."""
    shutil.copyfile(empty, database)
    with dbm.dumb.open(shelf, "r") as file, closing(sqlite3.connect(database)) as db, db:
        ((record_type,),) = db.execute("SELECT id FROM django_content_type WHERE model = 'record'")
        rows = _Rows(record_type)
        for key, data in file.items():
            project = str(key, "utf-8") if isinstance(key, bytes) else key
            _insert(db, "project", ("id", "name", "description"), [(project, "", "")])
            for record in _Unpickler(io.BytesIO(data)).load().values():
                rows.add(project, record)
        for table, known in rows.shared.items():
            _insert(db, table, (*SHARED[table], "id"), ((*row, row_id) for row, row_id in known.items()))
        _insert(db, "record", (*SCALARS, "timestamp", "tags", "project_id", *REFERENCES), rows.records)
        _insert(db, "datakey", (*SHARED["datakey"], "output_from_record_id"), rows.outputs)
        for table, links in rows.links.items():
            _insert(db, table, LINKS[table], links)


if __name__ == "__main__":
    main(*sys.argv[1:])
