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


def test_sources_are_released_one_after_the_other(dirty: DirtyFlag) -> None:
    """Reports of own writes have arrived before the files count as seen."""
    dirty.mask()
    dirty.unmask(ChangeSource.REPORT)
    dirty.notice(ChangeSource.FILES)
    unset = dirty.since
    dirty.notice(ChangeSource.REPORT)

    assert unset is None
    assert dirty.since == 1000.0


def test_touched_is_reset_by_the_next_job(dirty: DirtyFlag) -> None:
    """It belongs to one job."""
    dirty.mask()
    dirty.notice(ChangeSource.FILES)
    dirty.mask()

    assert not dirty.touched
