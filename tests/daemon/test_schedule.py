"""When a cycle is due without a request."""

from __future__ import annotations

import random

import pytest

from smtd.daemon.dirty import ChangeSource, DirtyFlag
from smtd.daemon.schedule import (
    BY_KEY,
    FALLBACK_POLL,
    FIRST_PAUSE,
    IN_VAIN,
    LONG,
    LONGEST_PAUSE,
    MAX_DEBOUNCE,
    Schedule,
)
from smtd.errors import SmtdError, StoreBusy, StoreUnreachable

POLL, SETTLE = 10.0, 0.2
GONE = StoreUnreachable("gone")


class Clock:
    """A clock that stands still until the test sets it."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Pair:
    """A schedule and a dirty flag with one clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.dirty = DirtyFlag(self.clock, lambda: None)
        self.schedule = Schedule(POLL, SETTLE, self.clock)

    @property
    def wait(self) -> float:
        """Seconds until the next cycle is due."""
        return round(self.schedule.due(self.dirty) - self.clock.now, 6)

    def cycle(self, error: SmtdError | None = None) -> None:
        """Run a cycle that moves nothing, or fails with *error*."""
        since = self.dirty.take()
        if error is None:
            self.schedule.succeeded(moved=False, watched=True)
        else:
            self.dirty.restore(since)
            self.schedule.failed(error, touched=False)

    def write(self) -> None:
        """Write to a file, and have the watch notice it."""
        self.dirty.notice(ChangeSource.FILES)
        self.dirty.observe(age=0)


@pytest.fixture
def pair() -> Pair:
    """A pair after a cycle, whose files are watched."""
    made = Pair()
    made.cycle()
    return made


def wait(schedule: Schedule) -> float:
    return schedule.next_poll - Clock.now


def test_polls_are_slower_in_quiet_times_and_faster_after_changes() -> None:
    """A server is polled ever more rarely until something happens there, within limits."""
    schedule = Schedule(POLL, SETTLE, Clock())
    assert wait(schedule) == 0
    quiet = []
    for _ in range(8):
        schedule.succeeded(moved=False, watched=False)
        quiet.append(wait(schedule))
    schedule.succeeded(moved=True, watched=False)

    assert 0.9 * POLL <= quiet[0] < 2 * POLL
    assert 3.5 * POLL < quiet[-1] < 4.5 * POLL
    assert wait(schedule) < 0.3 * POLL


def test_watched_stores_are_polled_rarely() -> None:
    """Their changes are reported."""
    schedule = Schedule(POLL, SETTLE, Clock())

    schedule.succeeded(moved=True, watched=True)

    assert wait(schedule) >= 0.9 * FALLBACK_POLL


def test_cycle_is_due_when_something_becomes_due_by_itself() -> None:
    """For example when a run will count as killed in five seconds."""
    schedule = Schedule(POLL, SETTLE, Clock())

    schedule.succeeded(moved=False, watched=True, again=5.0)
    assert wait(schedule) == 5.0
    schedule.succeeded(moved=False, watched=True, again=-3.0)
    assert wait(schedule) == FIRST_PAUSE


def test_failures_are_retried_at_growing_intervals_until_a_change() -> None:
    """An hour of failures is a few tries; a change causes one at once, and success resets the interval."""
    random.seed(1)  # one in nine rows of pauses is shorter than an hour
    schedule = Schedule(POLL, SETTLE, Clock())
    pauses = []
    for _ in range(60):
        schedule.failed(GONE, touched=False)
        pauses.append(wait(schedule))
    assert pauses[0] < 5
    assert max(pauses) <= LONGEST_PAUSE
    assert sum(pauses) > 3600

    schedule.failed(GONE, touched=True)
    assert wait(schedule) == FIRST_PAUSE
    schedule.succeeded(moved=True, watched=False)
    schedule.failed(GONE, touched=False)
    assert wait(schedule) < 5


def test_pause_that_a_server_asks_for_is_kept() -> None:
    """However long its Retry-After is."""
    schedule = Schedule(POLL, SETTLE, Clock())

    schedule.failed(StoreBusy("busy", retry_after=900.0), touched=True)

    assert wait(schedule) == 900.0


def test_first_cycle_is_due_at_once() -> None:
    """Earlier changes are unknown."""
    assert Pair().wait <= 0


def test_change_is_due_when_the_files_have_settled(pair: Pair) -> None:
    """The settle time counts from the last write, and not from when the watch noticed it."""
    pair.write()
    first = pair.wait
    pair.clock.now += 0.15
    pair.dirty.observe(age=0.1)

    assert (first, pair.wait) == (SETTLE, 0.1)


