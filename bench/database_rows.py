"""The rows of the table that measure stores in databases on servers."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from statistics import median

from bench import measure
from bench.daemon import RunningDaemon
from bench.daemon_rows import percentiles
from bench.line import Line, seconds
from bench.measure import CommandFailed, Run
from bench.workplace import PROJECT, Pair, Workplace, expect
from smtd.records.record import Key
from smtd.stores.base import Store
from tests.peers.stores import copy_store
from tests.servers.server import Database, DatabaseServer

MANY, COPIES, CHANGES = 10_000, 10, 30
ORIGINAL, ONE = "label LIKE 'sweep-_____'", "label = 'sweep-00007'"
FLOOR = Path(__file__).with_name("database_floor.py")
#: What is copied to make ten records of one: tables, their own numbers, and those of records.
OWN = {
    "record": ("db_id", "db_id"),
    "datakey": ("id", "output_from_record_id"),
    "taggeditem": ("id", "object_id"),
    "record_dependencies": ("id", "record_id"),
    "record_platforms": ("id", "record_id"),
}


def to_and_fro(work: Workplace, rounds: int) -> list[Line]:
    """A store in an SQLite file into a new database, and from there into a new file."""
    pair = Pair(work, "database", MANY)
    pair.sync(created=MANY)
    runs: dict[str, list[Run]] = {"to": [], "from": [], "floor to": [], "floor from": []}
    for _ in range(rounds):
        made, bare = work.postgresql.new(), work.postgresql.new()
        fresh, floor = (work.empty(f"database-{name}") / "new.sqlite" for name in ("fresh", "floor"))
        copy_store(work.empty_store, floor)
        runs["to"].append(_synced(work, pair.database, made.url))
        runs["floor to"].append(measure.run(work.python(FLOOR, "to", pair.database, bare.url)))
        runs["from"].append(_synced(work, made.url, fresh))
        runs["floor from"].append(measure.run(work.python(FLOOR, "from", floor, bare.url)))
        expect(bare.run("SELECT count(*) FROM django_store_record"), [(MANY,)], "records of the floor")
    return [
        Line(
            f"`smtd sync`, {MANY:,} records, {name}",
            f"{seconds(runs[way])}, {measure.ratio(runs[way], runs[f'floor {way}']):.1f} times the floor",
            f"floor, the same rows {how}: {seconds(runs[f'floor {way}'])}",
        )
        for way, name, how in (
            ("to", "SQLite → new PostgreSQL", "by COPY"),
            ("from", "PostgreSQL → new SQLite", "by executemany"),
        )
    ]


def _synced(work: Workplace, left: str | Path, right: str | Path) -> Run:
    done = measure.run(work.smtd("sync", "--json", "--state", work.empty("state"), left, right))
    (report,) = json.loads(done.output)["pairs"]
    expect(report["right"]["created"], MANY, "records created")
    return done


def idle(work: Workplace, rounds: int) -> list[Line]:
    """What a look at a large store costs, in the process that has looked before."""
    lines = []
    pair = Pair(work, "database-idle", MANY)
    pair.sync(created=MANY)
    for server in (work.postgresql, work.mariadb):
        database = server.new()
        _synced(work, pair.database, database.url)
        _grow(database)
        lines += asyncio.run(_looks(server, database, rounds))
    return lines


def _grow(database: Database) -> None:
    """Make ten records of each, by the server itself."""
    for table, (number, record) in OWN.items():
        name = f"django_store_{table}"
        ((most,),) = database.run(f"SELECT max({number}) FROM {name}")
        ((records,),) = database.run(
            "SELECT max(db_id) FROM django_store_record WHERE label LIKE 'sweep-_____'"
        )
        apart = (number, record, "label")
        columns = [column for column in _columns(database, name) if column not in apart]
        quoted = ", ".join(f'"{column}"' for column in columns)
        labels = table == "record"
        for copy in range(1, COPIES):
            own = f"{number} + {copy * most}"
            owner = "" if labels else f", {record} + {copy * records}"
            label = f", concat(label, '-{copy}')" if labels else ""
            into = f"{number}{'' if labels else f', {record}'}{', label' if labels else ''}"
            database.run(
                f"INSERT INTO {name} ({into}, {quoted}) SELECT {own}{owner}{label}, {quoted} FROM {name}"
                f" WHERE {number} <= {most}"
            )


def _columns(database: Database, table: str) -> list[str]:
    asked = "SELECT DISTINCT column_name, ordinal_position FROM information_schema.columns"
    return [name for name, _ in database.run(f"{asked} WHERE table_name = '{table}' ORDER BY 2")]


async def _looks(server: DatabaseServer, database: Database, rounds: int) -> list[Line]:
    from smtd.stores.discovery import find  # here: see bench/edits.py
    from smtd.stores.registry import open_store

    what = f"{server.scheme}, {MANY * COPIES:,} records"
    async with open_store(find(database.url)) as store:
        first, _ = await _timed(store.scan())
        token = await store.token()
        expect(token is not None, True, "token")
        assert token is not None
        quiet = [(await _timed(store.unchanged_since(token)))[0] for _ in range(5 * rounds)]
        elsewhere, changed = [], []
        for _ in range(3 * rounds):
            server.new(empty=True).run("CREATE TABLE notes (text text)")
            elsewhere.append((await _timed(store.unchanged_since(token)))[0])
        for number in range(3 * rounds):
            database.run(
                f"UPDATE django_store_record SET outcome = 'round {number}' WHERE label = 'sweep-00007'"
            )
            changed.append((await _timed(_seen(store)))[0])
    return [
        Line(
            f"an idle look, {what}",
            f"{median(quiet) * 1000:.1f} ms; {median(elsewhere) * 1000:.0f} ms if others wrote elsewhere",
            f"the first look: {first:.1f} s",
            "≤ 1 s, and no record moved",
            max(*quiet, *elsewhere) <= 1,
        ),
        Line(f"a look after one change, {what}", f"{median(changed) * 1000:.0f} ms"),
    ]


async def _seen(store: Store) -> None:
    await store.scan()
    await store.read([Key(PROJECT, "sweep-00007")])


async def _timed(work: object) -> tuple[float, object]:
    began = time.perf_counter()
    found = await work  # type: ignore[misc]
    return time.perf_counter() - began, found


def lag(work: Workplace, rounds: int) -> list[Line]:
    """From a commit in PostgreSQL to the commit in a file, with a daemon between them."""

    pair = Pair(work, "database-lag", 1000)
    pair.sync(created=1000)
    lines: list[Line] = []
    for name, more in (("asked every 2 s", 'poll_interval = "2s"'), ("with notify", "notify = true")):
        database = work.postgresql.new()
        directory = work.empty(f"database-lag-{len(lines)}")
        file = copy_store(pair.database, directory / "mirror.sqlite")
        text = f'[stores.lab]\nlocation = "{database.url}"\n{more}\n[stores.own]\nlocation = "{file}"\n'
        config = directory / "config.toml"
        config.touch(mode=0o600)
        config.write_text(text, "utf-8")
        measure.run(work.smtd("-c", config, "check", "--install-notify"))
        daemon = RunningDaemon(work, directory, text + '[pairs.pair]\nleft = "lab"\nright = "own"\n')
        try:
            daemon.ctl("sync", "now")
            p50, p99 = percentiles(sorted(map(partial(_lag, database, file), range(CHANGES * rounds))))
        finally:
            daemon.stop()
        lines.append(
            Line(
                f"daemon: {CHANGES * rounds} changes, PostgreSQL {name} → SQLite, 1,000 records",
                f"p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms",
                "the settle time is 200 ms",
            )
        )
    return lines


def _lag(database: Database, file: Path, number: int) -> float:
    outcome = f"change {number}"
    database.run(f"UPDATE django_store_record SET outcome = ? WHERE {ONE}", outcome)
    began = time.monotonic()
    asked = f"SELECT outcome FROM django_store_record WHERE {ONE}"
    while time.monotonic() - began < 60:
        with closing(sqlite3.connect(file, timeout=10)) as db:
            if db.execute(asked).fetchone() == (outcome,):
                return time.monotonic() - began
        time.sleep(0.01)
    raise CommandFailed(f"{outcome} never arrived")
