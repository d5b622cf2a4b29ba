"""Where a store is, and what other programs can do to it there.

A place knows one kind of store from outside: its files and its own form of records, not the contract. The
tests of the contract are the same for all places.
"""

from __future__ import annotations

import dbm.dumb
import fcntl
import pickle
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from anyio import to_thread

from smtd.records import canonical
from smtd.records.record import Key, Parameters, Record, Repository
from smtd.stores.access import Access
from smtd.stores.base import DONE, Change, Scan, Store
from smtd.stores.django.driver import SQLITE
from smtd.stores.driver import Driver
from smtd.stores.location import Location
from smtd.stores.memory import MemoryStore
from smtd.stores.registry import open_store
from smtd.stores.shelf import inert, writing
from smtd.stores.shelf.driver import DUMB, GNU, NDBM, SQLITE3
from tests.build import PROJECT, change, record
from tests.forkserver import foreign

#: Real stores of old and new Sumatras.
CORPUS = Path(__file__).parent / "corpus"
#: A value that Sumatra would run when it reads the record, and smtd must not.
CODE = "__import__('os').abort()"


def copied(scan: Scan) -> Scan:
    """Return an independent copy of *scan*, which the next scan does not change."""
    unfinished, unreadable = set(scan.unfinished), dict(scan.unreadable)
    return replace(scan, digests=dict(scan.digests), unfinished=unfinished, unreadable=unreadable)


class HastyTime:
    """Time that passes at once for a caller that waits for a deadline, and as usual for all others."""

    sleep, time = staticmethod(time.sleep), staticmethod(time.time)

    @staticmethod
    def monotonic() -> float:
        return time.monotonic() * 200


class Place(Protocol):
    """The place of one store, which any number of objects may open at once."""

    #: Records that no store of this kind can hold.
    unfit: tuple[Record, ...]

    def open(self) -> AbstractAsyncContextManager[Store]:
        """Open the store as another program would."""

    async def put(self, *records: Record, project: str = PROJECT) -> None:
        """Store *records* as another program would, without a comparison."""

    async def remove(self, label: str, project: str = PROJECT) -> None:
        """Remove a record as another program would, without a comparison."""

    async def spoil(self, label: str, project: str = PROJECT) -> None:
        """Put something in place of a record that cannot be read without running it."""

    def forms(self) -> dict[Key, Any]:
        """Return each record in the store's own form, down to row numbers."""

    def files(self) -> dict[str, bytes]:
        """Return the content of every file around the store."""

    def is_free(self) -> bool:
        """Say whether no program holds a lock that blocks writers."""

    def kept(self, record: Record) -> Record:
        """Return what this kind of store keeps of *record*; most keep all of it."""
        return record

    def fits(self, record: Record) -> bool:
        """Say whether stores of this kind can hold *record*; most can hold all that Sumatra makes."""
        return True


class MemoryPlace(Place):
    """The place of the one store in memory."""

    unfit: tuple[Record, ...] = ()

    def __init__(self) -> None:
        self._store = MemoryStore()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Store]:
        yield self._store

    async def put(self, *records: Record, project: str = PROJECT) -> None:
        for one in records:
            self._store.put(project, one)

    async def remove(self, label: str, project: str = PROJECT) -> None:
        self._store.remove(project, label)

    async def spoil(self, label: str, project: str = PROJECT) -> None:
        self._store.put(project, record(label, parameters=Parameters("SimpleParameterSet", f"a = {CODE}")))

    def forms(self) -> dict[Key, Any]:
        return dict(self._store.records)

    def files(self) -> dict[str, bytes]:
        return {}

    def is_free(self) -> bool:
        return True


