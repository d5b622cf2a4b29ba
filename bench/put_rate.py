"""SQLite to a real Sumatra Server, beside the rate at which that takes the same records from anybody."""

from __future__ import annotations

import base64

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
    at_once = measure.run(work.module("bench.put_bodies", store, bodies)).output.strip()
    address = server.url.replace("://", f"://{USERS[0]}:{PASSWORD}@")
    login = base64.b64encode(f"{USERS[0]}:{PASSWORD}".encode()).decode()
    floor = work.python(FLOOR, bodies, f"{server.url}{PROJECT}", login, at_once)

    def made(command: Command) -> measure.Run:
        server.clear()
        server.make_project(PROJECT)
        done = measure.run(command)
        expect(count_records(server.database), count, "records on the server")
        return done

    runs = measure.interleaved(
        {
            "smtd": lambda: made(work.smtd("sync", "--state", work.empty("state"), store, address)),
            "floor": lambda: made(floor),
        },
        rounds,
    )
    rate = count / measure.seconds(runs["floor"])
    times = measure.ratio(runs["smtd"], runs["floor"])
    return Line(
        f"`smtd sync`, {count:,} records, SQLite → Sumatra Server",
        f"{measure.seconds(runs['smtd']):.1f} s, {times:.1f} times the floor",
        f"floor, a PUT for each, {at_once} at once: {measure.seconds(runs['floor']):.1f} s,"
        f" {rate:.0f} a second",
        "≤ 1.5 times",
        times <= 1.5,
    )
