"""The rows of the table: what is measured, beside what, and what the goal is.

A row is a function from a workplace and a number of rounds to lines of the table. It checks that
every command did what it was timed for.
"""

from __future__ import annotations

from functools import partial

from bench import (
    beside_sumatra,
    daemon_rows,
    database_rows,
    first_mirror,
    first_sync,
    growth,
    measure,
    mirror_rows,
    one_change,
    page_rows,
    peers,
    put_rate,
    server_rows,
)
from bench.line import Line, Row, peak, seconds
from bench.workplace import Pair, Workplace

MANY = 10_000


def idle(work: Workplace, rounds: int) -> list[Line]:
    """A cycle with nothing to do, right after the one that did it all, and later."""
    second, later, bare = [], [], []
    for _ in range(rounds):
        pair = Pair(work, "idle", MANY)
        pair.sync(created=MANY)
        second.append(pair.sync())
        for _ in range(3):
            later.append(pair.sync())
            bare.append(measure.run(work.python("-c", "pass")))
    return [
        Line(
            f"nothing to do, {MANY:,} records a side, {when}",
            seconds(runs),
            f"`python -c pass`: {seconds(bare)}",
            "≤ 0.5 s",
            measure.seconds(runs) <= 0.5,
        )
        for when, runs in (("right after the first sync", second), ("later", later))
    ]


def memory(work: Workplace, rounds: int) -> list[Line]:
    """The most memory that a first sync and one with nothing to do have had."""
    first, nothing, floors = [], [], []
    floor = work.module(
        "bench.floor", work.shelf(MANY), work.empty_store, work.empty("floor") / "floor.sqlite"
    )
    for _ in range(rounds):
        pair = Pair(work, "memory", MANY)
        first.append(pair.sync(created=MANY, watch=True))
        nothing.append(pair.sync(watch=True))
        floors.append(measure.run(floor, watch=True))
    return [
        Line(f"memory, first sync of {MANY:,} records", peak(first), f"floor: {peak(floors)}"),
        Line(f"memory, nothing to do, {MANY:,} records a side", peak(nothing)),
    ]


def start(work: Workplace, rounds: int) -> list[Line]:
    """How long a person waits for a command that does nothing."""
    runs = measure.interleaved(
        {
            "bare": partial(measure.run, work.python("-c", "pass")),
            "smtd --help": partial(measure.run, work.smtd("--help")),
            "smtd sync --help": partial(measure.run, work.smtd("sync", "--help")),
        },
        rounds,
    )
    bare = runs.pop("bare")
    return [
        Line(
            f"`{name}`",
            f"{seconds(found)}, {measure.ratio(found, bare):.1f} times",
            f"`python -c pass`: {seconds(bare)}",
        )
        for name, found in runs.items()
    ]


ROWS = {
    "sumatra": Row(beside_sumatra.first_sync, 2),
    "server": Row(beside_sumatra.requests, 1),
    "put-rate": Row(put_rate.to_a_server, 1),
    "first-sync": Row(first_sync.first_sync, 5),
    "idle": Row(idle, 3),
    "one-change": Row(one_change.of_a_shelf, 3),
    "memory": Row(memory, 2),
    "peers": Row(peers.beside, 3),
    "growth": Row(growth.growth, 1),
    "million": Row(growth.million, 1),
    "lag": Row(daemon_rows.lag, 1),
    "rest": Row(daemon_rows.at_rest, 1),
    "lag-rates": Row(daemon_rows.lag_under_load, 1),
    "hub": Row(daemon_rows.hub, 1),
    "many-pairs": Row(daemon_rows.many_pairs, 3),
    "neighbour": Row(daemon_rows.neighbour, 1),
    "status": Row(daemon_rows.status, 15),
    "database": Row(database_rows.to_and_fro, 3),
    "database-idle": Row(database_rows.idle, 1),
    "database-lag": Row(database_rows.lag, 1),
    "serve-save": Row(server_rows.save, 1),
    "serve-laptops": Row(server_rows.laptops, 1),
    "serve-writers": Row(server_rows.writers, 1),
    "pages": Row(page_rows.searched, 3),
    "first-mirror": Row(first_mirror.first, 5),
    "mirror-first": Row(mirror_rows.first, 1),
    "mirror-lag": Row(mirror_rows.lag, 1),
    "mirror-idle": Row(mirror_rows.idle, 1),
    "start": Row(start, 15),
}
