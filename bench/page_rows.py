"""The row of the table that measures the pages of smtd's own server."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

from bench import measure
from bench.daemon_rows import percentiles
from bench.line import Line, in_milliseconds
from bench.server import LOGIN_PASSWORD, RunningServer, logins, serving
from bench.workplace import Workplace

#: Records of the project, and characters of output of each; pages that are opened after each start.
RECORDS, CHARACTERS, PAGES = 100_000, 20_000, 20


def searched(work: Workplace, rounds: int) -> list[Line]:
    """Measure pages of 50 records that a search found, each search once, after a start of the server."""
    directory = work.empty("pages")
    store = directory / "records.sqlite"
    measure.run(work.module("bench.sweep", str(RECORDS), store, str(CHARACTERS)))
    (login,) = logins(work, directory, 1)
    user = base64.b64decode(login).decode().partition(":")[0]
    began = time.perf_counter()
    with serving(work, directory, store) as server:
        _open(work, server, user, 0, 0)
    filled = time.perf_counter() - began
    taken: list[float] = []
    largest, busy = 0, 0.0
    for number in range(rounds):
        with serving(work, directory, store) as server:
            found = _open(work, server, user, number * PAGES, PAGES)
        taken += found["seconds"]
        busy += found["processor"]
        largest = max(largest, found["largest"])
    p50, p99 = percentiles(sorted(taken))
    return [
        Line(
            f"a page of 50 of {RECORDS:,} records of `smtd serve`, searched, {len(taken)} times after"
            f" {rounds} starts",
            f"p50 {in_milliseconds(p50 * 1000)}, p99 {in_milliseconds(p99 * 1000)};"
            f" {in_milliseconds(busy / len(taken) * 1000)} of processor time each;"
            f" at most {largest / 1000:.0f} kB",
            f"to read all {RECORDS:,} records for the search index, once: {filled:.0f} s",
            "p50 ≤ 100 ms, ≤ 100 kB",
            p50 <= 0.1 and largest <= 100_000,
        )
    ]


def _open(work: Workplace, server: RunningServer, user: str, first: int, count: int) -> dict[str, Any]:
    """Run `bench.pages`, and return what it prints."""
    words = (server.root, user, LOGIN_PASSWORD, str(first), str(count), str(server.process.pid))
    found: dict[str, Any] = json.loads(measure.run(work.module("bench.pages", *words)).output)
    return found
