"""The rows of the table that measure mirrors of one server: daemons, each with a store of its own."""

from __future__ import annotations

import base64
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

from bench import measure
from bench.daemon import RunningDaemon
from bench.daemon_rows import percentiles
from bench.line import Line
from bench.server import RunningServer, logins, serving
from bench.workplace import PROJECT, Workplace, count_records, expect
from tests.peers.server import PASSWORD, USERS

#: Records of the first sync, and of the mirrors between which changes travel; changes; seconds between two.
MANY, FEW, CHANGES, PAUSE = 10_000, 1000, 60, 1.0
#: Records of the mirror to which nothing happens; seconds until it is quiet, and for which it is observed.
QUIET, SETTLED, OBSERVED = 100, 30.0, 300.0
HOUR = 3600.0
#: Seconds after which a change that did not arrive has failed.
PATIENCE = 60.0


def first(work: Workplace, rounds: int) -> list[Line]:
    """Measure the first sync of a store to a server, by one `smtd sync`, and count its requests."""
    directory = work.empty("mirror-first")
    (login,) = logins(work, directory, 1)
    store = directory / "store.sqlite"
    measure.run(work.module("bench.sweep", str(MANY), store))
    with serving(work, directory) as server:
        name, token = _credentials(login)
        address = server.url.replace("://", f"://{name}:{token}@")
        done = measure.run(work.smtd("sync", store, address, "--state", directory / "mirror"))
        expect(count_records(server.store), MANY, "records on the server")
        requests = _requests(server, login)
        again = measure.run(work.smtd("sync", store, address, "--state", directory / "mirror"))
    return [
        Line(
            f"first sync of {MANY:,} records to `smtd serve`",
            f"{done.seconds:.1f} s, {requests} requests; the next one {again.seconds:.1f} s",
            "Sumatra Server 0.3.0: 269 s, 20,003 requests",
            "≤ 8 s, ≤ 30 requests",
            done.seconds <= 8 and requests <= 30,
        )
    ]


def _requests(server: RunningServer, login: str) -> int:
    request = Request(f"{server.root}metrics", headers={"Authorization": f"Basic {login}"})
    with build_opener(ProxyHandler({})).open(request, timeout=30) as answer:
        figures = answer.read().decode()
    return sum(
        int(float(count)) for count in re.findall(r"^smtd_server_requests_total\{.*\} (\S+)", figures, re.M)
    )


def idle(work: Workplace, rounds: int) -> list[Line]:
    """Count the requests of a daemon to whose two stores nothing happens, by observing some minutes."""
    directory = work.empty("mirror-idle")
    (login,) = logins(work, directory, 1)
    own, other = directory / "own.sqlite", directory / "other.sqlite"
    for store in (own, other):
        measure.run(work.module("bench.sweep", str(QUIET), store))
    with serving(work, directory) as server:
        name, token = _credentials(login)
        with mirrored(work, "mirror-quiet", own, server.url, name, token) as daemon:
            quiet = _while_quiet(lambda: _requests(server, login)) - 1  # the one for this figure
            before = _requests(server, login)
            daemon.ctl("sync", "now")
            poll = _requests(server, login) - before - 1
    work.server.clear()
    work.server.make_project(PROJECT)
    with mirrored(work, "mirror-polling", other, work.server.url, USERS[0], PASSWORD):
        polling = _while_quiet(lambda: len(work.server.requests()))
    an_hour, beside = (count * HOUR / OBSERVED for count in (quiet, polling))
    most = an_hour + poll  # a poll is made at most once an hour
    return [
        Line(
            f"daemon: an hour with nothing to do, {QUIET} records, mirrored to `smtd serve`",
            f"≤ {most:.0f} requests: {quiet} in {OBSERVED / 60:.0f} minutes, and {poll} at most once an hour",
            f"Sumatra Server 0.3.0: {beside:,.0f} requests ({polling:,} in {OBSERVED / 60:.0f} minutes)",
            "≤ 2 requests",
            most <= 2,
        )
    ]


def _while_quiet(count: Callable[[], int]) -> int:
    """Return by how much *count* grows in OBSERVED seconds, once the pair is quiet."""
    time.sleep(SETTLED)
    before = count()
    time.sleep(OBSERVED)
    return count() - before


def _credentials(login: str) -> tuple[str, str]:
    name, token = base64.b64decode(login).decode().split(":")
    return name, token


def lag(work: Workplace, rounds: int) -> list[Line]:
    """Measure how long an edit takes from one store over the server to another, between two daemons."""
    directory = work.empty("mirror-lag")
    (login,) = logins(work, directory, 1)
    left, right = directory / "left.sqlite", directory / "right.sqlite"
    measure.run(work.module("bench.sweep", str(FEW), left))
    with (
        serving(work, directory) as server,
        mirrored(work, "mirror-left", left, server.url, *_credentials(login)),
        mirrored(work, "mirror-right", right, server.url, *_credentials(login)),
    ):
        expect(count_records(right), FEW, "records over the server")
        taken = sorted(_arrival(left, right, number) for number in range(CHANGES * rounds))
    p50, p99 = percentiles(taken)
    return [
        Line(
            f"{len(taken)} edits, one a second, {FEW:,} records: store → smtd → `smtd serve` → smtd → store",
            f"p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms",
            "Sumatra Server 0.3.0: 30 s to 1 h",
            "p50 ≤ 0.3 s, p99 ≤ 1 s",
            p50 <= 0.3 and p99 <= 1,
        )
    ]


@contextmanager
def mirrored(
    work: Workplace, name: str, store: Path, address: str, username: str, password: str
) -> Iterator[RunningDaemon]:
    """Run a daemon that mirrors *store* to the server at *address*, after its first cycle."""
    directory = work.empty(name)
    secret = directory / "token"
    secret.touch(0o600)
    secret.write_text(password, "utf-8")
    daemon = RunningDaemon(
        work,
        directory,
        f"""
[stores.local]
location = "{store}"
[stores.lab]
location = "{address}"
username = "{username}"
password_file = "{secret}"
[pairs.mirror]
left = "local"
right = "lab"
""",
    )
    try:
        daemon.ctl("sync", "now")
        yield daemon
    finally:
        daemon.stop()


def _arrival(left: Path, right: Path, number: int) -> float:
    """Edit a record on the left; return the seconds until the right has it. Raises CommandFailed."""
    time.sleep(PAUSE)
    outcome = f"edit {number}"
    with closing(sqlite3.connect(left, timeout=10)) as db, db:
        ((row, label),) = db.execute(
            "SELECT db_id, label FROM django_store_record LIMIT 1 OFFSET ?", (number,)
        )
        db.execute("UPDATE django_store_record SET outcome = ? WHERE db_id = ?", (outcome, row))
    began = time.monotonic()
    with closing(sqlite3.connect(right, timeout=10)) as db:
        asked = "SELECT 1 FROM django_store_record WHERE label = ? AND outcome = ?"
        while db.execute(asked, (label, outcome)).fetchone() is None:
            if time.monotonic() > began + PATIENCE:
                raise measure.CommandFailed(f"edit {number} did not arrive within {PATIENCE:.0f} s")
            time.sleep(0.002)
    return time.monotonic() - began
