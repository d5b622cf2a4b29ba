"""What a measurement is to the table: its lines, and how often it is repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.curve import Curve
from bench.measure import Run
from bench.workplace import Workplace


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table; *met* is None where no goal is set; *curves* are for the picture."""

    what: str
    result: str
    beside: str = ""
    goal: str = ""
    met: bool | None = None
    curves: Mapping[str, Curve] | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A measurement that can be asked for, and how often it is repeated unless told otherwise."""

    measure: Callable[[Workplace, int], list[Line]]
    rounds: int


def seconds(runs: Sequence[Run]) -> str:
    """Write the median and, if there are several runs, the fastest and the slowest."""
    return spread([run.seconds for run in runs])


def spread(taken: Sequence[float]) -> str:
    """Write the median of so many seconds and, if there are several, the least and the most."""
    times, middle = sorted(taken), median(taken)
    scale, digits, unit = (1, 2, "s") if middle >= 1 else (1000, 0, "ms")
    spread = f" ({times[0] * scale:.{digits}f} to {times[-1] * scale:.{digits}f})" if len(times) > 1 else ""
    return f"{middle * scale:.{digits}f} {unit}{spread}"


def by_size(curve: Curve, written: Callable[[float], str]) -> str:
    """Write the values of *curve* with the numbers of records that they are of."""
    return ", ".join(f"{written(value)} at {size:,}" for size, value in curve.items())


def in_seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.2f} s"


def in_milliseconds(milliseconds: float) -> str:
    return f"{milliseconds:.1f} ms" if milliseconds < 100 else f"{milliseconds:,.0f} ms"


def peak(runs: Sequence[Run]) -> str:
    largest, together = (
        max(peaks) / 2**20 for peaks in zip(*((r.largest, r.together) for r in runs), strict=True)
    )
    return f"{largest:.0f} MiB in the largest process, {together:.0f} MiB together"
