"""Charts as inline SVG. Pure: numbers in, markup out; colours and strokes come from the style sheet.

The text beside a chart says the same for those who do not see it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from markupsafe import Markup

from smtd.web.durations import duration

_WIDTH, _HEIGHT = 320, 120
_LEFT, _TOP, _RIGHT, _BOTTOM = 52, 10, 316, 98

#: One value for each step of time; None: there is none.
Values: TypeAlias = Sequence[float | None]
#: The texts below the first and the last step.
Ends: TypeAlias = tuple[str, str]
#: Ticks of a scale of spans of time, in seconds.
_SPANS = (0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 36_000.0, 86_400.0, 864_000.0, 8_640_000.0)


class _Scale(NamedTuple):
    """Where a value is drawn, and the values that have a tick, with their texts."""

    place: Callable[[float], float]
    ticks: Sequence[tuple[float, str]]


def spans(lines: Sequence[Values], ends: Ends, label: str) -> Markup:
    """Return a chart of *lines* of spans of time, in seconds, on a scale of powers."""
    largest = max((value for line in lines for value in line if value is not None), default=1.0)
    count = next((n for n, tick in enumerate(_SPANS) if tick >= max(largest, 1.0)), len(_SPANS) - 1)
    low, high = math.log(_SPANS[0]), math.log(_SPANS[count])

    def place(value: float) -> float:
        share = (math.log(min(max(value, _SPANS[0]), _SPANS[count])) - low) / (high - low)
        return _BOTTOM - share * (_BOTTOM - _TOP)

    ticks = [(tick, duration(tick)) for tick in _SPANS[: count + 1 : max(1, count // 3)]]
    return _chart(_lines(lines, place), _Scale(place, ticks), ends, label)


def levels(lines: Sequence[Values], ends: Ends, label: str, words: Callable[[float], str]) -> Markup:
    """Return a chart of *lines* of amounts, which *words* puts into text."""
    scale = _amounts(
        max((value for line in lines for value in line if value is not None), default=0.0), words
    )
    return _chart(_lines(lines, scale.place), scale, ends, label)


def bars(values: Sequence[int], ends: Ends, label: str) -> Markup:
    """Return a chart with a bar for each of *values*."""
    scale = _amounts(float(max(values, default=0)), lambda value: f"{value:,.0f}")
    step = (_RIGHT - _LEFT) / max(1, len(values))
    path = "".join(
        f"M{_LEFT + number * step + 1:.1f} {_BOTTOM}V{min(scale.place(value), _BOTTOM - 2):.1f}"
        f"h{step - 2:.1f}V{_BOTTOM}z"
        for number, value in enumerate(values)
        if value
    )
    return _chart(Markup('<path class="bar" d="%s"/>') % path, scale, ends, label)


def _amounts(largest: float, words: Callable[[float], str]) -> _Scale:
    top = _rounded(largest)
    return _Scale(
        lambda value: _BOTTOM - value / top * (_BOTTOM - _TOP), [(0.0, words(0.0)), (top, words(top))]
    )


def _rounded(largest: float) -> float:
    """Return the next larger number that begins with 1, 2 or 5 and is else zeros, at least 1."""
    power = 10.0 ** math.floor(math.log10(max(largest, 1.0)))
    return next(step * power for step in (1.0, 2.0, 5.0, 10.0) if step * power >= largest)


def _lines(lines: Sequence[Values], place: Callable[[float], float]) -> Markup:
    names = ("line", "line second")
    return Markup("").join(
        Markup('<path class="%s" d="%s"/>') % (name, _path(line, place))
        for name, line in zip(names, lines, strict=False)
    )


def _path(values: Values, place: Callable[[float], float]) -> str:
    """Return a line through *values* with a gap where there is none; a lone value is a dot."""
    step = (_RIGHT - _LEFT) / max(1, len(values) - 1)
    parts, is_open = [], False
    for number, value in enumerate(values):
        if value is not None:
            x, y = _LEFT + number * step, place(value)
            is_alone = not is_open and (number + 1 == len(values) or values[number + 1] is None)
            parts.append(
                f"M{x - 2:.1f} {y:.1f}h4" if is_alone else f"{'L' if is_open else 'M'}{x:.1f} {y:.1f}"
            )
        is_open = value is not None
    return "".join(parts)


def _chart(drawn: Markup, scale: _Scale, ends: Ends, label: str) -> Markup:
    grid = Markup("").join(
        Markup('<path class="axis" d="M%d %.1fH%d"/><text x="%d" y="%.1f" text-anchor="end">%s</text>')
        % (_LEFT, scale.place(value), _RIGHT, _LEFT - 5, scale.place(value) + 4, text)
        for value, text in scale.ticks
    )
    return Markup(
        '<svg class="chart" viewBox="0 0 %d %d" role="img" aria-label="%s">%s%s'
        '<text x="%d" y="%d">%s</text><text x="%d" y="%d" text-anchor="end">%s</text></svg>'
    ) % (_WIDTH, _HEIGHT, label, grid, drawn, _LEFT, _HEIGHT - 4, ends[0], _RIGHT, _HEIGHT - 4, ends[1])
