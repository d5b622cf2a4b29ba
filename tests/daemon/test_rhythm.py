"""When a cycle is due that nobody asks for."""

from __future__ import annotations

import random

from smtd.daemon.rhythm import FIRST_PAUSE, LONGEST_PAUSE, SAFETY, Rhythm
from smtd.errors import StoreBusy, StoreUnreachable

POLL = 10.0
GONE = StoreUnreachable("gone")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def wait(rhythm: Rhythm) -> float:
    return rhythm.due - Clock.now


def test_polls_are_slower_in_quiet_times_and_faster_after_changes() -> None:
    """A server is asked ever more rarely until something happens there, within bounds."""
    rhythm = Rhythm(POLL, Clock())
    assert wait(rhythm) == 0
    quiet = []
    for _ in range(8):
        rhythm.succeeded(moved=False, watched=False)
        quiet.append(wait(rhythm))
    rhythm.succeeded(moved=True, watched=False)

    assert 0.9 * POLL <= quiet[0] < 2 * POLL
    assert 3.5 * POLL < quiet[-1] < 4.5 * POLL
    assert wait(rhythm) < 0.3 * POLL


def test_watched_stores_are_looked_at_for_safety_only() -> None:
    """Who is told of changes need not ask."""
    rhythm = Rhythm(POLL, Clock())

    rhythm.succeeded(moved=True, watched=True)

    assert wait(rhythm) >= 0.9 * SAFETY


def test_what_time_alone_brings_is_not_missed() -> None:
    """A run that counts as killed in five seconds is looked at then."""
    rhythm = Rhythm(POLL, Clock())

    rhythm.succeeded(moved=False, watched=True, again=5.0)
    assert wait(rhythm) == 5.0
    rhythm.succeeded(moved=False, watched=True, again=-3.0)
    assert wait(rhythm) == FIRST_PAUSE


def test_failures_are_tried_again_ever_more_rarely_until_something_happens() -> None:
    """An hour of failures is a few tries; a sign of life is followed at once, and success forgets all."""
    random.seed(1)  # one in nine rows of pauses is shorter than an hour
    rhythm = Rhythm(POLL, Clock())
    pauses = []
    for _ in range(60):
        rhythm.failed(GONE, touched=False)
        pauses.append(wait(rhythm))
    assert pauses[0] < 5
    assert max(pauses) <= LONGEST_PAUSE
    assert sum(pauses) > 3600

    rhythm.failed(GONE, touched=True)
    assert wait(rhythm) == FIRST_PAUSE
    rhythm.succeeded(moved=True, watched=False)
    rhythm.failed(GONE, touched=False)
    assert wait(rhythm) < 5


def test_server_that_asks_for_a_pause_gets_it() -> None:
    """Retry-After is honoured, however long it is."""
    rhythm = Rhythm(POLL, Clock())

    rhythm.failed(StoreBusy("busy", retry_after=900.0), touched=True)

    assert wait(rhythm) == 900.0
