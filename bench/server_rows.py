"""The rows of the table that measure smtd's own server, with a Sumatra Server for comparison."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench import measure
from bench.daemon_rows import percentiles
from bench.line import Line, in_milliseconds
from bench.server import PUT_ALL, bodies, filled, logins, serving
from bench.workplace import PROJECT, Workplace, expect
from docs.measured import ROOT
from tests.peers.server import PASSWORD, USERS

#: Records on a server; runs saved to smtd's server, and to a Sumatra Server, with five saves each.
MANY, RUNS, RUNS_BESIDE = 10_000, 40, 4
#: Laptops; their users; changes a second by all together; seconds.
LAPTOPS, OWNERS, RATE, SECONDS = 100, 20, 10, 30
#: Writers, their labels, and how often each writes.
WRITERS, LABELS, TURNS = 50, 20, 20
#: Concurrent PUTs that fill a Sumatra Server: with more, some labels become unusable.
AT_ONCE_BESIDE = 2
_SUMATRA_LOGIN = b64encode(f"{USERS[0]}:{PASSWORD}".encode()).decode()


def save(work: Workplace, rounds: int) -> list[Line]:
    """Measure the save that `smt run` makes five times for each record, in a large project."""
    one = bodies(work, 1)
    with filled(work, "serve-save", MANY, 1) as (server, (login,)):
        taken = _saves(work, one, f"{server.url}{PROJECT}", login, RUNS * rounds)
    many = bodies(work, MANY)
    address = f"{work.server.url}{PROJECT}"
    work.on_empty_server(work.python(PUT_ALL, many, address, _SUMATRA_LOGIN, str(AT_ONCE_BESIDE)), MANY)
    beside = _saves(work, one, address, _SUMATRA_LOGIN, RUNS_BESIDE * rounds)
    p50, _ = percentiles(taken)
    return [
        Line(
            f"`smt`'s save (GET of the project, PUT), {len(taken)} times, {MANY:,} records on `smtd serve`",
            _percentile_text(taken),
            f"Sumatra Server 0.3.0, {len(beside)} times: {_percentile_text(beside)}",
            "p50 ≤ 5 ms",
            p50 <= 0.005,
        )
    ]


def _saves(work: Workplace, one: Path, address: str, login: str, count: int) -> list[float]:
    command = work.python(ROOT / "bench" / "saves.py", one, address, login, str(count))
    return sorted(json.loads(measure.run(command).output))


def _percentile_text(taken: Sequence[float]) -> str:
    p50, p99 = percentiles(taken)
    return f"p50 {in_milliseconds(p50 * 1000)}, p99 {in_milliseconds(p99 * 1000)}"


def laptops(work: Workplace, rounds: int) -> list[Line]:
    """Measure many clients that listen to streams with records, while a few records change each second."""
    with filled(work, "serve-laptops", MANY, OWNERS) as (server, known):
        words = (server.root, server.process.pid, LAPTOPS, RATE, SECONDS * rounds, *known)
        done = measure.run(work.module("bench.laptops", *map(str, words)))
        memory = server.peak()
    found = json.loads(done.output)
    expect(found["count"], LAPTOPS * RATE * SECONDS * rounds, "events that came")
    (p50, p99, longest), share = found["lags"], found["share"]
    return [
        Line(
            f"`smtd serve`, {MANY:,} records: {LAPTOPS} laptops listen, {RATE} changes a second for"
            f" {SECONDS * rounds} s",
            f"{share:.1%} of a core, {memory / 1e6:.0f} MB at most; PUT to event with record, at all laptops:"
            f" p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, longest {longest * 1000:.0f} ms",
            "",
            "≤ 15 % of a core, ≤ 150 MB, p99 ≤ 1 s",
            share <= 0.15 and memory <= 150e6 and p99 <= 1,
        )
    ]


def writers(work: Workplace, rounds: int) -> list[Line]:
    """Measure many clients that write to the same few new labels at once, without conditions."""
    one, turns = bodies(work, 1), TURNS * rounds
    compete = partial(_compete, work, one, turns)
    directory = work.empty("serve-writers")
    (login,) = logins(work, directory, 1)
    with serving(work, directory) as server:
        server.make_project(login)
        found = compete(f"{server.url}{PROJECT}", login)
    expect(found["wrong"], 0, "labels that hold a value that is no writer's last")
    work.server.clear()
    work.server.make_project(PROJECT)
    beside = compete(f"{work.server.url}{PROJECT}", _SUMATRA_LOGIN)
    return [
        Line(
            f"{WRITERS} writers on {LABELS} new labels of `smtd serve`, {WRITERS * turns:,} PUTs",
            _came(found),
            f"Sumatra Server 0.3.0: {_came(beside)}",
            "0 labels unusable, 0 answers 5xx",
            found["dead"] == 0 and not _failures(found),
        )
    ]


def _compete(work: Workplace, one: Path, turns: int, address: str, login: str) -> dict[str, Any]:
    words = (one, address, login, WRITERS, LABELS, turns)
    command = work.python(ROOT / "bench" / "many_writers.py", *map(str, words))
    found: dict[str, Any] = json.loads(measure.run(command).output)
    expect(sum(found["statuses"].values()), WRITERS * turns, "answers")
    return found


def _failures(found: dict[str, Any]) -> int:
    return sum(count for status, count in found["statuses"].items() if status >= "500")


def _came(found: dict[str, Any]) -> str:
    done = sum(count for status, count in found["statuses"].items() if status in ("200", "201"))
    what = f"{found['dead']} labels unusable, {_failures(found)} answers 5xx"
    return f"{what}, {done:,} done in {found['seconds']:.1f} s"
