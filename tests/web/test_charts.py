"""Charts as inline SVG, and the words for spans of time and sizes."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from smtd.web.charts import bars, levels, spans
from smtd.web.durations import duration, size

ENDS = ("then", "now")


def numbers(drawing: str, name: str) -> list[float]:
    """Return the numbers in the path of class *name*."""
    (path,) = re.findall(rf'<path class="{name}" d="([^"]*)"/>', drawing)
    return [float(each) for each in re.findall(r"-?\d+(?:\.\d+)?", path)]


@pytest.mark.parametrize(
    "drawing",
    [
        spans([[0.1, None, 3.0], [1.0, 1.0, 1e9]], ENDS, 'a "<label>"'),
        spans([[], []], ENDS, "x"),
        levels([[None, 7.0]], ENDS, "x", size),
        levels([[0.0]], ENDS, "x", size),
        bars([0, 3, 1000], ENDS, "x"),
        bars([], ENDS, "x"),
    ],
)
def test_chart_is_a_drawing_with_a_text(drawing: str) -> None:
    """Well-formed, whatever the numbers, and without a style or a script in it."""
    found = ElementTree.fromstring(drawing)

    assert (found.tag, found.get("role")) == ("svg", "img")
    assert found.get("aria-label")
    assert "style=" not in drawing
    assert not re.search(r"nan|inf", drawing)


def test_larger_values_are_higher() -> None:
    """Lags on a scale of powers: ten times as long is the same step everywhere."""
    _, low, _, middle, _, high = numbers(spans([[0.1, 1.0, 10.0]], ENDS, "x"), "line")

    assert low - middle == pytest.approx(middle - high, abs=0.2)
    assert low > middle > high


def test_bars_stand_side_by_side_and_the_smallest_can_be_seen() -> None:
    """A day without changes has none."""
    path = re.findall(r'class="bar" d="([^"]*)"', bars([1, 0, 10_000], ENDS, "x"))[0]

    assert path.count("z") == 2
    assert "V96.0" in path


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0 ms"),
        (0.02, "20 ms"),
        (0.0999, "0.1 s"),
        (0.34, "0.3 s"),
        (1.0, "1 s"),
        (9.99, "10 s"),
        (119.0, "119 s"),
        (600.0, "10 min"),
        (7200.0, "2 h"),
        (864_000.0, "10 d"),
    ],
)
def test_span_of_time_is_said_in_two_digits(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (188_416, "188 kB"),
        (3_400_000, "3.4 MB"),
        (5e15, "5000.0 TB"),
    ],
)
def test_size_is_said_in_three_digits(count: float, words: str) -> None:
    assert size(count) == words
