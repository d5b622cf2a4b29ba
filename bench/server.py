"""A running `smtd serve` to measure, with its users and its records."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

from bench import measure
from bench.daemon import RunningDaemon
from bench.measure import CommandFailed
from bench.workplace import PROJECT, Workplace, count_records, expect
from docs.measured import ROOT

PUT_ALL = ROOT / "bench" / "put_floor.py"
#: The password of every user.
LOGIN_PASSWORD = "not-s3cret"
#: Concurrent PUTs that fill a server.
AT_ONCE = 16


class RunningServer(RunningDaemon):
    """`smtd serve` in *directory*, with its own store there: a new one, or that of an earlier server.

    It serves the SQLite file *store* instead if that is given.
    """

    def __init__(self, work: Workplace, directory: Path, store: Path | None = None) -> None:
        words = [] if store is None else [str(store)]
        super().__init__(work, directory, "", "serve", *words, "--listen", "127.0.0.1:0")
        events = [json.loads(line) for line in self.ctl("events").splitlines()]
        #: Its address.
        self.root: str = [event["address"] for event in events if event["event"] == "serving"][-1]
        self.url = f"{self.root}records/"
        self.store = store or directory / "state" / "smtd" / "server" / "records.sqlite"

    def peak(self) -> int:
        """Return its peak resident memory in bytes."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text("ascii").splitlines()
        (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
        return int(peak) * 1024

    def make_project(self, login: str) -> None:
        """Create the project with a request, as the user with *login*."""
        request = Request(f"{self.url}{PROJECT}/", b"{}", method="PUT")
        request.add_header("Authorization", f"Basic {login}")
        request.add_header("Content-Type", "application/json")
        with build_opener(ProxyHandler({})).open(request, timeout=30) as answer:
            expect(answer.status, 201, "status of the new project")


@contextmanager
def serving(work: Workplace, directory: Path, store: Path | None = None) -> Iterator[RunningServer]:
    """Run a server, of *store* if it is given, for the length of a `with` block."""
    server = RunningServer(work, directory, store)
    try:
        yield server
    finally:
        server.stop()


def logins(work: Workplace, directory: Path, count: int) -> list[str]:
    """Add *count* users who may write everywhere; return the Basic credentials of each: name and token."""
    found = []
    for number in range(count):
        name = f"user-{number}"
        _user(work, directory, "add", "--write-all", "--password-stdin", name)
        token = _user(work, directory, "token", name).strip()
        found.append(base64.b64encode(f"{name}:{token}".encode()).decode())
    return found


def _user(work: Workplace, directory: Path, *words: str) -> str:
    command = work.smtd("user", *words, "--users", directory / "users")
    argv = list(map(str, command.argv))
    done = subprocess.run(
        argv, env=command.env, input=f"{LOGIN_PASSWORD}\n", capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CommandFailed(f"smtd user {' '.join(words)}: {done.stderr}")
    return done.stdout


def bodies(work: Workplace, count: int) -> Path:
    """Return a new file with the body that clients PUT for each of *count* records, by label."""
    home = work.empty(f"bodies-{count}")
    store, made = home / "store.sqlite", home / "bodies.json"
    measure.run(work.module("bench.sweep", str(count), store))
    measure.run(work.module("bench.put_bodies", store, made))
    return made


@contextmanager
def filled(work: Workplace, name: str, count: int, users: int) -> Iterator[tuple[RunningServer, list[str]]]:
    """Run a restarted server with *count* records; yield it and the logins of *users* users."""
    directory = work.empty(name)
    known = logins(work, directory, users)
    with serving(work, directory) as server:
        server.make_project(known[0])
        address = f"{server.url}{PROJECT}"
        measure.run(work.python(PUT_ALL, bodies(work, count), address, known[0], str(AT_ONCE)))
        expect(count_records(server.store), count, "records on the server")
    with serving(work, directory) as server:
        yield server, known
