"""Numbers for charts: what happened to a pair in each hour. Nothing is decided by them."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from smtd.journal.orientation import PairPart
from smtd.merge.sides import Both
from smtd.sqlite import at_once

#: Hours that are kept for each pair.
KEPT = 31 * 24
#: Lags are counted in classes: class n has those up to _SHORTEST * _STEP**n seconds.
_SHORTEST, _STEP, _CLASSES = 0.01, 2**0.25, 120


class HourFigures(NamedTuple):
    """What happened in one hour: how many records were written, and how many cycles had which lag, by class.

    *records*: how many each side had at its end. *journal_bytes*: the size of the whole journal then.
    """

    changes: int
    lags: Mapping[int, int]
    records: Both[int]
    journal_bytes: int = 0

    def followed_by(self, later: HourFigures) -> HourFigures:
        """Return the figures of both as those of one hour."""
        lags = Counter(self.lags)
        lags.update(later.lags)
        return HourFigures(self.changes + later.changes, lags, later.records, later.journal_bytes)


def lag_class(seconds: float) -> int:
    """Return the class of a lag."""
    if seconds <= _SHORTEST:
        return 0
    return min(_CLASSES, math.ceil(math.log(seconds / _SHORTEST, _STEP) - 1e-9))


def quantile(lags: Mapping[int, int], share: float) -> float | None:
    """Return the seconds that *share* of *lags* did not exceed, to a fifth (None: there are no lags)."""
    wanted = math.ceil(share * sum(lags.values()))
    seen = 0
    for number in sorted(lags):
        seen += lags[number]
        if seen >= wanted:
            return _SHORTEST * float(_STEP**number)
    return None


class FigureLog(PairPart):
    """The figures of one pair. Every method is one atomic transaction. Hours are counted since 1970."""

    async def since(self, hour: int) -> dict[int, HourFigures]:
        """Return the figures of *hour* and later ones, by hour; hours without any are left out."""
        return {
            number: HourFigures(
                changes,
                {int(name): count for name, count in json.loads(lags).items()},
                self._sides.both(left, right),
                size,
            )
            for number, changes, lags, left, right, size in await self._db.fetch(
                "SELECT hour, changes, lags, left_records, right_records, journal_bytes FROM figures"
                " WHERE pair = ? AND hour >= ? ORDER BY hour",
                (self._pair, hour),
            )
        }

    @at_once
    async def add(self, hour: int, figures: HourFigures) -> None:
        """Add *figures* to those of *hour*, which is now; delete hours that are too old, or still to come."""
        async with self._db.transaction():
            before = (await self.since(hour)).get(hour)
            size = await self._db.value("PRAGMA page_count") * await self._db.value("PRAGMA page_size")
            found = (figures if before is None else before.followed_by(figures))._replace(journal_bytes=size)
            await self._db.run(
                "INSERT OR REPLACE INTO figures VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    *(self._pair, hour, found.changes, json.dumps(found.lags)),
                    *self._sides.columns(found.records),
                    found.journal_bytes,
                ),
            )
            await self._db.run(
                "DELETE FROM figures WHERE pair = ? AND NOT hour BETWEEN ? AND ?",
                (self._pair, hour - KEPT + 1, hour),
            )
