"""The charts of a pair, made from its figures by the hour. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta, timezone, tzinfo
from typing import Any, NamedTuple

from markupsafe import Markup

from smtd.output.counts import plural
from smtd.web import charts
from smtd.web.durations import duration, size

_HOURS, _DAYS = 24, 31


class Chart(NamedTuple):
    """A chart: its *title*, a *summary* in a sentence, and the *drawing* (empty: there are no numbers)."""

    title: str
    summary: str
    drawing: Markup


def of_day(figures: Mapping[str, Any], now: datetime) -> Chart:
    """Return the chart of the lag in the last day, until *now*."""
    hours = {datetime.fromisoformat(each["at"]): each for each in figures["hours"]}
    last = now.astimezone(timezone.utc).replace(minute=0, second=0, microsecond=0)
    first = last - timedelta(hours=_HOURS - 1)
    steps = [hours.get(first + timedelta(hours=number), {}) for number in range(_HOURS)]
    lines = [[step.get(name) for step in steps] for name in ("lag_p50", "lag_p99")]
    half, most = figures["last_day"]["lag_p50"], figures["last_day"]["lag_p99"]
    if half is None or most is None:
        return Chart("Lag, last day", "No change was carried in the last day.", Markup())
    summary = f"Half of the changes (line) arrived within {duration(half)}"
    summary += f", 99 % (dashes) within {duration(most)}."
    drawing = charts.spans(
        lines, (f"{first.astimezone(now.tzinfo):%H:%M}", f"{now:%H:%M}"), f"Lag in the last day. {summary}"
    )
    return Chart("Lag, last day", summary, drawing)


def of_days(figures: Mapping[str, Any], now: datetime) -> Chart:
    """Return the chart of the changes on each of the last 31 days, which begin and end where *now* is."""
    counts: dict[date, int] = {}
    for each in figures["hours"]:
        day = datetime.fromisoformat(each["at"]).astimezone(now.tzinfo).date()
        counts[day] = counts.get(day, 0) + each["changes"]
    days, ends = _days(now)
    values = [counts.get(day, 0) for day in days]
    summary = f"{plural(values[-1], 'change')} today, {sum(values):,} in 31 days."
    if not any(values):
        return Chart("Changes a day", "No change in 31 days.", Markup())
    return Chart("Changes a day", summary, charts.bars(values, ends, f"Changes a day. {summary}"))


def of_month(figures: Mapping[str, Any], now: datetime) -> list[Chart]:
    """Return the charts of the number of records and the size of the journal in the last 31 days."""
    hours = figures["hours"]
    if not hours:
        return []
    days, ends = _days(now)
    names = ("left_records", "right_records", "journal_bytes")
    left, right, journal = (_last_of_days(hours, name, days, now.tzinfo) for name in names)
    records = f"{hours[-1]['left_records']:,} left (line), {hours[-1]['right_records']:,} right (dashes)."
    stored = f"{size(hours[-1]['journal_bytes'])}, with the history of all pairs."
    return [
        Chart(
            "Records",
            records,
            charts.levels([left, right], ends, f"Records. {records}", lambda value: f"{value:,.0f}"),
        ),
        Chart("Journal", stored, charts.levels([journal], ends, f"Size of the journal. {stored}", size)),
    ]


def _days(now: datetime) -> tuple[list[date], charts.Ends]:
    """Return the last 31 days, and the texts below the first and the last one."""
    days = [now.date() - timedelta(days=number) for number in reversed(range(_DAYS))]
    return days, (f"{days[0].day} {days[0]:%b}", "today")


def _last_of_days(
    hours: Sequence[Mapping[str, Any]], name: str, days: Sequence[date], zone: tzinfo | None
) -> list[float | None]:
    """Return the last value of each day; it stays until another one is known."""
    known = {datetime.fromisoformat(each["at"]).astimezone(zone).date(): each[name] for each in hours}
    before = [value for day, value in known.items() if day < days[0]]
    values: list[float | None] = []
    last: float | None = before[-1] if before else None
    for day in days:
        last = known.get(day, last)
        values.append(last)
    return values
