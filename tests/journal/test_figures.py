"""The numbers of each hour that the journal keeps for charts."""

from __future__ import annotations

from pathlib import Path

import pytest

from smtd.journal.figures import KEPT, HourFigures, lag_class, quantile
from smtd.journal.journal import open_journal
from smtd.journal.pair import PairJournal
from smtd.merge.sides import Both

HOUR = 470_000
RECORDS = Both(10, 12)


def figures(
    changes: int = 1, lags: dict[int, int] | None = None, records: Both[int] = RECORDS
) -> HourFigures:
    """Return figures of an hour."""
    return HourFigures(changes, lags or {}, records)


async def test_figures_of_one_hour_add_up(known: PairJournal) -> None:
    """The numbers of records are the last ones, and the size of the journal is that of its file."""
    await known.figures.add(HOUR, figures(3, {5: 1}))
    await known.figures.add(HOUR, figures(4, {5: 2, 9: 1}, Both(11, 13)))

    (found,) = (await known.figures.since(HOUR)).values()

    assert (found.changes, dict(found.lags), found.records) == (7, {5: 3, 9: 1}, Both(11, 13))
    assert found.journal_bytes > 10_000


async def test_figures_are_kept_for_a_month(known: PairJournal) -> None:
    """An hour that is still to come was counted by a wrong clock."""
    for hour in (HOUR + 1, HOUR - KEPT, HOUR - KEPT + 1, HOUR):
        await known.figures.add(hour, figures())

    assert list(await known.figures.since(0)) == [HOUR - KEPT + 1, HOUR]
    assert list(await known.figures.since(HOUR)) == [HOUR]


async def test_figures_of_sides_are_those_that_the_caller_names(tmp_path: Path) -> None:
    """In whatever order the pair was synced first; and no other pair has them."""
    async with open_journal(tmp_path) as journal:
        for right in ("right", "other"):
            async with journal.pair("left", right):
                pass
        straight, turned, other = (
            await journal.known("left", "right"),
            await journal.known("right", "left"),
            await journal.known("left", "other"),
        )
        assert straight is not None
        assert turned is not None
        assert other is not None
        await turned.figures.add(HOUR, figures(records=Both(1, 2)))

        assert (await straight.figures.since(HOUR))[HOUR].records == Both(2, 1)
        assert (await turned.figures.since(HOUR))[HOUR].records == Both(1, 2)
        assert await other.figures.since(HOUR) == {}


@pytest.mark.parametrize("seconds", [0.01, 0.02, 0.3, 1.0, 7.0, 3600.0, 864_000.0])
def test_class_of_a_lag_tells_it_to_a_fifth(seconds: float) -> None:
    """Never less than it was."""
    found = quantile({lag_class(seconds): 1}, 1.0)

    assert found is not None
    assert seconds * 0.999 <= found <= seconds * 1.2


def test_lags_beyond_the_classes_count_in_the_last_ones() -> None:
    """A pair may have been offline for years."""
    assert (lag_class(0.0), lag_class(1e12)) == (0, 120)


def test_quantile_is_what_a_share_of_the_lags_did_not_exceed() -> None:
    """Of none there is none."""
    lags = {lag_class(1.0): 98, lag_class(100.0): 2}

    assert quantile(lags, 0.5) == pytest.approx(1.0, rel=0.2)
    assert quantile(lags, 0.98) == pytest.approx(1.0, rel=0.2)
    assert quantile(lags, 0.99) == pytest.approx(100.0, rel=0.2)
    assert quantile({}, 0.5) is None
