"""kill -9 under load, again and again: what was acknowledged is there, and no number is given twice."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from campaigns.campaign import Tally
from campaigns.serve import campaign
from campaigns.serve.campaign import Siege
from campaigns.serve.followers import Follower, Stuck
from campaigns.serve.ledger import NOTHING, Held, Ledger
from tests.server.process import server_process
from tests.server.served import Reply

pytestmark = pytest.mark.halved

KILLS = 8


def quiet(_text: str) -> None:
    """Report nothing."""


@pytest.fixture
def ledger() -> Ledger:
    """What clients know who have asked for nothing yet."""
    return Ledger(Tally("kills"))


@pytest.mark.slow
def test_killed_server_has_all_that_it_acknowledged(tmp_path: Path) -> None:
    """Clients continue from their cursors and hold the same records; the feed reported nothing false."""
    tally = campaign.run(tmp_path, KILLS, quiet)

    assert (tally.count, tally.wrong) == (KILLS, [])
    assert set(tally.counts) >= {
        "answers to writers",
        "appends that came too late",
        "kills at rest",
        "kills beside others who write",
        "kills under load",
        "kills while it started",
        "requests without an answer that were done",
        "requests without an answer that were not done",
        "writes past the server",
    }
    assert "followers that had to start again" not in tally.counts


@pytest.mark.parametrize("table", ["django_store_record", "smtd_change"])
def test_row_that_is_missing_after_a_kill_is_reported(tmp_path: Path, table: str) -> None:
    """As if the server had acknowledged before it was durable: a record, or only its place in the feed."""
    tally = Tally("kills")
    with server_process(tmp_path, start=False) as server:
        siege = Siege(server, tally)
        anyio.run(siege.kill_at_rest)
        with closing(sqlite3.connect(server.store, isolation_level=None)) as db:
            db.execute("PRAGMA foreign_keys = OFF")
            # Of a record whose last request was answered: only that one must be there.
            label = next(label for label, held in siege.ledger.held.items() if held != NOTHING)
            db.execute(f"DELETE FROM {table} WHERE label = ?", (label,))
        assert tally.wrong == []

        anyio.run(siege.look)

    assert any("acknowledged" in what or "differs" in what for what in tally.wrong)


def test_acknowledged_outcome_that_is_gone_is_lost(ledger: Ledger) -> None:
    """Whether there is an older one now, or no record."""
    for label in ("one", "two"):
        ledger.wants(label, "new")
        ledger.acknowledged(label, '"2"')
    ledger.found("one", Held("old", '"1"'))
    ledger.found("two", NOTHING)

    assert ledger.tally.losses == [
        "one: old, where new was acknowledged",
        "two: None, where new was acknowledged",
    ]


def test_request_without_an_answer_may_be_done_or_not(ledger: Ledger) -> None:
    """It is not what the client can know; and nothing else may be there."""
    for label in ("one", "two", "three"):
        ledger.wants(label, "sent")
    ledger.found("one", Held("sent", '"1"'))
    ledger.found("two", NOTHING)
    ledger.found("three", Held("another", '"2"'))

    assert ledger.tally.wrong == ["three: another, where None was acknowledged and sent was sent"]


def test_word_that_is_missing_or_doubled_or_was_refused_is_reported(ledger: Ledger) -> None:
    """Those who append to one record lose no word of each other's."""
    for word, done in (("kept", True), ("gone", True), ("twice", True), ("refused", False)):
        ledger.appends("shared", word)
        ledger.appended("shared", word, done=done)
    ledger.appends("shared", "without an answer")

    ledger.found_shared("shared", Held("kept\ntwice\nrefused\ntwice\nwithout an answer", '"1"'))

    assert ledger.tally.losses == ["shared: gone was acknowledged"]
    assert ledger.tally.doubles == ["shared: twice is there 2 times"]
    assert ledger.tally.differences == ["shared: refused was refused, or never sent"]


def test_number_that_is_given_twice_is_reported(ledger: Ledger) -> None:
    """Whoever hears of it."""
    ledger.numbered({"seq": 7, "label": "one", "digest": "1-ab"})
    ledger.numbered({"seq": 7, "label": "one", "digest": "1-cd"})

    assert ledger.tally.doubles == ["7 was given to ('one', '1-ab') and ('one', '1-cd')"]


def answered(status: int, body: bytes = b"") -> Reply:
    """Return what a server might answer to a follower."""
    return Reply(status, {}, body)


def test_follower_starts_again_only_after_410(ledger: Ledger) -> None:
    """By a 410; any other answer leaves it where it is, for ever."""
    follower = Follower("somebody", ledger, False, 5, {"one": "1-ab"})

    with pytest.raises(Stuck):
        follower.take(answered(503))
    follower.take(answered(410))

    assert (follower.cursor, follower.held) == (0, {})


def test_follower_reports_a_change_that_it_has_already(ledger: Ledger) -> None:
    """A feed goes on from the cursor, and never back."""
    follower = Follower("somebody", ledger, False, 5)

    follower.take(answered(200, b'{"changes": [{"seq": 5, "label": "one", "digest": null}], "next": 4}'))

    assert ledger.tally.differences == [
        "somebody: the feed gave number 5 after 5",
        "somebody: the feed went back from 5 to 4",
    ]
