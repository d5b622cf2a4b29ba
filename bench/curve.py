"""A picture of how costs grow with the number of records: a line for each kind, both axes logarithmic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from math import ceil, floor, log10

#: Points of the picture, and of its margins: left, right, top, bottom.
WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 40, 50
COLOURS = ("#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad", "#d68910", "#555555")

#: What is measured by the number of records.
Curve = Mapping[int, float]


def svg(title: str, unit: str, curves: Mapping[str, Curve]) -> str:
    """Return the picture of *curves*, in *unit*, as SVG."""
    across = _Axis([x for curve in curves.values() for x in curve], LEFT, WIDTH - RIGHT)
    up = _Axis([y for curve in curves.values() for y in curve.values()], HEIGHT - BOTTOM, TOP)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
        ' font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(LEFT, 22, title, "start", "bold"),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, "records in each store", "middle"),
    ]
    for value in up.decades:
        y = up.at(value)
        lines.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>')
        lines.append(_text(LEFT - 8, y + 4, f"{value:,g} {unit}", "end"))
    for value in sorted({x for curve in curves.values() for x in curve}):
        lines.append(_text(across.at(value), HEIGHT - BOTTOM + 20, f"{value:,}", "middle"))
    ends = _apart({name: up.at(curve[max(curve)]) for name, curve in curves.items()})
    for colour, (name, curve) in zip(COLOURS, curves.items(), strict=False):
        points = [(across.at(x), up.at(y)) for x, y in sorted(curve.items())]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        lines += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in points]
        lines.append(_text(points[-1][0] + 10, ends[name] + 4, name, "start", colour=colour))
    return "\n".join([*lines, "</svg>", ""])


class _Axis:
    """Maps values to points between *start* and *end*, by whole decades."""

    def __init__(self, values: Iterable[float], start: float, end: float) -> None:
        logs = [log10(value) for value in values]
        self._low, self._high = floor(min(logs)), max(ceil(max(logs)), floor(min(logs)) + 1)
        self._start, self._end = start, end

    @property
    def decades(self) -> list[float]:
        return [10.0**power for power in range(self._low, self._high + 1)]

    def at(self, value: float) -> float:
        share = (log10(value) - self._low) / (self._high - self._low)
        return self._start + share * (self._end - self._start)


def _apart(places: Mapping[str, float]) -> dict[str, float]:
    """Move names at *places* so that none covers another one."""
    moved: dict[str, float] = {}
    for name, place in sorted(places.items(), key=lambda each: each[1]):
        moved[name] = max(place, max(moved.values(), default=place - 16) + 16)
    return moved


def _text(x: float, y: float, text: str, anchor: str, weight: str = "normal", colour: str = "black") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" fill="{colour}">'
        f"{escape(text)}</text>"
    )
