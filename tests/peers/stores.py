"""Record stores that real Sumatra fills, reads and edits; and their files."""

from __future__ import annotations

import dbm.dumb
import json
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.peers.environments import HERE, Environment, PeerFailed

Kind = Literal["shelf", "django"]
Seen = dict[str, dict[str, dict[str, Any]]]


@dataclass(frozen=True)
class PeerStore:
    """The store at *path*, used by the real Sumatra of *environment*.

    A shelf's path is its stem, as in `.smt/project`: the files' names may be longer. *dbm* is the kind of a
    shelf that does not exist yet, `dumb`, `gnu`, `ndbm` or `sqlite3`, if the environment's Python has it.
    Every method raises PeerFailed, with all of Sumatra's output, if Sumatra fails.
    """

    environment: Environment
    kind: Kind
    path: Path
    dbm: str = "dumb"
    #: The address of a database on a server; the path is then only the working directory.
    url: str = ""

    def make_rich(self, project: str, root: Path | None = None) -> int:
        """Save a record of every kind that Sumatra has; return how many.

        Their data and repositories are in *root*, else beside the store.
        """
        return self._make(project, "--kind=rich", *self._root(root))

    def make_many(self, project: str, count: int, *, first: int = 0, root: Path | None = None) -> int:
        """Save *count* finished runs, `sweep-NNNNN`, from number *first* on; return how many.

        They must be new. The same number makes the same record, in any store.
        """
        numbers = (f"--count={count}", f"--first={first}")
        return self._make(project, "--kind=many", *numbers, *self._root(root))

    def dump(self) -> Seen:
        """Return what Sumatra sees, by project and label; see scripts/dump_store.py."""
        seen: Seen = json.loads(self._look("dump_store.py", self._name))
        return seen

    def edit(
        self,
        project: str,
        label: str,
        *,
        tag: str | None = None,
        outcome: str | None = None,
        reason: str | None = None,
    ) -> None:
        """Change one record; fields with None stay."""
        asked = {"--tag": tag, "--outcome": outcome, "--reason": reason}
        edits = [f"{option}={value}" for option, value in asked.items() if value is not None]
        self._look("edit_store.py", self._name, project, label, *edits)

    def delete(self, project: str, label: str) -> None:
        """Delete one record."""
        self._look("edit_store.py", self._name, project, label, "--delete")

    @contextmanager
    def held(self, project: str, label: str) -> Iterator[Callable[[], None]]:
        """Keep the shelf open as a long `smt run` does, with *label* saved already.

        Yields a function that lets the holder save `LABEL-2` from its own state and close the shelf, and
        returns when it has; it is called at the end if it was not before.
        """
        holder = self._start_holder(project, label)
        try:
            _expect(holder, "ready")

            def release() -> None:
                if holder.poll() is None:
                    assert holder.stdin
                    holder.stdin.write("\n")
                    holder.stdin.flush()
                    _expect(holder, "done")
                    holder.wait()

            yield release
            release()
        finally:
            holder.kill()
            holder.communicate()

    def _make(self, project: str, *options: str) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.kind == "django" and not self.url and not self.path.exists():
            copy_empty_database(self.environment, self.path)
        made_with = f"--dbm={self.dbm}"
        return int(self._script("make_records.py", made_with, self._name, project, *options))

    def _root(self, root: Path | None) -> list[str]:
        root = root or (self.path.parent if self.url else None)
        return [] if root is None else [f"--root={root}"]

    @property
    def _name(self) -> str | Path:
        return self.url or self.path

    def _script(self, name: str, *args: str | Path) -> str:
        return self.environment.script(name, f"--{self.kind}", *args, cwd=self.path.parent).stdout

    def _look(self, name: str, *args: str | Path) -> str:
        """Run a script that creates no repository, with a fast substitute for Mercurial."""
        path = f"{HERE / 'quick'}{os.pathsep}{self.environment.variables()['PATH']}"
        kind = f"--{self.kind}"
        return self.environment.script(name, kind, *args, cwd=self.path.parent, env={"PATH": path}).stdout

    def _start_holder(self, project: str, label: str) -> subprocess.Popen[str]:
        script = HERE / "scripts" / "hold_shelf.py"
        return subprocess.Popen(
            self.environment.command("python", script, self.path, project, label, f"--dbm={self.dbm}"),
            cwd=self.path.parent,
            env=self.environment.variables(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )


def dumb_files(shelf: Path) -> list[Path]:
    """Return the three files of the dumb shelf at *shelf*."""
    return [shelf.with_name(f"{shelf.name}.{suffix}") for suffix in ("dat", "dir", "bak")]


def copy_store(source: Path, target: Path) -> Path:
    """Copy the store at *source*, a file or a dumb shelf, to *target*, and return that."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.exists():
        shutil.copyfile(source, target)
    else:
        for old, new in zip(dumb_files(source), dumb_files(target), strict=True):
            shutil.copyfile(old, new)
    return target


def copy_empty_database(environment: Environment, target: Path) -> None:
    """Copy to *target* the SQLite file that Sumatra creates for a store, once for all tests on this machine.

    Its migrations cost five times what else a first command of Sumatra costs.
    """
    kept = environment.directory / "empty.sqlite"
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=environment.directory) as directory:
            made = PeerStore(environment, "django", Path(directory) / "records")
            made.dump()
            made.path.replace(kept)
    shutil.copyfile(kept, target)


def as_sqlite3_shelf(shelf: Path, target: Path) -> Path:
    """Write the contents of the dumb shelf to *target* as Python 3.13 would, and return that.

    The layout is that of CPython's dbm/sqlite3.py, with its write-ahead log.
    """
    with dbm.dumb.open(str(shelf), "r") as source:
        items = [(key, source[key]) for key in source]
    with closing(sqlite3.connect(target, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = wal")
        database.execute(
            "\n  CREATE TABLE IF NOT EXISTS Dict (\n    key BLOB UNIQUE NOT NULL,\n"
            "    value BLOB NOT NULL\n  )\n"
        )
        store = "REPLACE INTO Dict (key, value) VALUES (CAST(? AS BLOB), CAST(? AS BLOB))"
        database.executemany(store, items)
    return target


def _expect(holder: subprocess.Popen[str], word: str) -> None:
    assert holder.stdout
    said = holder.stdout.readline().strip()
    if said != word:
        _, errors = holder.communicate()
        raise PeerFailed(f"hold_shelf.py said {said!r}, not {word!r}\n{errors}")
