"""The rows of the table: what is measured, beside what, and what the goal is.

A row is a function from a workplace and a number of rounds to lines of the table. It checks that
every command did what it was timed for.
"""

from __future__ import annotations

from functools import partial

from bench import daemon_rows, database_rows, first_sync, growth, measure, peers, put_rate
from bench.line import Line, Row, peak, seconds
from bench.measure import Command, Run
from bench.workplace import PROJECT, Pair, Workplace, count_records, expect
from tests.peers.server import PASSWORD, USERS
from tests.peers.stores import PeerStore, copy_store

FEW, THOUSAND, MANY, ON_SERVER = 300, 1_000, 10_000, 100


def beside_sumatra(work: Workplace, rounds: int) -> list[Line]:
    """The story of the documentation: an old shelf into the store of a new project."""
    return [_beside_sumatra(work, FEW, rounds, 50), _beside_sumatra(work, THOUSAND, 1, 300)]


def _beside_sumatra(work: Workplace, count: int, rounds: int, goal: int) -> Line:
    project = work.project
    old = copy_store(work.shelf(count), project.smt_directory.with_name(".smt_orig") / "records.shelf")
    argument = old.relative_to(project.directory)

    def synced(command: Command) -> Run:
        copy_store(work.empty_store, project.store_path)
        done = measure.run(command)
        expect(count_records(project.store_path), count, "records copied")
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
    return Line(
        f"`smtd sync`, {count:,} records, shelf → SQLite of a project",
        seconds(runs["smtd"]),
        f"real `smt sync`: {seconds(runs['smt'])}, {times:.0f} times as long",
        f"≥ {goal} times",
        times >= goal,
    )


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
            f"{seconds(runs[f'smtd {when}'])}, {max(asked[f'smtd {when}'])} requests",
            f"real `smt sync`: {seconds(runs[f'smt {when}'])}, {max(asked[f'smt {when}'])} requests",
            f"≤ {limit} requests",
            max(asked[f"smtd {when}"]) <= limit,
        )
        for when, what, limit in (
            ("first", "the first time", 2 * ON_SERVER + 3),
            ("again", "nothing to do", 3),
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
            seconds(runs),
            f"`python -c pass`: {seconds(bare)}",
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
    shelf = PeerStore(work.sumatra, "shelf", pair.shelf)
    pair.sync(created=MANY)

    def in_shelf(number: int) -> Run:
        shelf.edit(PROJECT, label, outcome=f"converged, {number}")
        return pair.sync(right=1)

    def in_database(number: int) -> Run:
        database.edit(PROJECT, label, outcome=f"converged after {number}")
        return pair.sync(left=1)

    to_database = [in_shelf(number) for number in range(rounds)]
    to_shelf = [in_database(number) for number in range(rounds)]
    return [
        Line(f"one of {MANY:,} records changed in the shelf", seconds(to_database)),
        Line(f"one of {MANY:,} records changed in the database", seconds(to_shelf)),
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
    "sumatra": Row(beside_sumatra, 2),
    "server": Row(to_a_server, 1),
    "put-rate": Row(put_rate.to_a_server, 1),
    "first-sync": Row(first_sync.first_sync, 5),
    "idle": Row(idle, 3),
    "one-change": Row(one_change, 3),
    "memory": Row(memory, 2),
    "peers": Row(peers.beside, 3),
    "growth": Row(growth.growth, 1),
    "million": Row(growth.million, 1),
    "lag": Row(daemon_rows.lag, 1),
    "rest": Row(daemon_rows.at_rest, 1),
    "lag-rates": Row(daemon_rows.lag_under_load, 1),
    "many-pairs": Row(daemon_rows.many_pairs, 3),
    "neighbour": Row(daemon_rows.neighbour, 1),
    "status": Row(daemon_rows.status, 15),
    "database": Row(database_rows.to_and_fro, 3),
    "database-idle": Row(database_rows.idle, 1),
    "database-lag": Row(database_rows.lag, 1),
    "start": Row(start, 15),
}
