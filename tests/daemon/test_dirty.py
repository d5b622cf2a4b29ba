"""Whether a store may have changed: what watchers set, and what cycles take."""

from __future__ import annotations

import pytest

from smtd.daemon.dirty import ChangeSource, DirtyFlag


class Clock:
    """A clock that the test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def wakes() -> list[str]:
    """One word for each time that the worker was woken."""
    return []


@pytest.fixture
def dirty(clock: Clock, wakes: list[str]) -> DirtyFlag:
    return DirtyFlag(clock, lambda: wakes.append("woken"))


@pytest.mark.parametrize("source", ChangeSource)
def test_watcher_sets_the_flag_and_wakes_the_worker(
    source: ChangeSource, dirty: DirtyFlag, clock: Clock, wakes: list[str]
) -> None:
    """The first change counts for the lag, and each one wakes."""
    dirty.notice(source)
    clock.now += 5
    dirty.notice(source)

    assert (dirty.since, dirty.marked_at) == (1000.0, 1000.0)
    assert len(wakes) == 2


@pytest.mark.parametrize("source", ChangeSource)
def test_what_is_seen_while_a_job_runs_may_be_its_own_write(
    source: ChangeSource, dirty: DirtyFlag, wakes: list[str]
) -> None:
    """It is remembered, and asks for no cycle."""
    dirty.hold()
    dirty.notice(source)

    assert (dirty.since, dirty.touched, wakes) == (None, True, [])


def test_sources_are_released_one_after_the_other(dirty: DirtyFlag) -> None:
    """Reports of own writes have come before the files are known as they are."""
    dirty.hold()
    dirty.release(ChangeSource.REPORT)
    dirty.notice(ChangeSource.FILES)
    unset = dirty.since
    dirty.notice(ChangeSource.REPORT)

    assert unset is None
    assert dirty.since == 1000.0


def test_next_job_does_not_know_what_the_one_before_has_seen(dirty: DirtyFlag) -> None:
    """*touched* is of one job."""
    dirty.hold()
    dirty.notice(ChangeSource.FILES)
    dirty.hold()

    assert not dirty.touched


def test_cycle_takes_the_flag(dirty: DirtyFlag) -> None:
    """It sees all changes so far; the flag is clear from then on."""
    dirty.mark()

    assert dirty.take() == 1000.0
    assert (dirty.since, dirty.marked_at) == (None, None)


def test_failed_cycle_gives_back_what_it_took(dirty: DirtyFlag, clock: Clock) -> None:
    """The change is as old as it was, and does not ask for a cycle at once, as it did before."""
    dirty.mark()
    since = dirty.take()
    clock.now += 5
    dirty.restore(since)

    assert (dirty.since, dirty.marked_at) == (1000.0, None)


def test_change_during_a_cycle_that_fails_stays(dirty: DirtyFlag) -> None:
    """A cycle that took nothing takes nothing away."""
    since = dirty.take()
    dirty.mark()
    dirty.restore(since)

    assert (dirty.since, dirty.marked_at) == (1000.0, 1000.0)


def test_last_write_is_that_of_the_files_or_the_last_report(dirty: DirtyFlag, clock: Clock) -> None:
    """Whichever came later."""
    before = dirty.last_write
    dirty.notice(ChangeSource.REPORT)
    reported = dirty.last_write
    clock.now += 5
    dirty.observe(age=2)

    assert (before, reported, dirty.last_write) == (float("-inf"), 1000.0, 1003.0)


def test_file_from_the_future_tells_nothing_of_the_last_write(dirty: DirtyFlag) -> None:
    """The clock of its file server is ahead; to wait until then may take for ever."""
    dirty.observe(age=-3600)

    assert dirty.last_write == float("-inf")
