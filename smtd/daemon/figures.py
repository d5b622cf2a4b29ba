"""Count what cycles do, hour by hour, for the charts of the pages."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

import anyio

from smtd.engine.report import PairReport
from smtd.errors import JournalError
from smtd.journal.figures import KEPT, HourFigures, lag_class, quantile
from smtd.journal.journal import Journal
from smtd.merge.sides import Both

log = logging.getLogger("smtd")

#: Seconds for which figures are kept in memory: a crash loses them, and a change costs no write of its own.
_PAUSE = 60.0
_HOUR, _DAY = 3600, 24


class _Hour(NamedTuple):
    """An hour of a pair; *stores* are the identities of its stores."""

    stores: tuple[str, ...]
    hour: int


class Figures:
    """The figures of all pairs; `run` saves them in *journal*."""

    def __init__(self, journal: Journal, clock: Callable[[], float] = time.time) -> None:
        self._journal = journal
        self._clock = clock
        self._new: dict[_Hour, HourFigures] = {}
        self._records: dict[tuple[str, ...], Both[int]] = {}
        self._news = anyio.Event()

    def count(self, stores: Collection[str], report: PairReport, lag: float | None) -> None:
        """Count a cycle that succeeded; *lag*: seconds since its first change was seen (None: unknown)."""
        records = Both(*[side.records + side.grown for side in (report.left, report.right)])
        where = _Hour(tuple(stores), int(self._clock()) // _HOUR)
        if not report.wrote and self._records.get(where.stores) == records:
            return
        self._records[where.stores] = records
        changes = report.left.written + report.right.written
        lags = Counter() if lag is None or not changes else Counter([lag_class(lag)])
        found = HourFigures(changes, lags, records)
        before = self._new.get(where)
        self._new[where] = found if before is None else before.followed_by(found)
        self._news.set()

    async def run(self) -> None:
        """Save the figures once a minute while there are new ones, until cancelled."""
        while True:
            await self._news.wait()
            await anyio.sleep(_PAUSE)
            self._news = anyio.Event()
            try:
                await self.save()
            except JournalError as exc:
                log.warning("numbers for charts are lost: %s", exc)

    async def save(self) -> None:
        """Save all figures so far. Raises JournalError; what could not be saved is then lost."""
        new, self._new = self._new, {}
        for where, figures in new.items():
            journal = await self._journal.known(*where.stores[:2])
            if journal is not None:
                await journal.figures.add(where.hour, figures)

    async def of(self, stores: Collection[str]) -> Mapping[int, HourFigures]:
        """Return the figures of the last 31 days of the pair of *stores*, by hour. Raises JournalError."""
        await self.save()
        journal = await self._journal.known(*stores) if stores else None
        return {} if journal is None else await journal.figures.since(self._now - KEPT + 1)

    async def shape(self, stores: Collection[str]) -> dict[str, Any]:
        """Return the figures of a pair as the control socket gives them."""
        found = await self.of(stores)
        day: Counter[int] = Counter()
        for hour, figures in found.items():
            if hour > self._now - _DAY:
                day.update(figures.lags)
        return {"last_day": _lags(day), "hours": [_shape(hour, found[hour]) for hour in sorted(found)]}

    @property
    def _now(self) -> int:
        return int(self._clock()) // _HOUR


def _shape(hour: int, figures: HourFigures) -> dict[str, Any]:
    return {
        "at": datetime.fromtimestamp(hour * _HOUR, timezone.utc).isoformat(timespec="seconds"),
        "changes": figures.changes,
        **_lags(figures.lags),
        "left_records": figures.records.left,
        "right_records": figures.records.right,
        "journal_bytes": figures.journal_bytes,
    }


def _lags(lags: Mapping[int, int]) -> dict[str, float | None]:
    found = {"lag_p50": quantile(lags, 0.5), "lag_p99": quantile(lags, 0.99), "lag_max": quantile(lags, 1.0)}
    return {name: None if value is None else round(value, 3) for name, value in found.items()}
