"""What the rows measure with: shelves and projects made by real Sumatra, and smtd's command line."""

from __future__ import annotations

import functools
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.measure import Command, CommandFailed, Run, run
from tests.peers.environments import Environment, environment
from tests.peers.project import SumatraProject
from tests.peers.server import SumatraServer, serving
from tests.peers.stores import PeerStore, copy_store

if TYPE_CHECKING:
    from tests.servers.server import DatabaseServer

PROJECT = "sweep"
ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent


#: What the units in systemd/ set in the environment of the daemon.
SERVICE = {"PYTHONMALLOC": "malloc"}


class Workplace:
    """A temporary directory; what it has is made when a row first asks for it, and then kept."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._shelves: dict[int, Path] = {}
        self._databases: dict[int, Path] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Workplace:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stack.close()

    @functools.cached_property
    def sumatra(self) -> Environment:
        """Real Sumatra 0.8.1 with Django; the first time ever, pip takes a minute to build it."""
        return environment("django")

    @functools.cached_property
    def project(self) -> SumatraProject:
        """A project as `smt init` makes it, with an SQLite store that is empty."""
        made = SumatraProject(self.empty("project"), self.sumatra)
        made.init(PROJECT)
        return made

    @functools.cached_property
    def empty_store(self) -> Path:
        """The SQLite store of a project without records."""
        return copy_store(self.project.store_path, self._directory / "empty.sqlite")

    @functools.cached_property
    def server(self) -> SumatraServer:
        """The real Sumatra Server, until the workplace is closed."""
        return self._stack.enter_context(serving(environment("server"), self.empty("server")))

    @functools.cached_property
    def postgresql(self) -> DatabaseServer:
        """A server of PostgreSQL, until the workplace is closed."""
        from tests.servers.postgresql import postgresql  # here: see bench/edits.py

        return self._stack.enter_context(postgresql())

    @functools.cached_property
    def mariadb(self) -> DatabaseServer:
        """A server of MariaDB, until the workplace is closed."""
        from tests.servers.mariadb import mariadb

        return self._stack.enter_context(mariadb())

    def on_empty_server(self, command: Command, count: int) -> Run:
        """Run *command*, which brings *count* records to a project that is there and empty."""
        self.server.clear()
        self.server.make_project(PROJECT)  # `smt sync` wants it to be there
        done = run(command)
        expect(count_records(self.server.database), count, "records on the server")
        return done

    def shelf(self, count: int) -> Path:
        """A shelf of *count* records, of 1 kB each, that Sumatra has pickled; do not change it.

        Its name ends in `.shelf` since `smt sync` takes a shelf of dbm.dumb, which every
        Python has, for an empty database otherwise.
        """
        if count not in self._shelves:
            shelf = self.empty(f"shelf-{count}") / "records.shelf"
            PeerStore(self.sumatra, "shelf", shelf).make_many(PROJECT, count)
            self._shelves[count] = shelf
        return self._shelves[count]

    def database(self, count: int) -> Path:
        """An SQLite store of *count* records, those of `shelf`, that Sumatra has filled; do not change it."""
        if count not in self._databases:
            database = self.empty(f"database-{count}") / "records.sqlite"
            PeerStore(self.sumatra, "django", database).make_many(PROJECT, count)
            self._databases[count] = database
        return self._databases[count]

    def empty(self, name: str) -> Path:
        """Return an empty directory; what an earlier call with this name got is removed."""
        directory = self._directory / name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        return directory

    def at(self, name: str) -> Path:
        """Return the directory that `empty` last gave for *name*, with what is in it by now."""
        return self._directory / name

    def smtd(self, *args: str | Path, cwd: Path | None = None) -> Command:
        """Return a command of smtd that finds nothing of this user's."""
        home = self._directory / "home"
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "SMTD_", "COVERAGE_"))
        }
        dirs = {"XDG_CONFIG_HOME": str(home / "config"), "XDG_STATE_HOME": str(home / "state")}
        return Command([BIN / "smtd", *args], cwd or self._directory, {**kept, **dirs})

    def python(self, *args: str | Path) -> Command:
        """Return a command of the Python that runs smtd, in the same environment."""
        return Command([sys.executable, *args], self._directory, self.smtd().env)

    def module(self, name: str, *args: str | Path) -> Command:
        """Return a command that runs a module of this repository, which may import its others."""
        return Command([sys.executable, "-m", name, *args], ROOT, self.smtd().env)


class Pair:
    """A copy of the shelf of *count* records and an SQLite store, in a directory of their own."""

    def __init__(self, work: Workplace, name: str, count: int) -> None:
        self._work = work
        self._count = count
        self._directory = work.empty(name)
        self.shelf = copy_store(work.shelf(count), self._directory / "records.shelf")
        self.database = self._directory / "new.sqlite"

    def sync(self, *, created: int = 0, left: int = 0, right: int = 0, watch: bool = False) -> Run:
        """Run `smtd sync` from the shelf to the database, which is made if it is not there.

        Raises CommandFailed if it did anything but create that many records in the database
        and update those of the shelf (*left*) and of the database (*right*).
        """
        state = self._directory / "state"
        command = self._work.smtd("sync", "--json", "--state", state, self.shelf, self.database)
        done = run(command, watch=watch)
        (report,) = json.loads(done.output)["pairs"]
        expect(report["in_sync"], self._count, "records in sync")
        expect(_changes(report["left"]), (0, left, 0), "changes of the shelf")
        expect(_changes(report["right"]), (created, right, 0), "changes of the database")
        return done


def _changes(side: dict[str, Any]) -> tuple[int, ...]:
    return (side["created"], side["updated"], side["deleted"])


def expect(found: object, expected: object, what: str) -> None:
    """Raise CommandFailed unless *found* is as *expected*: a wrong result has no speed."""
    if found != expected:
        raise CommandFailed(f"{what}: {found}, and not {expected}")


def count_records(database: Path) -> int:
    """Return how many records an SQLite store holds."""
    with closing(sqlite3.connect(database)) as db:
        ((count,),) = db.execute("SELECT count(*) FROM django_store_record")
    return int(count)


def differing_tables(one: Path, other: Path) -> list[str]:
    """Return the tables whose rows differ between two SQLite stores, in number or but for ids."""
    with closing(sqlite3.connect(one)) as db:
        db.execute("ATTACH ? AS other", (str(other),))
        return [table for table, columns in _tables(db) if _differ(db, table, columns)]


def _tables(db: sqlite3.Connection) -> Iterator[tuple[str, list[str]]]:
    """Give every table of Sumatra's, and its columns that are not numbers of rows."""
    tables = db.execute(
        "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name LIKE 'django_store%'"
    )
    for (table,) in tables.fetchall():
        columns = db.execute("SELECT name FROM pragma_table_info(?)", (table,))
        yield table, [f'"{name}"' for (name,) in columns if not name.endswith("id") or name == "project_id"]


def _differ(db: sqlite3.Connection, table: str, columns: list[str]) -> bool:
    names = ", ".join(["1", *columns])
    rows = [f"SELECT {names} FROM {schema}.{table}" for schema in ("main", "other")]
    one_way, other_way = (f"SELECT count(*) FROM ({a} EXCEPT {b})" for a, b in (rows, rows[::-1]))
    counts = " <> ".join(f"(SELECT count(*) FROM {schema}.{table})" for schema in ("main", "other"))
    ((differ,),) = db.execute(f"SELECT ({one_way}) OR ({other_way}) OR {counts}")
    return bool(differ)
