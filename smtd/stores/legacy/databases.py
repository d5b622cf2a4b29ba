"""Relational stores of Sumatra before 0.8.1 in SQLite, which smtd reads whole and never writes.

smtd reads from them the same records as Sumatra 0.8.1 reads from an export of them, except for times: these
are local, but Sumatra reads those of an export as UTC. Texts that Sumatra would run are read as data.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from smtd import regular, sqlite, sqlite_files
from smtd.errors import RecordNameless, RecordUnusable, StoreError, StoreRefused
from smtd.records import python2, tags
from smtd.records.record import BAD_VALUE, Key, Record, bad_value
from smtd.sqlite import ERRORS, Row, lenient, store_error
from smtd.stores.django import reader, rows
from smtd.stores.django.mapping import RECORD_COLUMNS
from smtd.stores.django.rows import Parts
from smtd.stores.legacy import sources
from smtd.stores.legacy.schema import OldSchema
from smtd.stores.legacy.sources import LegacySource, Snapshot

#: Seconds to wait for another program's lock.
_PATIENCE = 10.0
_one_at_a_time = threading.Lock()
_TIMESTAMP = RECORD_COLUMNS.index("timestamp")
#: The positions in a row of the type and text of the parameters, and of the texts of dictionaries.
_PARAMETERS, _DICTIONARIES = 19, (22, 24, 26)
#: The number of columns of `rows.record`; after them come the tags and the lists of data without a table.
_WIDTH = 27


class _Held(NamedTuple):
    """All rows of a database: those of the records, and, by record, its rows in other tables."""

    version: str
    records: list[Row]
    tags: dict[Any, list[Row]]
    inputs: dict[Any, list[Row]]
    outputs: dict[Any, list[Row]]
    dependencies: dict[Any, list[Row]]
    platforms: dict[Any, list[Row]]


def load(path: Path, timezone: str) -> Snapshot:
    """Return the content of the database at *path*; times are local in *timezone* (empty: this machine's).

    Reads in one transaction and changes nothing. Blocks. Raises FileNotFoundError if there is no
    file, StoreUnreachable if it is locked, StoreRefused if it is damaged, if it has no schema of
    Sumatra's, or if the time zone is unknown.
    """
    local = sources.zone(timezone)
    try:
        with opened(path) as db:
            held = _held(db, path)
    except ERRORS as exc:
        raise _translated(exc, path) from exc
    return sources.snapshot(_records(held, local), held.version)


def _translated(exc: Exception, path: Path) -> StoreError:
    """Return SQLite's error *exc*, for a file that is only read, as one that says what to do next."""
    if "readonly" in str(exc):
        return StoreRefused(
            f"{path} was left half written by a killed program; run smt list once with its version of Sumatra"
        )
    if "no such" in str(exc):
        return StoreRefused(f"{path} is not a Sumatra record store: {exc}")
    return store_error(exc, str(path))


def change_counter(path: Path) -> int:
    """Return the number of transactions that wrote to the file, which SQLite counts in the file. Blocks.

    Call it last inside `opened`: when this closes the file, that connection loses its locks.
    """
    with regular.opened(path) as file:
        return int.from_bytes(file.read(28)[24:], "big")


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Connect to the file so that SQLite creates no file beside it, even in write-ahead mode.

    One at a time: when the file is closed, this process's other connections to it lose their locks.
    """
    with _one_at_a_time, _connected_inertly(path) as db:
        yield db


@contextmanager
def _connected_inertly(path: Path) -> Iterator[sqlite3.Connection]:
    sqlite_files.check(path)
    with regular.opened(path) as file:
        start = file.read(20)
    log, index = Path(f"{path}-wal"), Path(f"{path}-shm")
    if start[18:20] != b"\2\2" or index.exists():
        with _connected(path) as db:
            yield db
    elif not _has_content(log):
        # SQLite would create a log even to read. Without one no program has the file open.
        with _connected(path, "&immutable=1") as db:
            yield db
    else:
        # SQLite would create the index of a log that was copied, or that a killed program left.
        with TemporaryDirectory() as directory:
            copy = Path(directory, "records")
            shutil.copyfile(path, copy)
            shutil.copyfile(log, f"{copy}-wal")
            with _connected(copy) as db:
                yield db


@contextmanager
def _connected(path: Path, options: str = "") -> Iterator[sqlite3.Connection]:
    with sqlite.opened(path, mode="ro", options=options, patience=_PATIENCE) as db:
        db.text_factory = lenient
        yield db


def _has_content(path: Path) -> bool:
    try:
        return os.stat(path).st_size > 0
    except FileNotFoundError:
        return False


def _held(db: sqlite3.Connection, path: Path) -> _Held:
    """Read all rows in one transaction, without decoding any: others may be waiting for the lock."""
    db.execute("BEGIN")
    tables: dict[str, set[str]] = defaultdict(set)
    # Only tables: a view could compute anything, and without end.
    for table, column in db.execute(
        "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table'"
    ):
        tables[table].add(column)
    made = db.execute("SELECT app, name FROM django_migrations") if "django_migrations" in tables else ()
    schema = OldSchema(dict(tables), set(made), path)
    return _Held(
        schema.version,
        db.execute(schema.records()).fetchall(),
        *(reader.by_owner(db.execute(select) if select else ()) for select in schema.parts()),
    )


def _records(held: _Held, local: ZoneInfo | None) -> Iterator[tuple[Key, Record | RecordUnusable]]:
    for row_id, project, *values in held.records:
        key = reader.key_of(row_id, project, values[0])
        try:
            if [*key] != [project, values[0]]:
                raise RecordNameless("its label or its project is not text")
            row, parts = _as_of_today(values, held, row_id, local)
            yield key, rows.record(row, parts)
        except RecordUnusable as exc:
            yield key, exc
        except BAD_VALUE as exc:
            yield key, bad_value(exc)


def _as_of_today(
    values: Sequence[Any], held: _Held, row_id: Any, local: ZoneInfo | None
) -> tuple[list[Any], Parts]:
    """Return a row and its parts as a database of Sumatra 0.8.1 would have them.

    A value that is not text where it should be is left for `rows.record` to report.
    """
    row = list(values[:_WIDTH])
    text, *lists = values[_WIDTH:]
    row[_TIMESTAMP] = _moment(row[_TIMESTAMP], local)
    if isinstance(row[_PARAMETERS], str) and isinstance(row[_PARAMETERS + 1], str):
        row[_PARAMETERS + 1] = sources.parameters(*row[_PARAMETERS : _PARAMETERS + 2]).content
    for place in _DICTIONARIES:
        row[place] = _of_python3(row[place])
    inputs, outputs = (
        [_data_key(key, local) for key in keys[row_id]] + _without_digests(paths)
        for keys, paths in zip((held.inputs, held.outputs), lists, strict=True)
    )
    words = [name for (name,) in held.tags[row_id]]
    # The column has the tags that Sumatra was given, the table what Sumatra made of them. In a store that
    # another process of Sumatra's synced, only one of the two is right.
    words += sorted(tags.split(text)) if isinstance(text, str) else []
    return row, Parts(words, inputs, outputs, held.dependencies[row_id], held.platforms[row_id])


def _moment(text: Any, local: ZoneInfo | None) -> Any:
    return rows.moment(sources.moment(text, local)) if isinstance(text, str) else text


def _of_python3(text: Any) -> Any:
    return _rewritten(text) if isinstance(text, str) else text


@lru_cache(maxsize=1024)
def _rewritten(text: str) -> str:
    """Return the text of a dictionary as Python 3 writes it; JSON stays as it is."""
    with suppress(ValueError, RecursionError):
        json.loads(text)
        return text
    return python2.text(text)


def _data_key(key: Row, local: ZoneInfo | None) -> Row:
    path, digest, creation, metadata = key
    return (path, digest, _moment(creation, local), _of_python3(metadata))


def _without_digests(paths: Any) -> list[Row]:
    """Return data keys for the text of a list of paths: Sumatra before 0.4 stored nothing else about data."""
    if not paths:
        return []
    if not isinstance(paths, str):
        raise RecordUnusable("its list of data is not text")
    return [(path, sources.NO_DIGEST, None, "{}") for path in sources.paths(paths)]


SOURCE = LegacySource("sqlite", "a store", lambda path: (path, Path(f"{path}-wal")), load)