class ShelfPlace(Place):
    """The place of a shelf; *pickles* opens its file as a program with that dbm would."""

    unfit: tuple[Record, ...] = (record("unfit", repository=Repository("CvsRepository", "/code")),)

    def __init__(self, location: Location, pickles: Callable[[Path], Any]) -> None:
        self.location = location
        self.pickles = pickles

    def open(self) -> AbstractAsyncContextManager[Store]:
        return open_store(self.location)

    async def put(self, *records: Record, project: str = PROJECT) -> None:
        if not records:
            return
        await self.edit(lambda held: held.update({one.label: writing.build(one) for one in records}), project)

    async def remove(self, label: str, project: str = PROJECT) -> None:
        await self.edit(lambda held: held.pop(label), project)

    async def spoil(self, label: str, project: str = PROJECT) -> None:
        await self.edit(lambda held: held.update({label: inert.new("builtins", "object")}), project)

    async def edit(self, edit: Callable[[dict[str, Any]], object], project: str = PROJECT) -> None:
        """Load the value of a project, let *edit* change it, and store it again."""
        await to_thread.run_sync(self._edit, edit, project.encode())

    def _edit(self, edit: Callable[[dict[str, Any]], object], project: bytes) -> None:
        with self.pickles(self.location.path) as file:
            held = inert.load(file[project]) if project in file else {}
            edit(held)
            file[project] = inert.dump(held)

    def values(self) -> dict[bytes, bytes]:
        """Return the pickle of each project."""
        with self.pickles(self.location.path) as file:
            return {key: file[key] for key in file}

    def forms(self) -> dict[Key, Any]:
        return {
            Key(project.decode(), label): inert.digest(pickled)
            for project, value in self.values().items()
            for label, pickled in inert.load(value).items()
        }

    def files(self) -> dict[str, bytes]:
        return contents(self.location.path.parent)

    def is_free(self) -> bool:
        path = self.location.path
        if self.location.driver is SQLITE3:
            return is_unlocked(path)
        return is_unclaimed(Path(f"{path}.dat") if self.location.driver is DUMB else path)


def contents(directory: Path) -> dict[str, bytes]:
    """Return the content of every file in *directory*."""
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


def is_unlocked(database: Path) -> bool:
    """Say whether no program reads or writes an SQLite file, within a second."""
    with closing(sqlite3.connect(database, timeout=1, isolation_level=None)) as db:
        try:
            db.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            return False
        return True


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Have another program lock an SQLite file against all others during a `with` block."""
    with closing(sqlite3.connect(database, isolation_level=None)) as db:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("BEGIN EXCLUSIVE")
        yield


def is_unclaimed(file: Path) -> bool:
    """Say whether no program holds a lock on a whole file."""
    with file.open("rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class Sqlite3Pickles:
    """The table of a dbm.sqlite3, written as by CPython's dbm/sqlite3.py."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __getitem__(self, key: bytes) -> bytes:
        return bytes(dict(self._rows())[key])

    def __setitem__(self, key: bytes, value: bytes) -> None:
        store = "REPLACE INTO Dict (key, value) VALUES (CAST(? AS BLOB), CAST(? AS BLOB))"
        self._db.execute(store, (key, value))

    def __contains__(self, key: bytes) -> bool:
        return key in list(self)

    def __iter__(self) -> Iterator[bytes]:
        return iter([key for key, _ in self._rows()])

    def _rows(self) -> list[tuple[bytes, bytes]]:
        return self._db.execute("SELECT key, value FROM Dict ORDER BY rowid").fetchall()


@contextmanager
def sqlite3_pickles(path: Path) -> Iterator[Sqlite3Pickles]:
    """Open the dbm.sqlite3 at *path* as Python 3.13 does; create it if needed."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = wal")
        db.execute("CREATE TABLE IF NOT EXISTS Dict (key BLOB UNIQUE NOT NULL, value BLOB NOT NULL)")
        yield Sqlite3Pickles(db)


def dumb_place(path: Path) -> ShelfPlace:
    """Return the place of a shelf of dbm.dumb that does not exist yet."""
    return ShelfPlace(Location(DUMB, path), lambda path: dbm.dumb.open(str(path), "c"))


#: Stores values in a dbm file and lists all that it holds, as a program with the module would.
_MODULE = """
import importlib, pickle, sys
module, path = sys.argv[1:]
file = importlib.import_module(module).open(path, "c")
for key, value in pickle.load(sys.stdin.buffer).items():
    file[key] = value
pickle.dump({key: file[key] for key in file.keys()}, sys.stdout.buffer)
file.close()
"""


def by_module(python: Path, module: str, path: Path, given: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Store *given* in the dbm file at *path* with a Python that has the module; return all it holds."""
    done = foreign.run(python, ["-c", _MODULE, module, str(path)], pickle.dumps(given))
    assert done.returncode == 0, done.stderr.decode()
    found: dict[bytes, bytes] = pickle.loads(done.stdout)
    return found


