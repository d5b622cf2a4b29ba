"""The flag that says whether a store may have changed: what watchers set, and what cycles take."""

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
    """A list with one entry for each time that the worker was woken."""
    return []


@pytest.fixture
def dirty(clock: Clock, wakes: list[str]) -> DirtyFlag:
    return DirtyFlag(clock, lambda: wakes.append("woken"))


@pytest.mark.parametrize("source", ChangeSource)
def test_watcher_sets_the_flag_and_wakes_the_worker(
    source: ChangeSource, dirty: DirtyFlag, clock: Clock, wakes: list[str]
) -> None:
    """The first change counts for the lag, and each one wakes the worker."""
    dirty.notice(source)
    clock.now += 5
    dirty.notice(source)

    assert (dirty.since, dirty.marked_at) == (1000.0, 1000.0)
    assert len(wakes) == 2


def test_sources_are_released_one_after_the_other(dirty: DirtyFlag) -> None:
    """Reports of own writes have arrived before the files count as seen."""
    dirty.hold()
    dirty.release(ChangeSource.REPORT)
    dirty.notice(ChangeSource.FILES)
    unset = dirty.since
    dirty.notice(ChangeSource.REPORT)

    assert unset is None
    assert dirty.since == 1000.0


def test_touched_is_reset_by_the_next_job(dirty: DirtyFlag) -> None:
    """It belongs to one job."""
    dirty.hold()
    dirty.notice(ChangeSource.FILES)
    dirty.hold()

    assert not dirty.touched


def test_change_during_a_failed_cycle_stays(dirty: DirtyFlag) -> None:
    """A cycle that synced nothing clears nothing."""
    since = dirty.take()
    dirty.mark()
    dirty.restore(since)

    assert (dirty.since, dirty.marked_at) == (1000.0, 1000.0)
