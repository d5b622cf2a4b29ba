"""What real `smt sync` takes for what smtd does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import measure
from bench.line import Line, seconds
from bench.measure import Command, Run
from bench.workplace import PROJECT, Workplace, count_records, expect
from tests.peers.stores import copy_store

FEW, THOUSAND, ON_SERVER = 300, 1_000, 100
#: How many times as long as smtd `smt sync` is to take from a shelf, by the number of records.
GOALS = {FEW: 50, THOUSAND: 300}


def first_sync(work: Workplace, rounds: int) -> list[Line]:
    """Stores of the sizes that `smt sync` can be waited for, into the store of a project and to a server."""
    return [
        *(_from_shelf(work, count, rounds) for count in GOALS),
        *(_from_database(work, count, rounds) for count in GOALS),
        *(_to_server(work, count, rounds) for count in GOALS),
    ]


def _from_shelf(work: Workplace, count: int, rounds: int) -> Line:
    """The story of the documentation: an old shelf into the store of a new project."""
    old = copy_store(work.shelf(count), work.project.smt_directory.with_name(".smt_orig") / "records.shelf")
    return _into_project(work, count, "shelf", old, rounds if count == FEW else 1, GOALS[count])


def _from_database(work: Workplace, count: int, rounds: int) -> Line:
    old = copy_store(work.database(count), work.project.directory / "old.sqlite")
    return _into_project(work, count, "SQLite", old, rounds)


def _into_project(
    work: Workplace, count: int, kind: str, old: Path, rounds: int, goal: int | None = None
) -> Line:
    project = work.project
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
    what = f"`smtd sync`, {count:,} records, {kind} → SQLite of a project"
    return _beside(what, smtd, partial(synced, smt), rounds, more=2, goal=goal)


def _to_server(work: Workplace, count: int, rounds: int) -> Line:
    store, address = work.database(count), work.server.address

    def smtd() -> Run:
        command = work.smtd("sync", "--state", work.empty("state"), store, address)
        return work.on_empty_server(command, count)

    smt = Command(work.sumatra.command("smt", "sync", store, address), work.empty("cwd"), _environment(work))
    what = f"`smtd sync`, {count:,} records, SQLite → Sumatra Server"
    return _beside(what, smtd, partial(work.on_empty_server, smt, count), 1)


def _beside(
    what: str,
    smtd: Callable[[], Run],
    smt: Callable[[], Run],
    rounds: int,
    *,
    more: int = 0,
    goal: int | None = None,
) -> Line:
    """Run both in turn, and smtd some times *more* where that takes no time beside the other."""
    runs = measure.interleaved({"smtd": smtd, "smt": smt}, rounds)
    runs["smtd"] += [smtd() for _ in range(more)]
    times = measure.seconds(runs["smt"]) / measure.seconds(runs["smtd"])
    return Line(
        what,
        seconds(runs["smtd"]),
        f"real `smt sync`: {seconds(runs['smt'])}, {_times(times)} as long",
        "" if goal is None else f"≥ {goal} times",
        None if goal is None else times >= goal,
    )


def _times(times: float) -> str:
    return f"{times:.0f} times" if times >= 10 else f"{times:.1f} times"


def requests(work: Workplace, rounds: int) -> list[Line]:
    """A shelf and a real Sumatra Server, by smtd and by `smt sync`, and how often each asks."""
    server, shelf, address = work.server, work.shelf(ON_SERVER), work.server.address
    asked: dict[str, list[int]] = {}

    def counted(name: str, command: Command) -> Run:
        before = len(server.requests())
        done = measure.run(command)
        asked.setdefault(name, []).append(len(server.requests()) - before)
        expect(count_records(server.database), ON_SERVER, "records on the server")
        return done

    runs: dict[str, list[Run]] = {}
    for _ in range(rounds):
        smt = work.sumatra.command("smt", "sync", shelf, address)
        commands = {
            "smtd": work.smtd("sync", "--state", work.empty("state"), shelf, address),
            "smt": Command(smt, work.empty("cwd"), _environment(work)),
        }
        for name, command in commands.items():
            server.clear()
            server.make_project(PROJECT)
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


def _environment(work: Workplace) -> dict[str, str]:
    """Return what real Sumatra runs in, so that it asks no proxy for the server."""
    return {**work.sumatra.variables(), "http_proxy": ""}
