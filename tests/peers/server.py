"""The real Sumatra Server, on a port of its own, with a database that tests may look into."""

from __future__ import annotations

import sqlite3
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

from tests.peers.environments import HERE, Environment, PeerFailed

SITE = HERE / "server_site"
USERS = ("ada", "bob", "anonymous")
PASSWORD = "s3cret"


@dataclass(frozen=True)
class SumatraServer:
    """A running server; every user of USERS has the password PASSWORD."""

    port: int
    database: Path
    log: Path

    @property
    def url(self) -> str:
        """Its address, without a user."""
        return f"http://127.0.0.1:{self.port}/records/"

    def requests(self) -> list[str]:
        """Return method, path and status of every request so far."""
        lines = [line.split('"') for line in self.log.read_text("utf-8").splitlines() if ' HTTP/1.1"' in line]
        return [f"{request.removesuffix(' HTTP/1.1')} {rest.split()[0]}" for _, request, rest in lines]

    def run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement on its database, as its administrator could, and return the rows."""
        with closing(sqlite3.connect(self.database, isolation_level=None, timeout=30)) as db:
            return db.execute(statement, values).fetchall()

    def make_project(self, name: str) -> None:
        """Make an empty project of the first user, as Sumatra's own client does."""
        request = Request(f"{self.url}{name}/", b"{}", method="PUT")
        login = b64encode(f"{USERS[0]}:{PASSWORD}".encode()).decode()
        request.add_header("Authorization", f"Basic {login}")
        request.add_header("Content-Type", "application/json")
        with build_opener(ProxyHandler({})).open(request, timeout=30):
            pass

    def clear(self) -> None:
        """Delete every record and project."""
        self.run("PRAGMA foreign_keys = OFF")
        for (table,) in self.run(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND (name LIKE 'django_store_%'"
            " OR name LIKE 'sumatra_server_%')"
        ):
            self.run(f'DELETE FROM "{table}"')


@contextmanager
def serving(environment: Environment, directory: Path) -> Iterator[SumatraServer]:
    """Run a server for the length of a `with` block. Raises PeerFailed if it does not start."""
    directory.mkdir(parents=True, exist_ok=True)
    database, log = directory / "server.sqlite", directory / "server.log"
    with log.open("w", encoding="utf-8") as stderr:
        process = subprocess.Popen(
            environment.command("python", "-W", "ignore", SITE / "serve.py", *USERS),
            cwd=SITE,
            env={**environment.variables(), "PEER_DATABASE": str(database)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            encoding="utf-8",
        )
    try:
        assert process.stdout
        port = process.stdout.readline().strip()
        if not port:
            raise PeerFailed(f"the server did not start:\n{log.read_text('utf-8')}")
        yield SumatraServer(int(port), database, log)
    finally:
        process.kill()
        process.communicate()
