"""With file times in whole seconds, a file that looks unchanged right after a save may have changed."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from smtd import filestat
from smtd.errors import StoreUnreachable
from smtd.filestat import (
    COARSE_TICK,
    Signature,
    age,
    is_young,
    read_settled,
    seconds_until_old,
    status_token,
    without_youth,
)

pytestmark = pytest.mark.disk

SECOND = 1_000_000_000
#: A file that was changed at a whole second just now, and one that was not.
NOW = int(time.time()) * SECOND


def look(changed: int, written: int | None = None, size: int = 1) -> Signature:
    return ((1, 2, size, changed if written is None else written, changed),)


class Clock:
    """The monotonic clock, which a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    monkeypatch.setattr(filestat, "_first_seen", {})
    return clock


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make all times of files whole seconds."""
    stat = os.stat

    def cut(*args: Any, **named: Any) -> os.stat_result:
        found = stat(*args, **named)
        values = list(found)
        whole = {
            name: getattr(found, name) // SECOND * SECOND
            for name in ("st_mtime_ns", "st_ctime_ns", "st_atime_ns")
        }
        rest = {name: getattr(found, name) for name in ("st_blksize", "st_blocks", "st_rdev")}
        return os.stat_result(values, rest | whole)

    monkeypatch.setattr(os, "stat", cut)


@pytest.mark.parametrize(
    ("seen", "coarse"),
    [
        (look(NOW), True),
        (look(NOW + 4_000_000), False),
        (look(NOW + 4_000_000, written=NOW - 60 * SECOND), False),  # unpacked by tar
        (look(NOW - 60 * SECOND + 1, written=NOW), True),  # its other time is that of its creation
    ],
)
def test_coarse_times_are_recognized_by_the_time_of_change(seen: Signature, coarse: bool) -> None:
    assert seen[0] is not None
    assert filestat.is_coarse(seen[0]) is coarse
    assert is_young(seen) is coarse


@pytest.mark.parametrize("wrong", [-3600, 0, 3600])
def test_file_is_young_until_one_tick_after_it_was_first_seen(
    clock: Clock, tmp_path: Path, coarse: None, wrong: int
) -> None:
    """Whatever the clock of its file system says."""
    path = tmp_path / "file"
    path.touch()
    os.utime(path, (time.time() + wrong,) * 2)
    seen = filestat.signature([path])

    assert is_young(seen)
    assert seconds_until_old(seen) == pytest.approx(COARSE_TICK)
    clock.now += COARSE_TICK - 0.1
    assert is_young(filestat.signature([path]))
    clock.now += 0.2
    assert not is_young(filestat.signature([path]))
    assert seconds_until_old(seen) == 0
    assert is_young(seen, 1000.0)


def test_file_of_the_day_before_yesterday_is_not_young() -> None:
    """No clock is that wrong."""
    assert not is_young(look(NOW - 2 * 86400 * SECOND))


def test_absent_file_is_not_young() -> None:
    assert not is_young((None,))
    assert seconds_until_old((None,)) == 0


def test_age_of_a_coarse_file_is_at_most_the_time_since_it_was_seen(
    clock: Clock, tmp_path: Path, coarse: None
) -> None:
    """By its time alone, a file written just now may be a second old."""
    path = tmp_path / "file"
    path.touch()
    seen = filestat.signature([path])

    assert age(seen) == 0
    clock.now += 0.3
    assert age(seen) == pytest.approx(min(0.3, time.time() - seen[0][4] / 1e9 if seen[0] else 0), abs=0.1)


def test_number_of_remembered_states_is_limited(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, coarse: None
) -> None:
    monkeypatch.setattr(filestat, "_KEPT", 3)
    for number in range(9):
        (tmp_path / "file").write_bytes(b"x" * number)
        filestat.signature([tmp_path / "file"])

    assert len(filestat._first_seen) <= 3


def test_token_of_young_files_includes_their_contents() -> None:
    """Until they have settled, their status proves nothing, and the token equals no other."""
    seen = look(NOW)

    one, other = (status_token(seen, young=True, holding=[each]) for each in (b"one", b"other"))

    assert len({one, other, status_token(seen)}) == 3
    assert (
        without_youth(one) == without_youth(other) == status_token(seen) == without_youth(status_token(seen))
    )


def test_young_files_that_are_torn_are_read_again(tmp_path: Path, coarse: None) -> None:
    """Their status is the same before and after a write; their contents show it."""
    path = tmp_path / "file"
    path.write_bytes(b"x")
    answers = [b"half", b"whole", b"whole", b"whole"]

    found, seen, young = read_settled([path], lambda: answers.pop(0), what="it")

    assert (found, young, answers) == (b"whole", True, [])
    assert seen == filestat.signature([path])


def test_young_files_that_are_written_all_the_time_are_not_read(tmp_path: Path, coarse: None) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")

    with pytest.raises(StoreUnreachable, match="it cannot be read"):
        read_settled([path], object, what="it", patience=0.2)
