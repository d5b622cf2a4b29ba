"""SQLite to a real Sumatra Server, beside the rate at which that takes the same records from anybody."""

from __future__ import annotations

import base64
from functools import partial

from bench import measure
from bench.line import Line
from bench.workplace import PROJECT, Workplace
from docs.measured import ROOT
from tests.peers.server import PASSWORD, USERS

COUNTS = (1_000, 10_000)
FLOOR = ROOT / "bench" / "put_floor.py"


def to_a_server(work: Workplace, rounds: int) -> list[Line]:
    """The same records by smtd, and one PUT for each of them."""
    return [_to_a_server(work, count, rounds) for count in COUNTS]


def _to_a_server(work: Workplace, count: int, rounds: int) -> Line:
    home = work.empty("put-rate")
    store, bodies = home / "store.sqlite", home / "bodies.json"
    measure.run(work.module("bench.sweep", str(count), store))
    numbers = measure.run(work.module("bench.put_bodies", store, bodies)).output.split()
    login = base64.b64encode(f"{USERS[0]}:{PASSWORD}".encode()).decode()

    def smtd() -> measure.Run:
        command = work.smtd("sync", "--state", work.empty("state"), store, work.server.address)
        return work.on_empty_server(command, count)

    def floor(at_once: str) -> measure.Run:
        command = work.python(FLOOR, bodies, f"{work.server.url}{PROJECT}", login, at_once)
        return work.on_empty_server(command, count)

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
