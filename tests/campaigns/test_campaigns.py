"""A few steps of each campaign of `make soak`: they find nothing, and would report what they find."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest

from campaigns import endurance, races, steady
from campaigns.campaign import Tally
from campaigns.campaigns import CAMPAIGNS
from campaigns.fuzz import campaign as fuzz
from campaigns.fuzz.targets import TARGETS
from campaigns.growth import Growth
from campaigns.kills import campaign as kills
from campaigns.laptops import campaign as laptops
from smtd.stores.http import other_clients
from tests.forkserver import client

ROOT = Path(__file__).parents[2]


@cache
def _loaded() -> client.ForkServer:
    """Return an interpreter that has loaded the modules that alter bytes and read them."""
    return client.ForkServer(["campaigns.fuzz.targets"], env={**os.environ, "PYTHONPATH": str(ROOT)})


@pytest.fixture(autouse=True)
def forked_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork the processes that read altered bytes."""

    def run(command: list[str], **_how: object) -> subprocess.CompletedProcess[str]:
        words = command[1:]
        return client.captured(
            words, lambda out, err: _loaded().child(words, ROOT, os.environ, stdout=out, stderr=err)
        )

    monkeypatch.setattr("campaigns.fuzz.campaign.subprocess", SimpleNamespace(run=run))


def quiet(_text: str) -> None:
    """Print nothing."""


@pytest.mark.parametrize("target", [name for name in TARGETS if name != "table-rows"])
def test_altered_bytes_are_read_or_refused(target: str, tmp_path: Path) -> None:
    """Each case ends as it should, and both outcomes occur."""
    tally = Tally("cases")

    fuzz.try_out(target, 16, tmp_path, tally)

    assert (tally.count, tally.wrong) == (16, [])
    assert set(tally.counts) == {"read", "refused"}


@pytest.mark.parametrize(
    ("reading", "told"),
    [
        ("crash", "crashed ZeroDivisionError"),
        ("run", "something was run: os.system"),
        ("end", "the process ended with 9"),
        ("grow", "crashed MemoryError"),
        ("hang", "it hangs"),
    ],
)
def test_wrong_reading_is_reported(
    reading: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it does wrong, the report names the case."""
    monkeypatch.setenv("SMTD_FUZZ_PATIENCE", "1")
    tally = Tally("cases")

    fuzz.try_out(f"tests.campaigns.spoilt:{reading}", 3, tmp_path, tally)

    (wrong,) = tally.differences
    assert f"{reading} 2" in wrong
    assert told in wrong


def test_killed_cycles_lose_nothing(tmp_path: Path) -> None:
    """Some cycles of an SQLite pair, with real `smt` beside them."""
    tally = kills.run(tmp_path, 3, quiet, [kills.sqlite_and_sqlite])

    assert (tally.count, tally.wrong) == (3, [])
    assert any("run" in note for note in tally.notes)


def test_programs_that_save_old_reads_lose_nothing(tmp_path: Path) -> None:
    """Some races, in which everything occurs that may."""
    tally = races.run(tmp_path, 6, quiet)

    assert (tally.count, tally.wrong) == (6, [])
    assert set(tally.counts) >= {"run", "comment", "tag", "delete", "cycles", "cycles that ended early"}


@pytest.mark.slow
def test_race_that_loses_a_word_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If smtd's writes were dropped from the log, the races would show it."""
    monkeypatch.setattr("smtd.journal.write_log._KEPT", 0)

    tally = races.run(tmp_path, 12, quiet)

    assert tally.losses != []
    assert "cycle" in tally.losses[0]


@pytest.mark.slow
def test_laptops_around_a_server_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One story, in which nothing is lost, doubled or unexplained."""
    # Tests shorten the unit of waits; on a busy machine it must still become longer than a write takes.
    monkeypatch.setattr(other_clients, "SLOW", 3.0 / other_clients.UNIT)
    tally = laptops.run(tmp_path, 1, quiet)

    assert (tally.count, tally.wrong) == (1, [])
    assert set(tally.counts) >= {"tag", "cycles", "kills"}


@pytest.mark.slow
def test_daemon_keeps_up_with_constant_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For some seconds, with a few pairs."""
    monkeypatch.setattr(steady, "PAIRS", 5)

    tally = steady.run(tmp_path, 2, quiet)

    assert tally.wrong == []
    assert any("lag p50" in note for note in tally.notes)


@pytest.mark.slow
def test_server_and_daemon_under_constant_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some seconds of it, with a few clients: all hear of all changes, and the processes are looked at."""
    monkeypatch.setattr(endurance, "CLIENTS", 10)
    monkeypatch.setattr(endurance, "RECORDS", 100)

    tally = endurance.run(tmp_path, 3, quiet)

    assert tally.wrong == []
    assert tally.counts["edits"] + tally.counts["creations"] > 20
    assert tally.counts["changes of the daemon's store"] > 0
    notes = "; ".join(tally.notes)
    assert "server: memory by fifths" in notes
    assert "daemon: memory by fifths" in notes


def test_growth_is_found() -> None:
    """Of memory, files and threads, between the middle of the time and its end; and not before."""
    tally = Tally("seconds")
    grows = [100, 200, 300, 300, 331]
    flat = [100, 200, 300, 300, 329]
    Growth("server", [each << 20 for each in grows], [1, 2, 3, 3, 8], [9, 9, 9, 9, 14]).judge(tally)
    Growth("daemon", [each << 20 for each in flat], [1, 2, 3, 3, 7], [9, 9, 9, 9, 13]).judge(tally)

    assert tally.differences == [
        "server: memory grew from 300 to 331 MiB",
        "server: open files grew from 3 to 8",
        "server: threads grew from 9 to 14",
    ]


def test_every_campaign_is_documented() -> None:
    """By the name under which it runs."""
    document = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text("utf-8")

    assert [name for name in CAMPAIGNS if f"**{name}**" not in document] == []


def test_what_is_wrong_is_told_at_once_and_only_once() -> None:
    """Whoever watches a campaign need not wait for its end."""
    tally = Tally("stories", losses=["a comment is lost"])
    assert tally.wrong_so_far() == "1 things wrong\n    a comment is lost"

    tally.differences.append("a tag differs")

    assert tally.wrong_so_far() == "2 things wrong\n    a tag differs"
    assert tally.wrong_so_far() == "2 things wrong"
