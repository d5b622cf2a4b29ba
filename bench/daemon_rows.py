"""The rows of the table that measure a running daemon."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from statistics import quantiles

from bench import measure
from bench.daemon import lags, lags_at, lags_to_all, running, save_times
from bench.line import Line, seconds, spread
from bench.workplace import Pair, Workplace, count_records, expect
from tests.peers.stores import copy_store

#: Records of a pair, changes of which the lag is taken, pairs at rest and seconds of it, saves by Sumatra.
RECORDS, CHANGES, PAIRS, REST, SAVES = 1000, 200, 20, 60, 200
#: Changes of a store that all pairs share.
HUB_CHANGES = 40
#: Changes a second, for so many seconds; and pairs of a daemon that starts.
RATES, LOADED, MANY = (1, 10, 100), 20, 50
#: Records of a pair under load: one for each change.
MOST = max(RATES) * LOADED


def lag(work: Workplace, rounds: int) -> list[Line]:
    """From a commit in one store to the commit in the other, with a daemon between them."""
    pair = Pair(work, "lag-stores", RECORDS)
    pair.sync(created=RECORDS)
    left = copy_store(pair.database, pair.database.with_name("left.sqlite"))
    with running(work, "lag", [(left, pair.database)]):
        taken = sorted(lags(left, pair.database, CHANGES * rounds))
    p50, p99 = percentiles(taken)
    return [
        Line(
            f"daemon: {len(taken)} changes, one after the other, SQLite → SQLite, {RECORDS:,} records",
            f"p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms",
            "half of the settle time is 100 ms",
            "p50 ≤ 0.3 s, p99 ≤ 1 s",
            p50 <= 0.3 and p99 <= 1,
        )
    ]


def lag_under_load(work: Workplace, rounds: int) -> list[Line]:
    """The same, while so many changes a second go on whether the one before has arrived or not."""
    lines = []
    for rate in RATES:
        pair = Pair(work, f"rate-{rate}", MOST)
        pair.sync(created=MOST)
        left = copy_store(pair.database, pair.database.with_name("left.sqlite"))
        with running(work, f"rate-{rate}-daemon", [(left, pair.database)]):
            taken = sorted(lags_at(left, pair.database, rate, LOADED))
        p50, p99 = percentiles(taken)
        lines.append(
            Line(
                f"daemon: {rate} changes a second for {LOADED} s, SQLite → SQLite, {MOST:,} records",
                f"p50 {p50 * 1000:,.0f} ms, p99 {p99 * 1000:,.0f} ms",
                "records settle one by one: each for 100 ms",
                {1: "p50 ≤ 0.25 s", 10: "p50 ≤ 0.3 s", 100: "p50 ≤ 0.4 s"}[rate] + ", p99 ≤ 1 s",
                p50 <= {1: 0.25, 10: 0.3, 100: 0.4}[rate] and p99 <= 1,
            )
        )
    return lines


def hub(work: Workplace, rounds: int) -> list[Line]:
    """From a commit in a store that many pairs have in common to the commit in the last other store."""
    pair = Pair(work, "hub-stores", RECORDS)
    pair.sync(created=RECORDS)
    left = copy_store(pair.database, pair.database.with_name("left.sqlite"))
    rights = [
        copy_store(pair.database, pair.database.with_name(f"right-{number}.sqlite"))
        for number in range(PAIRS)
    ]
    with running(work, "hub", [(left, right) for right in rights]):
        taken = sorted(lags_to_all(left, rights, HUB_CHANGES * rounds))
    p50, p99 = percentiles(taken)
    return [
        Line(
            f"daemon: {len(taken)} changes of a store that {PAIRS} pairs share, {RECORDS:,} records, to all",
            f"p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms",
            "",
            "p50 ≤ 0.5 s",
            p50 <= 0.5,
        )
    ]


def many_pairs(work: Workplace, rounds: int) -> list[Line]:
    """From the start of `smtd run` with many pairs, or with one, until it tells that it is ready."""
    stores = []
    for number in range(MANY):
        pair = Pair(work, f"many-{number}", 1)
        pair.sync(created=1)
        stores.append((pair.shelf, pair.database))
    taken: dict[int, list[float]] = {MANY: [], 1: []}
    for turn in range(rounds):
        for count, seconds_taken in taken.items():
            with running(work, f"many-{count}-{turn}", stores[:count]) as daemon:
                seconds_taken.append(daemon.start)
    return [
        Line(
            f"`smtd run` with {MANY} pairs, until READY",
            spread(taken[MANY]),
            f"with one pair: {spread(taken[1])}",
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
            "≤ 0.3 % of one core, ≤ 90 MiB",
            share <= 0.003 and memory <= 90 * 2**20,
        )
    ]


def neighbour(work: Workplace, rounds: int) -> list[Line]:
    """What real Sumatra feels of a daemon that works hard on the same file: its saves one after the other."""
    pair = Pair(work, "neighbour-stores", RECORDS)
    pair.sync(created=RECORDS)
    alone = sorted(
        save_times(work, copy_store(pair.database, pair.database.with_name("alone.sqlite")), SAVES)
    )
    left = copy_store(pair.database, pair.database.with_name("left.sqlite"))
    with running(work, "neighbour", [(left, pair.database)], 'settle = "0s"') as daemon:
        beside = sorted(save_times(work, left, SAVES, restless=pair.database))
        daemon.ctl("sync", "now")
        expect(count_records(pair.database), RECORDS + SAVES, "records carried")
    (p50, p99), (p50_alone, p99_alone) = percentiles(beside), percentiles(alone)
    return [
        Line(
            f"{SAVES} saves by real Sumatra to an SQLite file that the daemon writes to all the time",
            f"p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, none failed",
            f"alone: p50 {p50_alone * 1000:.0f} ms, p99 {p99_alone * 1000:.0f} ms",
            "p99 longer by ≤ 100 ms",
            p99 - p99_alone <= 0.1,
        )
    ]


def status(work: Workplace, rounds: int) -> list[Line]:
    """How long a person waits for the status."""
    pair = Pair(work, "status-stores", 1)
    with running(work, "status", [(pair.shelf, pair.database)]) as daemon:
        runs = measure.interleaved(
            {
                "bare": partial(measure.run, work.python("-c", "pass")),
                "status": partial(measure.run, daemon.command("status")),
            },
            rounds,
        )
    times = measure.ratio(runs["status"], runs["bare"])
    return [
        Line(
            "`smtd-ctl status`",
            f"{seconds(runs['status'])}, {times:.1f} times",
            f"`python -c pass`: {seconds(runs['bare'])}",
            "≤ 4 times",
            times <= 4,
        )
    ]


def percentiles(taken: Sequence[float]) -> tuple[float, float]:
    """Return p50 and p99."""
    cuts = quantiles(taken, n=100)
    return cuts[49], cuts[98]
