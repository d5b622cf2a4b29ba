"""SQLite to a real Sumatra Server, beside the rate at which that takes the same records from anybody."""

from __future__ import annotations

import base64
import json

import anyio

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
    from smtd.stores.http.session import AT_ONCE  # here: see bench/edits.py

    server, home = work.server, work.empty("put-rate")
    store, bodies = home / "store.sqlite", home / "bodies.json"
    measure.run(work.module("bench.sweep", str(count), store))
    bodies.write_text(json.dumps(anyio.run(_bodies, str(store))), "utf-8")
    address = server.url.replace("://", f"://{USERS[0]}:{PASSWORD}@")
    login = base64.b64encode(f"{USERS[0]}:{PASSWORD}".encode()).decode()
    floor = work.python(FLOOR, bodies, f"{server.url}{PROJECT}", login, str(AT_ONCE))

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
        f"floor, a PUT for each, {AT_ONCE} at once: {measure.seconds(runs['floor']):.1f} s,"
        f" {rate:.0f} a second",
        "≤ 1.5 times",
        times <= 1.5,
    )


async def _bodies(store: str) -> dict[str, str]:
    """Return what to PUT for each label."""
    from smtd.stores.http import form
    from smtd.stores.locations import find
    from smtd.stores.registry import open_store

    async with open_store(find(store)) as opened:
        records = await opened.read(list((await opened.scan()).digests))
    return {key.label: form.body(record).decode() for key, record in records.items()}
