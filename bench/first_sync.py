"""Records from a shelf into a store that is not there yet, beside what that costs at the least.

One floor is bare: it loads the pickle and inserts the rows. The other is safe: it keeps what smtd
promises, for the records of this benchmark only.
"""

from __future__ import annotations

import json
from dataclasses import replace

from bench import measure
from bench.line import Line, seconds
from bench.measure import Run
from bench.workplace import Pair, Workplace, count_records, differing_tables, expect

#: The sizes, and what is wanted at the last of them: times the bare floor as whole processes, and times the
#: safe one inside one process.
SIZES = (1_000, 10_000)
WHOLE, INSIDE = 3, 1.5


def first_sync(work: Workplace, rounds: int) -> list[Line]:
    """Measure every size."""
    return [line for count in SIZES for line in _first_sync(work, count, rounds)]


def _first_sync(work: Workplace, count: int, rounds: int) -> list[Line]:
    runs = _measured(work, count, rounds)
    whole = measure.ratio(runs["smtd"], runs["bare"])
    inside = [replace(run, seconds=_first(run.output)) for run in runs["inside"]]
    bare, safe = (
        [replace(run, seconds=float(run.output)) for run in runs[name]] for name in ("bare", "safe")
    )
    times, times_bare = measure.ratio(inside, safe), measure.ratio(inside, bare)
    is_goal = count == SIZES[-1]
    return [
        Line(
            f"`smtd sync`, {count:,} records, shelf → new SQLite",
            f"{seconds(runs['smtd'])}, {whole:.1f} times the bare floor",
            f"bare floor, the same rows: {seconds(runs['bare'])}",
            f"≤ {WHOLE} times" if is_goal else "",
            whole <= WHOLE if is_goal else None,
        ),
        Line(
            "… the same inside one process, beside a floor that keeps what smtd promises, too",
            f"{seconds(inside)}, {times:.1f} times the safe floor, {times_bare:.1f} times the bare one",
            f"safe floor: {seconds(safe)}; bare floor: {seconds(bare)}",
            f"≤ {INSIDE} times the safe floor" if is_goal else "",
            times <= INSIDE if is_goal else None,
        ),
    ]


def _first(output: str) -> float:
    """Return the seconds of the first sync that `bench.shelf_inside` prints the steps of."""
    (milliseconds,) = json.loads(output)["first"]["ms"]
    return float(milliseconds) / 1000


def _measured(work: Workplace, count: int, rounds: int) -> dict[str, list[Run]]:
    last: list[Pair] = []
    shelf, empty = work.shelf(count), work.empty_store

    def smtd() -> Run:
        last[:] = [Pair(work, "first-sync", count)]
        return last[0].sync(created=count)

    def inside() -> Run:
        return measure.run(work.module("bench.shelf_inside", shelf, work.empty("inside")))

    def bare() -> Run:
        return measure.run(work.module("bench.floor", shelf, empty, work.empty("bare") / "floor.sqlite"))

    def safe() -> Run:
        home = work.empty("safe")
        files = (home / "floor.sqlite", home / "journal.sqlite")
        return measure.run(work.module("bench.safe_floor", shelf, empty, *files))

    runs = measure.interleaved({"smtd": smtd, "inside": inside, "bare": bare, "safe": safe}, rounds)
    for floor in ("bare", "safe"):
        made = work.at(floor) / "floor.sqlite"
        expect(count_records(made), count, f"records of the {floor} floor")
        expect(differing_tables(last[0].database, made), [], f"tables that the {floor} floor has otherwise")
    return runs
