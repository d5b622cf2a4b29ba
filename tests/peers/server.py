"""The real Sumatra Server, on its own port, with a database that tests may inspect."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

from tests.peers.environments import HERE, Environment, PeerFailed

SITE = HERE / "server_site"
USERS = ("ada", "bob", "anonymous")
PASSWORD = "s3cret"


#: Fields that a server cannot hold, and fields whose order it does not keep.
NOT_ON_A_SERVER = {"on_changed", "extra"}
UNORDERED = {
    "dependencies",
    "platforms",
    "input_data",
    "output_data",
    "input_creations_us",
    "output_creations_us",
}
#: How the server writes a distribution that was given with other arguments.
GAMMA = ("GammaDist(a=4.000000,b=0.500000)", "GammaDist(m=2.000000,s=1.000000)")


@dataclass(frozen=True)
class SumatraServer:
    """A running server; every user of USERS has the password PASSWORD."""

    port: int
    database: Path
    log: Path

    @property
    def root(self) -> str:
        """The server's address, without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The address of its records, without a user."""
        return f"{self.root}/records/"

    @property
    def address(self) -> str:
        """The address with the name and the password of the first user."""
        return self.url.replace("://", f"://{USERS[0]}:{PASSWORD}@")

    def requests(self) -> list[str]:
        """Return method, path and status of every request so far."""
        lines = [line.split('"') for line in self.log.read_text("utf-8").splitlines() if ' HTTP/1.1"' in line]
        return [f"{request.removesuffix(' HTTP/1.1')} {rest.split()[0]}" for _, request, rest in lines]

    def run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement on its database, as its administrator could, and return the rows."""
        with closing(sqlite3.connect(self.database, isolation_level=None, timeout=30)) as db:
            db.execute("PRAGMA synchronous = OFF")
            return db.execute(statement, values).fetchall()

    def seen_by_sumatra(self, project: str, environment: Environment, cwd: Path) -> dict[str, dict[str, Any]]:
        """Return what Sumatra's own client of *environment* lists, by label; see scripts/dump_server.py."""
        words = (self.url, USERS[0], PASSWORD, project)
        done = environment.script("dump_server.py", *words, cwd=cwd, env={"http_proxy": ""})
        seen: dict[str, dict[str, Any]] = json.loads(done.stdout)
        return seen

    def make_project(self, name: str) -> None:
        """Create an empty project of the first user, as Sumatra's own client does, and wait for its log.

        The server logs a request after its answer: a test that counts requests must not count this one.
        """
        before = len(self.requests())
        request = Request(f"{self.url}{name}/", b"{}", method="PUT")
        login = b64encode(f"{USERS[0]}:{PASSWORD}".encode()).decode()
        request.add_header("Authorization", f"Basic {login}")
        request.add_header("Content-Type", "application/json")
        with build_opener(ProxyHandler({})).open(request, timeout=30):
            pass
        until = time.monotonic() + 30
        while len(self.requests()) == before and time.monotonic() < until:
            time.sleep(0.001)

    def save_to(self, path: Path) -> None:
        """Copy its database to *path*."""
        with closing(sqlite3.connect(self.database)) as here, closing(sqlite3.connect(path)) as there:
            here.backup(there)

    def load_from(self, path: Path) -> None:
        """Replace its database by one that `save_to` made, of this server or of another one."""
        with closing(sqlite3.connect(self.database)) as here, closing(sqlite3.connect(path)) as there:
            there.backup(here)

    def clear(self) -> None:
        """Delete every record and project."""
        self.run("PRAGMA foreign_keys = OFF")
        for (table,) in self.run(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND (name LIKE 'django_store_%'"
            " OR name LIKE 'sumatra_server_%')"
        ):
            self.run(f'DELETE FROM "{table}"')


@contextmanager
def serving(environment: Environment, directory: Path, *, careless: bool = False) -> Iterator[SumatraServer]:
    """Run a server during a `with` block; if *careless*, it waits for no disk.

    Raises PeerFailed if it does not start.
    """
    directory.mkdir(parents=True, exist_ok=True)
    database, log = directory / "server.sqlite", directory / "server.log"
    with log.open("w", encoding="utf-8") as stderr:
        process = subprocess.Popen(
            environment.command("python", "-W", "ignore", SITE / "serve.py", *USERS),
            cwd=SITE,
            env={
                **environment.variables(),
                "PEER_DATABASE": str(database),
                "PEER_SYNCHRONOUS": "OFF" if careless else "FULL",
            },
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


def at_the_resolution_of_a_server(seen: dict[str, Any]) -> dict[str, Any]:
    """Return what Sumatra sees of a record, as far as a server keeps it."""
    moment = datetime.fromisoformat(seen["timestamp_us"])
    document = json.dumps({name: value for name, value in seen.items() if name not in NOT_ON_A_SERVER})
    kept: dict[str, Any] = json.loads(document.replace(*GAMMA))
    kept |= {name: sorted(kept[name], key=repr) for name in UNORDERED}
    kept |= {name: [_second(each) for each in kept[name]] for name in UNORDERED if name.endswith("_us")}
    kept |= {name: kept[name] or "" for name in ("reason", "main_file")}
    kept["timestamp"] = kept["timestamp_us"] = moment.astimezone(timezone.utc).replace(microsecond=0)
    kept["tags"] = sorted({part for tag in kept["tags"] for part in tag.split(",")})
    return kept


def _second(moment: str | None) -> str | None:
    return moment and re.sub(r"\.\d+", ".000000", moment)
