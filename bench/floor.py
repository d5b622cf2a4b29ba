"""The least that a first sync can cost: load the pickle, insert the rows, commit once.

    python floor.py SHELF EMPTY DATABASE

copies the empty store EMPTY to DATABASE and puts into it the rows that smtd puts there. It loads
inertly, as smtd does, but in its own process; and it knows only the records of this benchmark.
There is no digest, no comparison, no journal and no reading back: what smtd takes longer than
this is the price of those. Not a line is shared with smtd. It prints how many seconds it took,
without the start of the process.
"""

from __future__ import annotations

import dbm.dumb
import functools
import gc
import io
import itertools
import json
import pickle
import shutil
import sqlite3
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

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
#: The columns that refer to what is shared, and the tables of that.
REFERENCES = (
    ("executable_id", "executable"),
    ("repository_id", "repository"),
    ("parameters_id", "parameterset"),
    ("launch_mode_id", "launchmode"),
    ("datastore_id", "datastore"),
    ("input_datastore_id", "datastore"),
)
#: All tables, in the order of inserting, and their columns; those of output are in the table of data keys.
COLUMNS = {
    **{table: (*columns, "id") for table, columns in SHARED.items()},
    "record": (*SCALARS, "timestamp", "tags", "project_id", *(column for column, _ in REFERENCES), "db_id"),
    "output": (*SHARED["datakey"], "output_from_record_id", "id"),
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


class Said(NamedTuple):
    """What a record says, as its rows have it: values, and of each table the rows that it refers to."""

    values: tuple[Any, ...]
    references: tuple[tuple[Any, ...], ...]
    outputs: list[tuple[Any, ...]]
    tags: list[tuple[str]]
    inputs: list[tuple[Any, ...]]
    dependencies: list[tuple[Any, ...]]
    platforms: list[tuple[Any, ...]]


def said(record: Any) -> Said:
    """Return what a record that was loaded says."""
    repository, stores = record.repository, (record.datastore, record.input_datastore)
    return Said(
        (
            *(getattr(record, name) for name in SCALARS),
            _moment(record.timestamp),
            ",".join(sorted(record.tags)),
        ),
        (
            tuple(getattr(record.executable, name) for name in SHARED["executable"]),
            (_kind(repository), repository.url, repository.upstream),
            (_kind(record.parameters), _text(record.parameters)),
            (_kind(record.launch_mode), str(vars(record.launch_mode))),
            *((_kind(store), str(vars(store))) for store in stores),
        ),
        [_data_key(key) for key in record.output_data],
        [(name,) for name in sorted(record.tags)],
        [_data_key(key) for key in record.input_data],
        [
            (
                type(found).__module__.rpartition(".")[2],
                *(getattr(found, name) for name in SHARED["dependency"][1:]),
            )
            for found in record.dependencies
        ],
        [tuple(getattr(found, name) for name in SHARED["platforminformation"]) for found in record.platforms],
    )


class Rows:
    """Rows to insert, by table."""

    def __init__(self, record_type: int) -> None:
        self._record_type = record_type
        self.last = 0  # the number of the last record
        self._numbers: dict[str, Iterator[int]] = defaultdict(lambda: itertools.count(1))
        self._shared: dict[str, dict[tuple[Any, ...], int]] = {table: {} for table in SHARED}
        self._new: dict[str, list[tuple[Any, ...]]] = defaultdict(list)

    def add(self, project: str, said: Said) -> None:
        """Add the rows of one record."""
        self.last += 1
        new, owner = self._new, self.last
        references = [
            self._id(table, values) for (_, table), values in zip(REFERENCES, said.references, strict=True)
        ]
        new["record"].append((*said.values, project, *references, owner))
        new["output"] += ((*values, owner, next(self._numbers["datakey"])) for values in said.outputs)
        new["taggeditem"] += ((owner, self._id("tag", name), self._record_type) for name in said.tags)
        new["record_input_data"] += ((owner, self._id("datakey", key)) for key in said.inputs)
        new["record_dependencies"] += ((owner, self._id("dependency", one)) for one in said.dependencies)
        new["record_platforms"] += ((owner, self._id("platforminformation", one)) for one in said.platforms)

    def _id(self, table: str, values: tuple[Any, ...]) -> int:
        found = self._shared[table].get(values)
        if found is None:
            found = self._shared[table][values] = next(self._numbers[table])
            self._new[table].append((*values, found))
        return found

    def insert(self, db: sqlite3.Connection) -> None:
        """Insert what was added since the last time."""
        for table, columns in COLUMNS.items():
            insert(db, "datakey" if table == "output" else table, columns, self._new.pop(table, ()))


def _kind(value: object) -> str:
    return type(value).__name__


def _text(parameters: Any) -> str:
    return json.dumps(parameters._values, sort_keys=True, indent=4)


def _moment(value: datetime) -> str:
    return value.replace(tzinfo=None).isoformat(" ")


def _data_key(key: Any) -> tuple[str, str, str, str]:
    return (key.path, key.digest, _moment(key.creation), json.dumps(key.metadata, sort_keys=True))


def insert(db: sqlite3.Connection, table: str, columns: Iterable[str], rows: Iterable[Any]) -> None:
    """Insert *rows* into a table of the schema."""
    names = tuple(columns)
    placeholders = ", ".join("?" * len(names))
    quoted = ", ".join(f'"{name}"' for name in names)
    db.executemany(f"INSERT INTO django_store_{table} ({quoted}) VALUES ({placeholders})", rows)


def pickles(shelf: str) -> Iterator[tuple[str, bytes]]:
    """Give the projects in *shelf*, and their pickles."""
    with dbm.dumb.open(shelf, "r") as file:
        for key, data in file.items():
            yield str(key, "utf-8") if isinstance(key, bytes) else key, data


def load(data: bytes) -> Iterator[Any]:
    """Give the records in a pickle, as objects of empty classes."""
    yield from _Unpickler(io.BytesIO(data)).load().values()


def record_type(db: sqlite3.Connection) -> int:
    """Return the number by which the schema tells records from what else could have tags."""
    ((found,),) = db.execute("SELECT id FROM django_content_type WHERE model = 'record'")
    return int(found)


def main(shelf: str, empty: str, database: str) -> None:
    """Do it."""
    gc.disable()  # as smtd does where there are many records
    shutil.copyfile(empty, database)
    with closing(sqlite3.connect(database)) as db, db:
        rows = Rows(record_type(db))
        for project, data in pickles(shelf):
            insert(db, "project", ("id", "name", "description"), [(project, "", "")])
            for record in load(data):
                rows.add(project, said(record))
        rows.insert(db)


if __name__ == "__main__":
    began = time.perf_counter()
    main(*sys.argv[1:])
    print(time.perf_counter() - began)
