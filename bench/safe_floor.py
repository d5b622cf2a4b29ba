"""The least that a first sync can cost if it keeps smtd's promises, for the records of this benchmark only.

    python -m bench.safe_floor SHELF|STORE EMPTY DATABASE JOURNAL

does what floor.py does, from an SQLite store, too, and what no record of research should be copied
without: strangers' pickles are loaded in a process of their own, which is limited; every record gets a
digest; a journal knows of every write before it happens, and of what has arrived after it (each on the
disk before going on), and keeps the history of both; nothing is written over; what was written is read
back, and compared. All of that in the plainest way, and for nothing but these records: what smtd takes
longer than this is the price of records of all other kinds, of looking again at what may have changed,
and of telling the person.
Not a line is shared with smtd. It prints how many seconds it took, without the start of the process.
"""

from __future__ import annotations

import gc
import hashlib
import json
import marshal
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime, timezone
from itertools import islice
from typing import Any, NamedTuple

from bench import floor

#: Records a transaction, as in smtd.
BATCH = 500
#: Bytes of memory and seconds of processor that the pickle may cost.
MEMORY, SECONDS = 2**30, 60

JOURNAL = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE intent (label TEXT PRIMARY KEY, digest BLOB) WITHOUT ROWID;
CREATE TABLE agreed (label TEXT PRIMARY KEY, digest BLOB, record BLOB) WITHOUT ROWID;
CREATE TABLE history (id INTEGER PRIMARY KEY, at TEXT, label TEXT, digest BLOB, landed INTEGER DEFAULT 0);
"""
RECORD = f"""
SELECT r.db_id, {", ".join(f'r."{name}"' for name in floor.SCALARS)}, r.timestamp, r.tags, r.project_id,
  e.path, e.name, e.version, e.options, v.type, v.url, v.upstream, p.type, p.content,
  l.type, l.parameters, d.type, d.parameters, i.type, i.parameters
FROM django_store_record r
JOIN django_store_executable e ON e.id = r.executable_id
JOIN django_store_repository v ON v.id = r.repository_id
JOIN django_store_parameterset p ON p.id = r.parameters_id
JOIN django_store_launchmode l ON l.id = r.launch_mode_id
JOIN django_store_datastore d ON d.id = r.datastore_id
JOIN django_store_datastore i ON i.id = r.input_datastore_id
WHERE r.db_id > ?
"""
#: How many of its columns are of the record itself, before the project, and how many of each table after it.
VALUES = len(floor.SCALARS) + 2
WIDTHS = [len(floor.SHARED[table]) for _, table in floor.REFERENCES]
PARTS = {
    "tag": "SELECT l.object_id, {} FROM django_store_taggeditem l JOIN django_store_tag s ON s.id = l.tag_id"
    " WHERE l.object_id > ?",
    "datakey": "SELECT l.record_id, {} FROM django_store_record_input_data l"
    " JOIN django_store_datakey s ON s.id = l.datakey_id WHERE l.record_id > ?",
    "output": "SELECT s.output_from_record_id, {} FROM django_store_datakey s"
    " WHERE s.output_from_record_id > ?",
    "dependency": "SELECT l.record_id, {} FROM django_store_record_dependencies l"
    " JOIN django_store_dependency s ON s.id = l.dependency_id WHERE l.record_id > ?",
    "platforminformation": "SELECT l.record_id, {} FROM django_store_record_platforms l"
    " JOIN django_store_platforminformation s ON s.id = l.platforminformation_id WHERE l.record_id > ?",
}


class Loaded(NamedTuple):
    """A record as the child gives it."""

    project: str
    said: floor.Said
    digest: bytes

    @property
    def label(self) -> str:
        """The label of the record."""
        return str(self.said.values[0])


def answer() -> None:
    """Load the pickle on standard input, and give what its records say, each with its digest."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    gc.disable()
    found = []
    for record in floor.load(sys.stdin.buffer.read()):
        said = tuple(floor.said(record))
        found.append((said, digest(said)))
    sys.stdout.buffer.write(marshal.dumps(found))


def digest(said: Sequence[Any]) -> bytes:
    """Return a digest of what a record says."""
    return hashlib.blake2b(json.dumps(said).encode(), digest_size=16).digest()


