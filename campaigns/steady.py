"""A daemon that keeps twenty pairs while all of them change all the time: nothing of it may grow."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import anyio

from campaigns.campaign import Tally
from campaigns.growth import Growth
from smtd.merge.sides import SIDES, Both
from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.record import Key
from tests.build import PROJECT, record
from tests.daemon.process import DaemonProcess, daemon_process
from tests.stores.places import DjangoPlace

PAIRS, RECORDS = 20, 50
#: Seconds between two changes, and at most between two looks at the daemon.
PACE, LOOK = 0.1, 5.0
#: Seconds within which a change must have arrived.
LONGEST_LAG = 15.0


@dataclass
class _Pair:
    """Two stores, and the labels of records that come and go."""

    places: Both[DjangoPlace]
    extra: list[str] = field(default_factory=list)


@dataclass
class _Waiting:
    since: float
    place: DjangoPlace
    label: str
    outcome: str

    def replaces(self, other: _Waiting) -> bool:
        """Say whether *other* was written to the same record before: it need not arrive any more."""
        return (self.place, self.label) == (other.place, other.label)

    @property
    def arrived(self) -> bool:
        """Whether the other side has what was written."""
        found = self.place.run("SELECT outcome FROM django_store_record WHERE label = ?", self.label)
        return found == [(self.outcome,)]


@dataclass
class _Figures:
    growth: Growth = field(default_factory=Growth)
    lags: list[float] = field(default_factory=list)


def run(directory: Path, count: int, progress: Callable[[str], None]) -> Tally:
    """Change something all the time for *count* seconds."""
    tally = Tally("seconds")
    pairs = [_made(directory / f"pair-{number}") for number in range(PAIRS)]
    with daemon_process(directory, _configuration(pairs)) as daemon:
        daemon.ctl("sync", "now")
        cpu, began = _cpu_seconds(daemon), time.monotonic()
        figures = _Figures()
        for _ in _changes(pairs, daemon, began + count, tally, figures):
            progress(
                f"{time.monotonic() - began:.0f} of {count} s, {tally.counts.total():,} changes,"
                f" {figures.growth.memory[-1] >> 20} MiB, {tally.wrong_so_far()}"
            )
        tally.count = round(time.monotonic() - began)
        share = (_cpu_seconds(daemon) - cpu) / (time.monotonic() - began)
        for _ in range(2):
            daemon.ctl("sync", "now")
    anyio.run(_compare, pairs, tally)
    _judge(figures, tally)
    tally.notes.append(f"{share:.0%} of a core")
    return tally


def _changes(
    pairs: list[_Pair], daemon: DaemonProcess, until: float, tally: Tally, figures: _Figures
) -> Iterator[None]:
    """Change the stores until then; every few seconds look at the daemon, and give the caller a turn."""
    chance, waiting = Random(1), list[_Waiting]()
    look = began = time.monotonic()
    for number in range(10**9):
        now = time.monotonic()
        if now > until:
            return
        change = _change(chance.choice(pairs), chance, number)
        tally.counts[change[0]] += 1
        if change[1] is not None:
            waiting = [each for each in waiting if not change[1].replaces(each)]
            waiting += [change[1]] if len(waiting) < 3 else []
        for each in list(waiting):
            if each.arrived:
                figures.lags.append(time.monotonic() - each.since)
                waiting.remove(each)
            elif now - each.since > LONGEST_LAG:
                tally.differences.append(f"{each.label} has not arrived within {LONGEST_LAG:.0f} s")
                waiting.remove(each)
        if now >= look:
            figures.growth.look(daemon)
            look = now + min(LOOK, (until - began) / 20)
            yield
        time.sleep(max(0.0, PACE - (time.monotonic() - now)))


def _change(pair: _Pair, chance: Random, number: int) -> tuple[str, _Waiting | None]:
    side = chance.choice(SIDES)
    choice = chance.random()
    place = pair.places[side]
    if choice < 0.1:
        anyio.run(place.put, record(f"extra-{number}"))
        pair.extra.append(f"extra-{number}")
        return "creations", None
    if choice < 0.2 and len(pair.extra) > 5:
        label = pair.extra.pop(0)
        place.run(
            "DELETE FROM django_store_taggeditem WHERE object_id IN"
            " (SELECT db_id FROM django_store_record WHERE label = ?)",
            label,
        )
        place.run("DELETE FROM django_store_record WHERE label = ?", label)
        return "deletions", None
    # Each side has records of its own to edit: two edits of one at once would be a conflict.
    label, outcome = f"run-{2 * chance.randrange(RECORDS // 2) + SIDES.index(side)}", f"looked at {number}"
    place.run("UPDATE django_store_record SET outcome = ? WHERE label = ?", outcome, label)
    return "edits", _Waiting(time.monotonic(), pair.places[side.other], label, outcome)


def _made(directory: Path) -> _Pair:
    directory.mkdir()
    places = Both(*[DjangoPlace(directory / f"{side.value}.sqlite") for side in SIDES])
    anyio.run(places.left.put, *[record(f"run-{number}") for number in range(RECORDS)])
    return _Pair(places)


def _configuration(pairs: list[_Pair]) -> str:
    lines = []
    for number, pair in enumerate(pairs):
        for side in SIDES:
            where = json.dumps(str(pair.places[side].path))
            lines += [f"[stores.{side.value}-{number}]", f"location = {where}"]
        lines += [f"[pairs.pair-{number}]", f'left = "left-{number}"', f'right = "right-{number}"']
    return "\n".join([*lines, ""])


async def _compare(pairs: list[_Pair], tally: Tally) -> None:
    for pair in pairs:
        left, right = [await _held(pair.places[side]) for side in SIDES]
        tally.differences += [
            f"{pair.places.left.path.parent.name}: {key} differs"
            for key in sorted(left.keys() | right.keys())
            if left.get(key) != right.get(key)
        ]
        kept = {f"run-{number}" for number in range(RECORDS)} | set(pair.extra)
        tally.losses += sorted(kept - {key.label for key in left})
        tally.doubles += sorted({key.label for key in left} - kept)


async def _held(place: DjangoPlace) -> dict[Key, Digest]:
    async with place.open() as store:
        keys = list((await store.scan([PROJECT])).digests)
        return {key: canonical.digest(one) for key, one in (await store.read(keys)).items()}


def _judge(figures: _Figures, tally: Tally) -> None:
    tally.notes.append(f"{PAIRS} pairs")
    figures.growth.judge(tally)
    lags = sorted(figures.lags)
    tally.notes.append(
        f"lag p50 {statistics.median(lags) * 1000:.0f} ms, p99 {lags[int(len(lags) * 0.99)] * 1000:.0f} ms,"
        f" longest {lags[-1] * 1000:.0f} ms"
    )


def _cpu_seconds(daemon: DaemonProcess) -> float:
    fields = Path(f"/proc/{daemon.pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
