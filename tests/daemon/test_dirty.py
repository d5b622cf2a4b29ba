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


def test_change_during_a_cycle_that_fails_stays(dirty: DirtyFlag) -> None:
    """A cycle that took nothing takes nothing away."""
    since = dirty.take()
    dirty.mark()
    dirty.restore(since)

    assert (dirty.since, dirty.marked_at) == (1000.0, 1000.0)
