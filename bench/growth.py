"""The rows of the table that say how costs grow with the number of records, inside one process."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from statistics import median
from typing import Any

from bench import measure
from bench.curve import Curve, svg
from bench.edits import EDIT, MANY
from bench.line import Line, by_size, in_milliseconds, in_seconds
from bench.measure import seconds
from bench.workplace import SERVICE, Workplace, expect
from docs.measured import ROOT

SIZES = (1_000, 10_000, 100_000)
FLOOR = ROOT / "bench" / "copy_floor.py"
#: The picture that shows the curves of the last measurement that was written down.
PICTURE = ROOT / "docs" / "growth.svg"
#: What each step is called in the table and in the picture.
NAMES = {
    "first": "first sync",
    "nothing": "nothing to do",
    "new": "one new record",
    "edit": "one edit of an old record",
}
MB, MIDDLE, MILLION = 1e6, 10_000, 1_000_000


def growth(work: Workplace, rounds: int) -> list[Line]:
    """Every kind of cycle at each size, beside copying all rows; the largest size has its goals."""
    steps: dict[int, dict[str, Any]] = {}
    floors: dict[int, float] = {}
    for size in SIZES:
        steps[size], floors[size] = inside(work, size)
    took = {name: {size: _took(steps[size][name]) for size in SIZES} for name in NAMES}
    most, largest = SIZES[-1], steps[SIZES[-1]]
    first, safe = took["first"][MIDDLE], _safe_floor(work, MIDDLE)
    rest, peak = largest["nothing"]["resident"] / MB, largest["first"]["peak"] / MB
    flat = took["nothing"][most] / took["nothing"][SIZES[0]]
    curves = {NAMES[name]: curve for name, curve in took.items()} | {"floor: copy all rows": floors}
    return [
        Line(
            "inside one process, SQLite → new SQLite, first sync",
            f"{by_size(took['first'], in_seconds)}; at {MIDDLE:,} {first / safe:.1f} times the safe floor,"
            f" and {first / floors[MIDDLE]:.1f} times copying all rows",
            f"safe floor: {in_seconds(safe)} at {MIDDLE:,}; all rows copied: {by_size(floors, in_seconds)}",
            "",
            None,
            curves,
        ),
        Line(
            "inside one process, SQLite ↔ SQLite, nothing to do",
            by_size(took["nothing"], in_milliseconds),
            moved(steps, "nothing"),
            "< 5 ms, flat",
            took["nothing"][most] < 5 and flat < 2,
        ),
        Line(
            "… one new record, until it is over there",
            by_size({size: float(median(steps[size]["new"]["arrived"])) for size in SIZES}, in_milliseconds),
            f"the next cycle, which compares all old ones in a large store:"
            f" {by_size({size: _took(steps[size]['compared']) for size in SIZES}, in_milliseconds)};"
            f" {moved(steps, 'new')}",
            "< 50 ms at 100,000",
            median(largest["new"]["arrived"]) < 50,
        ),
        Line(
            "… one edit of an old record",
            by_size(took["edit"], in_milliseconds),
            moved(steps, "edit"),
            "< 0.5 s at 100,000",
            took["edit"][most] < 500,
        ),
        Line(
            "… memory of a pair of 100,000 records",
            f"{rest:.0f} MB at rest, {peak:.0f} MB at most in the first sync",
            f"after {MANY} more cycles: {largest['many']['resident'] / MB:.0f} MB",
            "150 MB, 300 MB",
            rest < 150 and peak < 300,
        ),
        *_whole(work),
    ]


def _whole(work: Workplace) -> list[Line]:
    """What a command of its own costs, which remembers nothing, with the stores of `inside`."""
    nothing: dict[int, float] = {}
    edit: dict[int, float] = {}
    for size in SIZES:
        home = work.at(f"growth-{size}")
        stores = (home / "left.sqlite", home / "right.sqlite")
        command = work.smtd("sync", "--json", "--state", home / "journal", *stores)
        measure.run(command)
        nothing[size] = seconds([measure.run(command) for _ in range(3)]) * 1000
        with closing(sqlite3.connect(stores[0])) as db, db:
            db.execute(EDIT, ("edited once more",))
        done = measure.run(command)
        (report,) = json.loads(done.output)["pairs"]
        expect(report["right"]["updated"], 1, "records updated")
        edit[size] = done.seconds * 1000
    return [
        Line(
            "`smtd sync`, SQLite ↔ SQLite, nothing to do, as a whole process",
            by_size(nothing, in_milliseconds),
        ),
        Line(
            "… one edit of an old record",
            by_size(edit, in_seconds),
            "it remembers nothing, and understands all records of the side that has changed",
        ),
    ]


def million(work: Workplace, rounds: int) -> list[Line]:
    """One run over a million records."""
    step = _inside(work, MILLION, "first")["first"]
    peak = step["peak"] / MB
    return [
        Line(
            "inside one process, SQLite → new SQLite, a million records",
            f"{_took(step) / 1000:.0f} s, {peak:,.0f} MB at most",
            "",
            "≤ 1 GB",
            peak <= 1000,
        )
    ]


def inside(work: Workplace, size: int) -> tuple[dict[str, Any], float]:
    """Return the steps of `bench.inside` at *size*, and the milliseconds of the floor."""
    steps = _inside(work, size, *(["many"] if size == SIZES[-1] else []))
    home = work.at(f"growth-{size}")
    floor = work.python(FLOOR, home / "left.sqlite", work.empty_store, home / "floor.sqlite")
    bare = seconds([measure.run(work.python("-c", "import sqlite3, shutil")) for _ in range(3)])
    return steps, (seconds([measure.run(floor) for _ in range(3)]) - bare) * 1000


def _safe_floor(work: Workplace, size: int) -> float:
    """Return the milliseconds of copying the store of `inside` with all that smtd promises."""
    took = []
    for _ in range(3):
        home, left = work.empty("safe-floor"), work.at(f"growth-{size}") / "left.sqlite"
        files = (home / "floor.sqlite", home / "journal.sqlite")
        done = measure.run(work.module("bench.safe_floor", left, work.empty_store, *files))
        took.append(float(done.output) * 1000)
    return median(took)


def _inside(work: Workplace, size: int, *options: str) -> dict[str, Any]:
    command = work.module("bench.inside", str(size), work.empty(f"growth-{size}"), *options)
    done = measure.run(replace(command, env={**command.env, **SERVICE}))
    steps: dict[str, Any] = json.loads(done.output)
    return steps


def draw(lines: Mapping[str, Curve]) -> None:
    """Write the picture."""
    PICTURE.write_text(svg("What a cycle costs, SQLite ↔ SQLite, in one process", "ms", lines), "utf-8")


def moved(steps: Mapping[int, Mapping[str, Any]], name: str) -> str:
    """Write what the step *name* has read and written at each size."""
    read, wrote = (
        ", ".join(f"{step[name][what] / MB:,.2f}" for step in steps.values()) for what in ("read", "wrote")
    )
    return f"MB read: {read}; written: {wrote}"


def _took(step: Mapping[str, Any]) -> float:
    return float(median(step["ms"]))
