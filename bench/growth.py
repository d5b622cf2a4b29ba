"""The rows of the table that say how costs grow with the number of records, inside one process."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

from bench import measure
from bench.curve import Curve, svg
from bench.line import Line
from bench.measure import Command, seconds
from bench.workplace import Workplace
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
MIB = 2**20


def growth(work: Workplace, rounds: int) -> list[Line]:
    """Every kind of cycle at each size, beside copying all rows; the largest size has its goals."""
    steps: dict[int, dict[str, Any]] = {}
    floors: dict[int, float] = {}
    for size in SIZES:
        steps[size], floors[size] = inside(work, size)
    took = {name: {size: _took(steps[size][name]) for size in SIZES} for name in NAMES}
    most, largest = SIZES[-1], steps[SIZES[-1]]
    times = took["first"][10_000] / floors[10_000]
    rest, peak = largest["nothing"]["resident"] / MIB, largest["first"]["peak"] / MIB
    flat = took["nothing"][most] / took["nothing"][SIZES[0]]
    curves = {NAMES[name]: curve for name, curve in took.items()} | {"floor: copy all rows": floors}
    return [
        Line(
            "inside one process, SQLite → new SQLite, first sync",
            f"{_all(took['first'], _seconds)}; at 10,000 {times:.1f} times the floor",
            f"floor, all rows copied: {_all(floors, _seconds)}",
            "≤ 1.5 times at 10,000",
            times <= 1.5,
            curves,
        ),
        Line(
            "inside one process, SQLite ↔ SQLite, nothing to do",
            _all(took["nothing"], _milliseconds),
            _bytes(largest["nothing"]),
            "< 5 ms, flat",
            took["nothing"][most] < 5 and flat < 2,
        ),
        Line(
            "… one new record",
            _all(took["new"], _milliseconds),
            _bytes(largest["new"]),
            "< 50 ms at 100,000",
            took["new"][most] < 50,
        ),
        Line(
            "… one edit of an old record",
            _all(took["edit"], _milliseconds),
            _bytes(largest["edit"]),
            "< 0.5 s at 100,000",
            took["edit"][most] < 500,
        ),
        Line(
            "… memory of a pair of 100,000 records",
            f"{rest:.0f} MiB at rest, {peak:.0f} MiB at most in the first sync",
            "",
            "150 MB, 300 MB",
            rest < 150 and peak < 300,
        ),
    ]


def inside(work: Workplace, size: int) -> tuple[dict[str, Any], float]:
    """Return the steps of `bench.inside` at *size*, and the milliseconds of the floor."""
    home = work.empty(f"growth-{size}")
    env = work.smtd().env
    done = measure.run(Command([sys.executable, "-m", "bench.inside", str(size), home], ROOT, env))
    floor = work.python(FLOOR, home / "left.sqlite", work.empty_store, home / "floor.sqlite")
    bare = seconds([measure.run(work.python("-c", "import sqlite3, shutil")) for _ in range(3)])
    steps: dict[str, Any] = json.loads(done.output)
    return steps, (seconds([measure.run(floor) for _ in range(3)]) - bare) * 1000


def draw(lines: Mapping[str, Curve]) -> None:
    """Write the picture."""
    PICTURE.write_text(svg("What a cycle costs, SQLite ↔ SQLite, in one process", "ms", lines), "utf-8")


def _took(step: Mapping[str, Any]) -> float:
    return float(median(step["ms"]))


def _all(curve: Curve, written: Callable[[float], str]) -> str:
    return ", ".join(f"{written(value)} at {size:,}" for size, value in curve.items())


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.2f} s"


def _milliseconds(milliseconds: float) -> str:
    return f"{milliseconds:.1f} ms" if milliseconds < 100 else f"{milliseconds:,.0f} ms"


def _bytes(step: Mapping[str, Any]) -> str:
    return f"at 100,000: {step['read'] / 1e6:,.1f} MB read, {step['wrote'] / 1e6:,.2f} MB written"
