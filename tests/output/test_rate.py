"""Counts, a rate, and an estimate of the rest."""

from __future__ import annotations

import pytest

from smtd.cli.progress_line import ProgressLine
from smtd.output.counts import duration
from smtd.output.layout import columns
from smtd.output.rate import Rate


def test_rate_has_counts_at_once_and_a_rate_after_a_second() -> None:
    """And then says how long the rest takes."""
    rate = Rate()

    assert rate.text("scanning", 0, 0, 0.0) == ""
    assert rate.text("applying", 0, 5000, 1.0) == "0/5,000"
    assert rate.text("applying", 100, 5000, 1.5) == "100/5,000"
    assert rate.text("applying", 1000, 5000, 3.0) == "1,000/5,000, 500/s, 8 s left"
    assert rate.text("applying", 5000, 5000, 11.0) == "5,000/5,000, 500/s"


def test_rate_is_that_of_the_last_seconds() -> None:
    """A server that has become slow changes the estimate."""
    rate = Rate()
    for second in range(10):
        rate.text("applying", 1000 * second, 100_000, float(second))
    for second in range(10, 60):
        text = rate.text("applying", 9000 + second - 9, 100_000, float(second))

    assert text.startswith("9,050/100,000, 1.0/s, 25 h left")


def test_rate_without_progress_has_no_estimate() -> None:
    """Nobody knows how long it takes."""
    rate = Rate()
    rate.text("applying", 5, 10, 0.0)

    assert rate.text("applying", 5, 10, 30.0) == "5/10"


def test_rate_begins_anew_with_a_phase() -> None:
    """Or if the steps begin anew, as after a second look."""
    rate = Rate()
    rate.text("scanning", 0, 100, 0.0)
    rate.text("scanning", 90, 100, 2.0)

    assert rate.text("applying", 1, 100, 2.5) == "1/100"
    rate.text("applying", 50, 100, 4.0)
    assert rate.text("applying", 2, 100, 4.5) == "2/100"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1.0, "0 s"), (0.4, "0 s"), (119.0, "119 s"), (120.0, "2 min"), (7200.0, "2 h"), (200_000.0, "2 d")],
)
def test_duration_has_one_unit(seconds: float, text: str) -> None:
    """The largest one of which there are two."""
    assert duration(seconds) == text


def pair(
    name: str, state: str = "applying", pending: int | None = 750, total: int = 1000
) -> dict[str, object]:
    """Return the status of a pair, as far as the progress needs it."""
    return {"pair": name, "state": state, "pending": pending, "total": total}


def test_line_has_each_pair_with_its_rate() -> None:
    """As long as there is room."""
    line = ProgressLine()
    line.line([pair("lab", pending=1000), pair("home", "idle", 0, 0)], 100, 0.0)

    assert line.line([pair("lab"), pair("home", "idle", 0, 0)], 100, 2.5) == (
        "lab: applying 250/1,000, 100/s, 8 s left  home: idle"
    )
    assert line.line([pair("away", "offline", None)], 100, 3.0) == "away: offline"


def test_line_of_many_pairs_is_their_sum() -> None:
    """In one line, however many there are."""
    line = ProgressLine()
    pairs = [pair(f"pair-{number}") for number in range(3)] + [pair("rest", "idle", 0, 0)] * 197

    assert line.line(pairs, 60, 0.0) == "3 of 200 pairs at work: 750/3,000"
    assert columns(line.line([pair("x" * 200)], 40, 1.0)) <= 40
