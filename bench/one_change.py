"""One record that others changed, where one side is a shelf: all of it is one pickle.

As a whole process, after real Sumatra has changed it; and inside one process, as in the daemon, at three
sizes, beside real Sumatra's own change of the same shelf.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from statistics import median
from typing import Any

from bench import measure
from bench.growth import MB, moved
from bench.line import Line, by_size, in_seconds, seconds
from bench.measure import Run
from bench.workplace import PROJECT, Pair, Workplace
from tests.peers.stores import PeerStore, copy_store

COUNT, SIZES = 10_000, (1_000, 10_000, 100_000)


def of_a_shelf(work: Workplace, rounds: int) -> list[Line]:
    """Measure both."""
    return [*_whole(work, rounds), *_inside(work)]


def _whole(work: Workplace, rounds: int) -> list[Line]:
    """Real Sumatra has commented one record, on either side."""
    pair = Pair(work, "one-change", COUNT)
    database = PeerStore(work.sumatra, "django", pair.database)
    shelf = PeerStore(work.sumatra, "shelf", pair.shelf)
    pair.sync(created=COUNT)

    def in_shelf(number: int) -> Run:
        shelf.edit(PROJECT, _label(COUNT), outcome=f"converged, {number}")
        return pair.sync(right=1)

    def in_database(number: int) -> Run:
        database.edit(PROJECT, _label(COUNT), outcome=f"converged after {number}")
        return pair.sync(left=1)

    to_database = [in_shelf(number) for number in range(rounds)]
    to_shelf = [in_database(number) for number in range(rounds)]
    return [
        Line(f"one of {COUNT:,} records changed in the shelf, as a whole process", seconds(to_database)),
        Line(f"one of {COUNT:,} records changed in the database, as a whole process", seconds(to_shelf)),
    ]


def _inside(work: Workplace) -> list[Line]:
    steps: dict[int, dict[str, Any]] = {}
    by_sumatra: dict[int, float] = {}
    for size in SIZES:
        home = work.empty("shelf-inside")
        shelf = copy_store(work.shelf(size), home / "records.shelf")
        by_sumatra[size] = _edited_by_sumatra(PeerStore(work.sumatra, "shelf", shelf), size)
        done = measure.run(work.module("bench.shelf_inside", shelf, home, "changes"))
        steps[size] = json.loads(done.output)
    most = steps[SIZES[-1]]
    shelf_bytes = most["shelf"]["bytes"]
    in_shelf, in_database = most["edit of the shelf"], most["edit of the database"]
    sizes = ", ".join(f"{step['shelf']['bytes'] / MB:,.2f}" for step in steps.values())
    return [
        Line(
            "… inside one process, a change in the shelf",
            _took(steps, "edit of the shelf"),
            f"real Sumatra, for the change itself: {by_size(by_sumatra, in_seconds)}",
        ),
        Line(
            "… what that reads and writes",
            moved(steps, "edit of the shelf"),
            f"MB of the shelf: {sizes}",
            "one read of the shelf",
            in_shelf["read"] < 1.5 * shelf_bytes and in_shelf["wrote"] < 0.01 * shelf_bytes,
        ),
        Line("… inside one process, a change in the database", _took(steps, "edit of the database")),
        Line(
            "… what that reads and writes",
            moved(steps, "edit of the database"),
            f"MB of the shelf: {sizes}",
            "one rewrite of the shelf",
            in_database["wrote"] < 1.1 * shelf_bytes,
        ),
        Line(
            "… inside one process, another one in the database, and another",
            _took(steps, "edit of the database alone"),
        ),
        Line(
            "… memory of a shelf and a database, in the process that keeps them",
            f"MB at rest: {_memory(steps, 'nothing', 'resident')};"
            f" at most in the first sync: {_memory(steps, 'first', 'peak')}",
            f"MB of the shelf: {sizes}",
        ),
    ]


def _label(count: int) -> str:
    return f"{PROJECT}-{count // 2:05d}"


def _edited_by_sumatra(shelf: PeerStore, size: int) -> float:
    """Return the milliseconds that real Sumatra takes to comment one record, with its start."""
    began = time.perf_counter()
    shelf.edit(PROJECT, _label(size), outcome="converged, by Sumatra")
    return (time.perf_counter() - began) * 1000


def _took(steps: Mapping[int, Mapping[str, Any]], name: str) -> str:
    return by_size({size: float(median(step[name]["ms"])) for size, step in steps.items()}, in_seconds)


def _memory(steps: Mapping[int, Mapping[str, Any]], name: str, what: str) -> str:
    return ", ".join(f"{step[name][what] / MB:.0f}" for step in steps.values())
