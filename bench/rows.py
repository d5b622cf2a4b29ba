"""The rows of the table: what is measured, beside what, and what the goal is.

A row is a function from a workplace and a number of rounds to lines of the table. It checks that
every command did what it was timed for.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import quantiles

from bench import measure
from bench.daemon import lags, running
from bench.measure import Command, Run
from bench.workplace import PROJECT, Pair, Workplace, count_records, differing_tables, expect
from tests.peers.server import PASSWORD, USERS
from tests.peers.stores import PeerStore, copy_store

FEW, MANY, ON_SERVER = 300, 10_000, 100
#: Of the daemon: records of a pair, changes of which the lag is taken, pairs at rest, and seconds of it.
RECORDS, CHANGES, PAIRS, REST = 1000, 200, 20, 60
FLOOR = Path(__file__).with_name("floor.py")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table; *met* is None where no goal is set."""

    what: str
    result: str
    beside: str = ""
    goal: str = ""
    met: bool | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A measurement that can be asked for, and how often it is repeated unless told otherwise."""

    measure: Callable[[Workplace, int], list[Line]]
    rounds: int


def beside_sumatra(work: Workplace, rounds: int) -> list[Line]:
    """The story of the documentation: an old shelf into the store of a new project."""
    project = work.project
    old = copy_store(work.shelf(FEW), project.smt_directory.with_name(".smt_orig") / "records.shelf")
    argument = old.relative_to(project.directory)

    def synced(command: Command) -> Run:
        copy_store(work.empty_store, project.store_path)
        done = measure.run(command)
        expect(count_records(project.store_path), FEW, "records copied")
        return done

    def smtd() -> Run:
        state = work.empty("state")
        return synced(work.smtd("sync", "--state", state, argument, cwd=project.directory))

    env = {**work.sumatra.variables(), **project.variables()}
    smt = Command(work.sumatra.command("smt", "sync", argument), project.directory, env)
    expect(count_records(work.empty_store), 0, "records before")
    runs = measure.interleaved({"smtd": smtd, "smt": partial(synced, smt)}, rounds)
    runs["smtd"] += [smtd(), smtd()]  # which take no time, compared with the other
    times = measure.seconds(runs["smt"]) / measure.seconds(runs["smtd"])
    return [
        Line(
            f"`smtd sync`, {FEW} records, shelf → SQLite of a project",
            _seconds(runs["smtd"]),
            f"real `smt sync`: {_seconds(runs['smt'])}, {times:.0f} times as long",
            "≥ 50 times",
            times >= 50,
        )
    ]


def to_a_server(work: Workplace, rounds: int) -> list[Line]:
    """A shelf and a real Sumatra Server, by smtd and by `smt sync`, and how often each asks."""
    server, shelf = work.server, work.shelf(ON_SERVER)
    address = server.url.replace("://", f"://{USERS[0]}:{PASSWORD}@")
    asked: dict[str, list[int]] = {}

    def counted(name: str, command: Command) -> Run:
        before = len(server.requests())
        done = measure.run(command)
        asked.setdefault(name, []).append(len(server.requests()) - before)
        expect(count_records(server.database), ON_SERVER, "records on the server")
        return done

    runs: dict[str, list[Run]] = {}
    for _ in range(rounds):
        state = work.empty("state")
        env = {**work.sumatra.variables(), "http_proxy": ""}
        commands = {
            "smtd": work.smtd("sync", "--state", state, shelf, address),
            "smt": Command(work.sumatra.command("smt", "sync", shelf, address), work.empty("cwd"), env),
        }
        for name, command in commands.items():
            server.clear()
            server.make_project(PROJECT)  # `smt sync` wants it to be there
            for when in ("first", "again"):
                runs.setdefault(f"{name} {when}", []).append(counted(f"{name} {when}", command))
    return [
        Line(
            f"`smtd sync`, {ON_SERVER} records, shelf → Sumatra Server, {what}",
            f"{_seconds(runs[f'smtd {when}'])}, {max(asked[f'smtd {when}'])} requests",
            f"real `smt sync`: {_seconds(runs[f'smt {when}'])}, {max(asked[f'smt {when}'])} requests",
            f"≤ {limit} requests",
            max(asked[f"smtd {when}"]) <= limit,
        )
        for when, what, limit in (
            ("first", "the first time", 2 * ON_SERVER + 3),
            ("again", "nothing to do", 3),
        )
    ]


def first_sync(work: Workplace, rounds: int) -> list[Line]:
    """Many records from a shelf into a store that is not there yet, beside the floor."""
    floor = work.empty("floor") / "floor.sqlite"
    last: list[Pair] = []

    def smtd() -> Run:
        last[:] = [Pair(work, "first-sync", MANY)]
        return last[0].sync(created=MANY)

    bare = work.python(FLOOR, work.shelf(MANY), work.empty_store, floor)
    runs = measure.interleaved({"smtd": smtd, "floor": partial(measure.run, bare)}, rounds)
    expect(count_records(floor), MANY, "records of the floor")
    expect(differing_tables(last[0].database, floor), [], "tables that the floor has otherwise")
    times = measure.ratio(runs["smtd"], runs["floor"])
    return [
        Line(
            f"`smtd sync`, {MANY:,} records, shelf → new SQLite",
            f"{_seconds(runs['smtd'])}, {times:.1f} times the floor",
            f"floor, the same rows: {_seconds(runs['floor'])}",
            "≤ 3 times",
            times <= 3,
        )
    ]


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
            _seconds(runs),
            f"`python -c pass`: {_seconds(bare)}",
            "≤ 0.5 s",
            measure.seconds(runs) <= 0.5,
        )
        for when, runs in (("right after the first sync", second), ("later", later))
    ]


def one_change(work: Workplace, rounds: int) -> list[Line]:
    """One record of many was commented by real Sumatra, on either side."""
    pair = Pair(work, "one-change", MANY)
    label = f"{PROJECT}-{MANY // 2:05d}"
    database = PeerStore(work.sumatra, "django", pair.database)
    # Sumatra takes long to edit so large a shelf: it is asked once, and the two states alternate.
    edited = copy_store(pair.shelf, work.empty("edited") / "records.shelf")
    PeerStore(work.sumatra, "shelf", edited).edit(PROJECT, label, outcome="converged")
    states = itertools.cycle((edited, work.shelf(MANY)))
    pair.sync(created=MANY)

    def in_shelf() -> Run:
        copy_store(next(states), pair.shelf)
        return pair.sync(right=1)

    def in_database(number: int) -> Run:
        database.edit(PROJECT, label, outcome=f"converged after {number}")
        return pair.sync(left=1)

    to_database = [in_shelf() for _ in range(rounds)]
    to_shelf = [in_database(number) for number in range(rounds)]
    return [
        Line(f"one of {MANY:,} records changed in the shelf", _seconds(to_database)),
        Line(f"one of {MANY:,} records changed in the database", _seconds(to_shelf)),
    ]


def memory(work: Workplace, rounds: int) -> list[Line]:
    """The most memory that a first sync and one with nothing to do have had."""
    first, nothing, floors = [], [], []
    floor = work.python(FLOOR, work.shelf(MANY), work.empty_store, work.empty("floor") / "floor.sqlite")
    for _ in range(rounds):
        pair = Pair(work, "memory", MANY)
        first.append(pair.sync(created=MANY, watch=True))
        nothing.append(pair.sync(watch=True))
        floors.append(measure.run(floor, watch=True))
    return [
        Line(f"memory, first sync of {MANY:,} records", _peak(first), f"floor: {_peak(floors)}"),
        Line(f"memory, nothing to do, {MANY:,} records a side", _peak(nothing)),
    ]


def lag(work: Workplace, rounds: int) -> list[Line]:
    """From a commit in one store to the commit in the other, with a daemon between them."""
    pair = Pair(work, "lag-stores", RECORDS)
    pair.sync(created=RECORDS)
    left = copy_store(pair.database, pair.database.with_name("left.sqlite"))
    with running(work, "lag", [(left, pair.database)]):
        seconds = sorted(lags(left, pair.database, CHANGES * rounds))
    p50, p99 = quantiles(seconds, n=100)[49], quantiles(seconds, n=100)[98]
    return [
        Line(
            f"daemon: {len(seconds)} changes, one after the other, SQLite → SQLite, {RECORDS:,} records",
            f"p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms",
            "the settle time is 200 ms",
            "p50 ≤ 0.3 s, p99 ≤ 1 s",
            p50 <= 0.3 and p99 <= 1,
        )
    ]


def at_rest(work: Workplace, rounds: int) -> list[Line]:
    """What a daemon with many pairs costs while nothing happens."""
    stores = []
    for number in range(PAIRS):
        pair = Pair(work, f"rest-{number}", RECORDS)
        pair.sync(created=RECORDS)
        stores.append((pair.shelf, pair.database))
    with running(work, "rest", stores) as daemon:
        time.sleep(5)
        before, began = daemon.cpu_seconds(), time.monotonic()
        time.sleep(REST)
        share = (daemon.cpu_seconds() - before) / (time.monotonic() - began)
        memory = daemon.memory()
    return [
        Line(
            f"daemon at rest for {REST} s, {PAIRS} pairs of {RECORDS:,} records",
            f"{share:.2%} of one core, {memory / 2**20:.0f} MiB",
            "",
            "≤ 0.5 % of one core",
            share <= 0.005,
        )
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
            f"{_seconds(found)}, {measure.ratio(found, bare):.1f} times",
            f"`python -c pass`: {_seconds(bare)}",
        )
        for name, found in runs.items()
    ]


def _seconds(runs: Sequence[Run]) -> str:
    """Write the median and, if there are several runs, the fastest and the slowest."""
    times = sorted(run.seconds for run in runs)
    middle = measure.seconds(runs)
    scale, digits, unit = (1, 2, "s") if middle >= 1 else (1000, 0, "ms")
    spread = f" ({times[0] * scale:.{digits}f} to {times[-1] * scale:.{digits}f})" if len(times) > 1 else ""
    return f"{middle * scale:.{digits}f} {unit}{spread}"


def _peak(runs: Sequence[Run]) -> str:
    largest, together = (
        max(peaks) / 2**20 for peaks in zip(*((r.largest, r.together) for r in runs), strict=True)
    )
    return f"{largest:.0f} MiB in the largest process, {together:.0f} MiB together"


ROWS = {
    "sumatra": Row(beside_sumatra, 2),
    "server": Row(to_a_server, 1),
    "first-sync": Row(first_sync, 5),
    "idle": Row(idle, 3),
    "one-change": Row(one_change, 3),
    "memory": Row(memory, 2),
    "lag": Row(lag, 1),
    "rest": Row(at_rest, 1),
    "start": Row(start, 15),
}
