"""The numbers for charts: counted by the hour, saved now and then, and asked for by the control socket."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from smtd.daemon.figures import Figures
from smtd.engine.report import PairReport, SideReport
from smtd.journal.journal import open_journal
from tests.build import full
from tests.daemon.process import daemon_process, pair_of, synced, wait_until
from tests.daemon.sqlite_stores import put

STORES = ("left", "right")
HOUR = 470_000


class Clock:
    """A clock that a test sets; it begins with an hour."""

    now = HOUR * 3600.0

    def __call__(self) -> float:
        return self.now


def report(created: int = 0, records: int = 10) -> PairReport:
    """Return the report of a cycle that created so many records on the right."""
    return PairReport(
        "pair", SideReport("l", records=records), SideReport("r", created=created, records=records)
    )


async def test_cycles_are_counted_by_the_hour(tmp_path: Path) -> None:
    """A cycle that wrote nothing counts only if nothing is known of the hour's records yet."""
    clock = Clock()
    async with open_journal(tmp_path) as journal:
        async with journal.pair(*STORES):
            pass
        figures = Figures(journal, clock)
        for made in (report(), report(), report(2), report(1, 12)):
            figures.count(STORES, made, 0.5)
        clock.now += 3600
        figures.count(STORES, report(4), 100.0)

        found = await figures.of(STORES)

    assert [
        (hour, each.changes, each.records.right, sum(each.lags.values())) for hour, each in found.items()
    ] == [
        (HOUR, 3, 13, 2),
        (HOUR + 1, 4, 14, 1),
    ]


async def test_figures_outlive_the_daemon(tmp_path: Path) -> None:
    """Once they are saved."""
    clock = Clock()
    async with open_journal(tmp_path) as journal:
        async with journal.pair(*STORES):
            pass
        first, second = Figures(journal, clock), Figures(journal, clock)
        first.count(STORES, report(2), None)
        await first.save()
        second.count(STORES, report(3), 1.0)

        shape = await second.shape(STORES)

    (hour,) = shape["hours"]
    assert (hour["at"], hour["changes"]) == ("2023-08-14T08:00:00+00:00", 5)
    assert shape["last_day"] == {name: hour[name] for name in ("lag_p50", "lag_p99", "lag_max")}
    assert hour["lag_p50"] == pytest.approx(1.0, rel=0.2)


async def test_pair_that_was_never_synced_has_no_figures(tmp_path: Path) -> None:
    """Nor has one whose stores were not found yet."""
    async with open_journal(tmp_path) as journal:
        figures = Figures(journal, Clock())
        figures.count(STORES, report(1), 1.0)  # its journal is gone by now

        assert await figures.of(STORES) == {}
        assert await figures.of(()) == {}


def test_daemon_counts_what_it_carries(tmp_path: Path) -> None:
    """The lag from when it saw the change; the numbers are still there after a restart."""
    left, right = tmp_path / "left.sqlite", tmp_path / "right.sqlite"
    put(left, full("one"))
    with daemon_process(tmp_path, pair_of(left, right)) as daemon:
        daemon.wait_event(synced)
        put(left, full("two"))
        daemon.wait_event(lambda event: event.get("right", {}).get("created") == 1 and event["id"] > 2)
        daemon.restart()
        figures = b'{"verb": "figures", "pairs": ["pair"]}'
        wait_until(
            lambda: bool(daemon.ask(figures)["result"]["pairs"][0]["hours"])
        )  # it finds its stores first

        (pair,) = daemon.ask(figures)["result"]["pairs"]

    assert pair["pair"] == "pair"
    assert sum(hour["changes"] for hour in pair["hours"]) == 2
    assert pair["hours"][-1]["left_records"] == pair["hours"][-1]["right_records"] == 2
    assert 0 < pair["last_day"]["lag_max"] < 60
    begun = datetime.fromisoformat(pair["hours"][-1]["at"])
    assert datetime.now(timezone.utc) - begun < timedelta(hours=2)
