"""SQLite to a real Sumatra Server, beside the rate at which that takes the same records from anybody."""

from __future__ import annotations

import base64
from functools import partial

from bench import measure
from bench.line import Line
from bench.measure import Command
from bench.workplace import PROJECT, Workplace, count_records, expect
from docs.measured import ROOT
from tests.peers.server import PASSWORD, USERS

COUNTS = (1_000, 10_000)
FLOOR = ROOT / "bench" / "put_floor.py"


def to_a_server(work: Workplace, rounds: int) -> list[Line]:
    """The same records by smtd, and one PUT for each of them."""
    return [_to_a_server(work, count, rounds) for count in COUNTS]


def _to_a_server(work: Workplace, count: int, rounds: int) -> Line:
    server, home = work.server, work.empty("put-rate")
    store, bodies = home / "store.sqlite", home / "bodies.json"
    measure.run(work.module("bench.sweep", str(count), store))
    numbers = measure.run(work.module("bench.put_bodies", store, bodies)).output.split()
    address = server.url.replace("://", f"://{USERS[0]}:{PASSWORD}@")
    login = base64.b64encode(f"{USERS[0]}:{PASSWORD}".encode()).decode()

    def made(command: Command) -> measure.Run:
        server.clear()
        server.make_project(PROJECT)
        done = measure.run(command)
        expect(count_records(server.database), count, "records on the server")
        return done

    def smtd() -> measure.Run:
        return made(work.smtd("sync", "--state", work.empty("state"), store, address))

    def floor(at_once: str) -> measure.Run:
        return made(work.python(FLOOR, bodies, f"{server.url}{PROJECT}", login, at_once))

    floors = {number: partial(floor, number) for number in numbers}
    runs = measure.interleaved({"smtd": smtd, **floors}, rounds)
    best = min(numbers, key=lambda number: measure.seconds(runs[number]))
    times = measure.ratio(runs["smtd"], runs[best])
    rates = " and ".join(
        f"{number} at once {measure.seconds(runs[number]):.1f} s ({count / measure.seconds(runs[number]):.0f}"
        " a second)"
        for number in numbers
    )
    return Line(
        f"`smtd sync`, {count:,} records, SQLite → Sumatra Server, beside one PUT for each",
        f"{measure.seconds(runs['smtd']):.1f} s, {times:.1f} times the better floor",
        f"floors: {rates}",
        "≤ 1.5 times",
        times <= 1.5,
    )