def test_reported_change_settles_too(pair: Pair) -> None:
    """There is no file whose age shows."""
    pair.dirty.notice(ChangeSource.REPORT)

    assert pair.wait == SETTLE


def test_change_of_a_file_from_the_future_is_due_at_once(pair: Pair) -> None:
    """Its age means nothing."""
    pair.dirty.notice(ChangeSource.FILES)
    pair.dirty.observe(age=-3600)

    assert pair.wait <= 0


def test_endless_burst_delays_a_cycle_for_ten_settle_times_at_most(pair: Pair) -> None:
    """A file that is written all the time is read, too."""
    pair.write()
    for _ in range(MAX_DEBOUNCE * 2 - 1):
        pair.clock.now += SETTLE / 2
        pair.write()
    last = pair.wait
    pair.clock.now += SETTLE / 2
    pair.write()

    assert last == SETTLE / 2
    assert pair.wait <= 0


def test_change_is_synced_sooner_if_records_settle_by_key(pair: Pair) -> None:
    """However many others follow, as they do not delay it."""
    pair.schedule.succeeded(moved=True, watched=True, took=0.1)
    pair.clock.now += 1
    pair.write()
    first = pair.wait
    pair.clock.now += first / 2
    pair.write()

    assert (first, pair.wait) == (BY_KEY * SETTLE, BY_KEY * SETTLE / 2)


@pytest.mark.parametrize(
    ("took", "wait"),
    [(LONG / 2, 0.0), (LONG + 0.07, 0.07), (60.0, BY_KEY * SETTLE)],
    ids=["a short cycle", "a longer one", "a very long one"],
)
def test_next_cycle_of_a_burst_follows_at_once_if_records_settle_by_key(
    pair: Pair, took: float, wait: float
) -> None:
    """After a long cycle there is a pause first, unless the programs stop writing."""
    pair.write()
    pair.schedule.succeeded(moved=True, watched=True, took=took)

    assert pair.wait == pytest.approx(wait)


def test_store_without_a_token_is_looked_at_at_growing_intervals(pair: Pair) -> None:
    """Each cycle moves nothing, and the store still looks changed; real changes are synced as usual."""
    waits = []
    for _ in range(9):
        pair.schedule.succeeded(moved=False, watched=True)
        pair.dirty.set()
        waits.append(pair.wait)
        pair.clock.now += max(0.0, pair.wait)
        pair.dirty.take()
    pair.schedule.succeeded(moved=False, watched=True)
    pair.dirty.set()
    pair.clock.now += 1
    pair.write()

    assert waits == [IN_VAIN * 2**turn for turn in range(6)] + 3 * [POLL]
    assert pair.wait <= SETTLE


def test_change_after_a_long_cycle_settles_as_well(pair: Pair) -> None:
    """The time in which no cycle could run does not count for the burst."""
    pair.write()
    pair.clock.now += 100
    pair.schedule.succeeded(moved=True, watched=True)
    pair.dirty.observe(age=0)

    assert pair.wait == SETTLE


def test_poll_does_not_wait_for_the_settle_time(pair: Pair) -> None:
    """Only changes do."""
    pair.dirty.observe(age=0)
    pair.clock.now = pair.schedule.next_poll

    assert pair.wait == 0


def test_change_seen_by_a_failed_cycle_waits_for_the_next_try(pair: Pair) -> None:
    """Otherwise an unreachable store would be tried all the time."""
    pair.write()
    pair.clock.now += 1
    pair.cycle(error=GONE)

    assert pair.wait >= FIRST_PAUSE


def test_new_change_causes_a_try_before_the_next_one_is_due(pair: Pair) -> None:
    """It may have removed the cause."""
    pair.cycle(error=StoreBusy("busy", retry_after=900.0))
    pair.clock.now += 10
    pair.write()

    assert pair.wait == SETTLE


def test_no_cycle_is_due_while_the_pair_is_paused(pair: Pair) -> None:
    """Whatever happens."""
    pair.schedule.pause()
    pair.write()
    pair.clock.now += 1000

    assert pair.wait == float("inf")


def test_cycle_is_due_when_the_pair_is_resumed(pair: Pair) -> None:
    """At once, or when a current change has settled."""
    pair.schedule.pause()
    pair.write()
    pair.clock.now += 1000
    pair.schedule.resume()
    settled = pair.wait
    pair.write()

    assert settled <= 0
    assert pair.wait == SETTLE