def loaded(source: str) -> Iterator[Loaded]:
    """Give the records in a shelf, which a child process loads, or in an SQLite store."""
    if source.endswith(".sqlite"):
        with closing(sqlite3.connect(source)) as db:
            for project, said in records(db, 0):
                yield Loaded(project, said, digest(said))
        return
    for project, data in floor.pickles(source):
        child = [sys.executable, "-m", "bench.safe_floor"]
        done = subprocess.run(child, input=data, stdout=subprocess.PIPE, check=True)
        for said, known in marshal.loads(done.stdout):
            yield Loaded(project, floor.Said(*said), known)


def records(db: sqlite3.Connection, after: int) -> Iterator[tuple[str, floor.Said]]:
    """Give the records with numbers above *after*, and their projects."""
    parts: dict[str, dict[int, list[Any]]] = {}
    for table, query in PARTS.items():
        columns = ", ".join(f's."{name}"' for name in floor.SHARED["datakey" if table == "output" else table])
        parts[table] = defaultdict(list)
        for owner, *values in db.execute(query.format(columns), (after,)):
            parts[table][owner].append(tuple(values))
    for row_id, *row in db.execute(RECORD, (after,)):
        rest = iter(row[VALUES + 1 :])
        yield (
            row[VALUES],
            floor.Said(
                tuple(row[:VALUES]),
                tuple(tuple(islice(rest, width)) for width in WIDTHS),
                parts["output"][row_id],
                sorted(parts["tag"][row_id]),
                parts["datakey"][row_id],
                parts["dependency"][row_id],
                parts["platforminformation"][row_id],
            ),
        )


def copy(
    batch: Sequence[Loaded], rows: floor.Rows, db: sqlite3.Connection, diary: sqlite3.Connection
) -> None:
    """Write *batch*, with the journal before and after it; raises ValueError if it does not arrive."""
    labels, now = [one.label for one in batch], datetime.now(timezone.utc).isoformat()
    known = [(one.label, one.digest) for one in batch]
    with diary:
        first = diary.execute("SELECT coalesce(max(id), 0) FROM history").fetchone()[0]
        diary.executemany("INSERT INTO intent VALUES (?, ?)", known)
        diary.executemany(
            "INSERT INTO history (at, label, digest) VALUES (?, ?, ?)", [(now, *each) for each in known]
        )
    with db:
        db.execute("BEGIN IMMEDIATE")
        ((after,),) = db.execute("SELECT coalesce(max(db_id), 0) FROM django_store_record")
        if after != rows.last:
            raise ValueError("another program has written to the store")
        for one in batch:
            rows.add(one.project, one.said)
        rows.insert(db)
    found = {said.values[0]: said for _, said in records(db, after)}
    for one in batch:
        if found.get(one.label) != one.said:
            raise ValueError(f"{one.label} did not arrive as it was")
    with diary:
        diary.executemany(
            "INSERT INTO agreed VALUES (?, ?, ?)",
            [(*each, marshal.dumps(tuple(one.said))) for each, one in zip(known, batch, strict=True)],
        )
        diary.executemany("DELETE FROM intent WHERE label = ?", [(label,) for label in labels])
        diary.execute("UPDATE history SET landed = 1 WHERE id > ?", (first,))


def main(source: str, empty: str, database: str, journal: str) -> None:
    """Do it."""
    gc.disable()
    shutil.copyfile(empty, database)
    found = list(loaded(source))
    with closing(sqlite3.connect(database)) as db, closing(sqlite3.connect(journal)) as diary:
        db.execute("PRAGMA synchronous = EXTRA")  # a power cut must not bring the rollback journal back
        diary.executescript(JOURNAL)
        with db:
            for project in {one.project for one in found}:
                floor.insert(db, "project", ("id", "name", "description"), [(project, "", "")])
        rows = floor.Rows(floor.record_type(db))
        for start in range(0, len(found), BATCH):
            copy(found[start : start + BATCH], rows, db, diary)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        answer()
    else:
        began = time.perf_counter()
        main(*sys.argv[1:])
        print(time.perf_counter() - began)
