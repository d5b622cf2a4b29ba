"""A Sumatra project made by real `smt`: a git repository, a program, a record store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.peers.environments import Environment, PeerFailed
from tests.peers.stores import copy_empty_database

#: It does not import `os`, as Sumatra finds the dependencies of each run by reading all that it imports.
MAIN_PY = '''\
"""Write what was asked for into Data: main.py [PARAMETER_FILE] [ARGUMENT...] [LABEL]"""
import sys
import time
from posix import environ, mkdir, stat

import model


def there(path):
    try:
        return stat(path)
    except OSError:
        return None


def make(directory):
    if not there(directory):
        mkdir(directory)


arguments = sys.argv[1:]
label = arguments[-1] if arguments else "unlabelled"
parameters = ""
for path in arguments:
    found = there(path)
    if found and found.st_mode & 0o170000 == 0o100000:
        with open(path, encoding="utf-8") as file:
            parameters += file.read()
make("Data")
make(f"Data/{label}")
with open(f"Data/{label}/result.txt", "w", encoding="utf-8") as file:
    file.write(model.compute(label, parameters))
print(f"computed {label} from {len(parameters)} characters of parameters")
if "hold" in arguments:
    message = environ[b"HOME"].decode() + "/" + label
    open(message + ".started", "w").close()
    while not there(message + ".go"):
        time.sleep(0.01)
if "fail" in arguments:
    sys.exit("asked to fail")
'''
# A package, because Sumatra records only packages as dependencies, not modules.
MODEL_PY = '''\
"""What main.py depends on."""


def compute(label, parameters):
    return f"{label}\\n{parameters}"
'''
AUTHOR = {
    "GIT_AUTHOR_NAME": "Ada Lovelace",
    "GIT_AUTHOR_EMAIL": "ada@lab.example",
    "GIT_AUTHOR_DATE": "2024-05-06T07:08:09+00:00",
    "GIT_COMMITTER_NAME": "Ada Lovelace",
    "GIT_COMMITTER_EMAIL": "ada@lab.example",
    "GIT_COMMITTER_DATE": "2024-05-06T07:08:09+00:00",
}

Labels = list[str]


class SumatraProject:
    """The project in *directory*, used with the real `smt` of *environment*.

    Every command returns its standard output, and raises PeerFailed, with all of its output, if the exit code
    is not 0. `smt` itself does not report many failures (for example a label that does not exist): tests
    check the result afterwards.
    """

    def __init__(self, directory: Path, environment: Environment) -> None:
        self.directory = directory
        self.environment = environment

    @property
    def _home(self) -> Path:
        return self.directory / ".home"

    @property
    def smt_directory(self) -> Path:
        return self.directory / ".smt"

    @property
    def store_path(self) -> Path:
        """The path that `smt init` gives its store: the SQLite file, or a shelf's stem."""
        return self.smt_directory / "records"

    def variables(self) -> dict[str, str]:
        """Return the variables that every command has in addition to the peer's."""
        return {**AUTHOR, "HOME": str(self._home)}

    def create_code(self, files: Mapping[str, str] | None = None) -> str:
        """Commit main.py, the package model and *files* to a new git repository.

        Returns the commit; the same files always make the same one.
        """
        user = json.dumps({"username": "Ada Lovelace <ada@lab.example>"})
        ignored = "/.home/\n/.smt*/\n/Data/\n__pycache__/\n"
        code = {".gitignore": ignored, "main.py": MAIN_PY, "model/__init__.py": MODEL_PY}
        for name, content in {".home/.smtrc": user, **code, **(files or {})}.items():
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        self.git("init", "--quiet", "--initial-branch=master")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "First version")
        return self.git("rev-parse", "HEAD").strip()

    def git(self, *args: str) -> str:
        return self._run("git", *args).stdout

    def smt(self, *args: str | Path) -> str:
        """Run any `smt` command."""
        return self._run("smt", *args).stdout

    def init(self, name: str, *options: str | Path, prepared: bool = True) -> str:
        """Create the project *name*, and its code if there is none.

        Without *options* as in Sumatra's documentation: the label ends the command line and names a directory
        in Data, so that no run can claim another's output. An SQLite store is one that Sumatra *prepared* for
        all tests, which is faster.
        """
        if not (self.directory / ".git").exists():
            self.create_code()
        elsewhere = any("--store" in str(option) for option in options)
        if prepared and self.environment.name == "django" and not elsewhere:
            self.smt_directory.mkdir(exist_ok=True)
            copy_empty_database(self.environment, self.store_path)
        usual = ("--addlabel=cmdline", "--executable=python", "--on-changed=store-diff")
        return self.smt("init", name, *(options or (*usual, "--main=main.py")))

    def run(
        self,
        *args: str | Path,
        label: str | None = None,
        reason: str | None = None,
        tag: str | None = None,
    ) -> str:
        """Compute once; *args* are parameter files, `name=value` and arguments of main.py.

        Labels that Sumatra creates itself have a resolution of one second: give *label* to runs in a row.
        """
        given = {"--label": label, "--reason": reason, "--tag": tag}
        options = [f"{option}={value}" for option, value in given.items() if value is not None]
        return self.smt("run", *options, *args)

    @contextmanager
    def running(self, *args: str | Path, label: str) -> Iterator[Callable[[], str]]:
        """Keep an `smt run` going: its program runs, its record is `_running_`.

        Yields a function that lets the run finish and returns its output. Without a call the run is killed at
        the end, and what it has saved so far stays. No other program sees that in a dumb shelf, whose index
        Sumatra writes at the end. Needs the label on the command line, where `init` without options puts it.
        """
        with self._start("smt", "run", f"--label={label}", *args, "hold") as run:

            def finish() -> str:
                (self._home / f"{label}.go").touch()
                return run.communicate()[0]

            try:
                while not (self._home / f"{label}.started").exists():
                    if run.poll() is not None:
                        raise PeerFailed(f"smt run ended too early:\n{run.communicate()[0]}")
                    time.sleep(0.01)
                yield finish
            finally:
                if run.poll() is None:
                    os.killpg(run.pid, signal.SIGKILL)

    def comment(self, label: str, text: str) -> str:
        """Comment on the outcome of *label*; the text is added to what was there before."""
        return self.smt("comment", label, text)

    def tag(self, tag: str, *labels: str) -> str:
        return self.smt("tag", tag, *labels)

    def delete(self, *labels: str) -> str:
        return self.smt("delete", *labels)

    def list(self, *tags: str, long: bool = False) -> str:
        return self.smt("list", *(["--long"] if long else []), *tags)

    def labels(self, *tags: str) -> Labels:
        """Return what `smt list` lists, newest first."""
        return [label for label in self.list(*tags).splitlines() if label]

    def info(self) -> str:
        return self.smt("info")

    def export(self) -> str:
        """Return the output of `smt export`: the project's records in Sumatra's JSON."""
        self.smt("export")
        return (self.smt_directory / "records_export.json").read_text(encoding="utf-8")

    def records(self) -> dict[str, dict[str, Any]]:
        """Return the exported records by label."""
        return {record["label"]: record for record in json.loads(self.export())}

    def sync(self, *stores: str | Path) -> str:
        """Run real `smt sync` with one store or two."""
        return self.smt("sync", *stores)

    def _run(self, program: str, *args: str | Path) -> subprocess.CompletedProcess[str]:
        return self.environment.run(program, *args, cwd=self.directory, env=self.variables())

    def _start(self, program: str, *args: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.environment.command(program, *args),
            cwd=self.directory,
            env={**self.environment.variables(), **self.variables()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            start_new_session=True,  # so that its program can be ended with it
        )