def foreign_place(kind: Driver, path: Path, python: Path) -> ShelfPlace:
    """Return the place of an empty shelf for which *python* has the module; smtd is configured with it."""
    module, stem = {
        GNU: ("dbm.gnu", path),
        NDBM: ("dbm.ndbm", path.with_suffix("")),
    }[kind]

    @contextmanager
    def pickles(_path: Path) -> Iterator[dict[bytes, bytes]]:
        held = by_module(python, module, stem, {})
        before = dict(held)
        yield held
        by_module(python, module, stem, {key: held[key] for key in held if held[key] != before.get(key)})

    by_module(python, module, stem, {})
    return ShelfPlace(Location(kind, path, access=Access(python=str(python))), pickles)


_HOLD = """
import fcntl, sys
file = open(sys.argv[1], "rb")
if sys.argv[2] == "True":
    fcntl.flock(file, fcntl.LOCK_EX)
print(flush=True)
sys.stdin.read()
"""


@contextmanager
def opened_elsewhere(path: Path, *, locked: bool = False) -> Iterator[None]:
    """Have another program open a file, and lock it as gdbm does if *locked*."""
    command = [sys.executable, "-c", _HOLD, str(path), str(locked)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        other.stdout.readline()
        yield
        other.kill()


def sqlite3_place(path: Path) -> ShelfPlace:
    """Return the place of an empty shelf of dbm.sqlite3."""
    with sqlite3_pickles(path):
        pass
    return ShelfPlace(Location(SQLITE3, path), sqlite3_pickles)


#: The rows that a record owns in a relational store, by table, and how they refer to it.
OWNED = {
    "django_store_record": "db_id",
    "django_store_taggeditem": "object_id",
    "django_store_datakey": "output_from_record_id",
    "django_store_record_input_data": "record_id",
    "django_store_record_dependencies": "record_id",
    "django_store_record_platforms": "record_id",
}
_TEXTS = (
    *("reason", "main_file", "version", "outcome"),
    *("script_arguments", "diff", "user", "stdout_stderr"),
)


class DjangoPlace(Place):
    """The place of an SQLite file in the schema of Sumatra's Django store."""

    unfit = ShelfPlace.unfit

    def __init__(self, path: Path) -> None:
        self.location = Location(SQLITE, path)
        self.path = path

    def open(self) -> AbstractAsyncContextManager[Store]:
        return open_store(self.location)

    async def put(self, *records: Record, project: str = PROJECT) -> None:
        if not records:
            return
        keys = [Key(project, one.label) for one in records]
        await self._write(keys, records)

    async def remove(self, label: str, project: str = PROJECT) -> None:
        await self._write([Key(project, label)], [None])

    async def _write(self, keys: list[Key], records: Iterable[Record | None]) -> None:
        async with self.open() as store:
            held = await store.read(keys)
            digests = [canonical.digest(held[key]) if key in held else None for key in keys]
            changes = [Change(*change) for change in zip(keys, records, digests, strict=True)]
            assert set(await store.write(changes)) == {DONE}

    async def spoil(self, label: str, project: str = PROJECT) -> None:
        await self.put(record(label), project=project)
        self.run(
            "INSERT INTO django_store_launchmode (type, parameters) VALUES ('SerialLaunchMode', ?)", CODE
        )
        self.run(
            "UPDATE django_store_record SET launch_mode_id = (SELECT max(id) FROM django_store_launchmode)"
            " WHERE project_id = ? AND label = ?",
            *(project, label),
        )

    def run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement as another program would, and return its rows."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as db:
            return db.execute(statement, values).fetchall()

    def forms(self) -> dict[Key, Any]:
        with closing(sqlite3.connect(self.path)) as db:
            bearers = "SELECT db_id, project_id, label FROM django_store_record"
            return {
                Key(project, label): [
                    db.execute(f"SELECT * FROM {table} WHERE {column} = ? ORDER BY 1, 2", (row,)).fetchall()
                    for table, column in OWNED.items()
                ]
                for row, project, label in db.execute(bearers).fetchall()
            }

    def files(self) -> dict[str, bytes]:
        return contents(self.path.parent)

    def is_free(self) -> bool:
        return is_unlocked(self.path)

    def kept(self, record: Record) -> Record:
        return change(record, opaque={}, **{name: getattr(record, name) or "" for name in _TEXTS})
