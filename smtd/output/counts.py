"""Counts and durations in English. This module imports nothing, because `smtd-ctl` must start quickly."""

from __future__ import annotations


def plural(count: int, word: str, many: str = "") -> str:
    """Return *count* with *word*, or with its plural (*many*, else with an s)."""
    return f"{count:,} {word if count == 1 else many or f'{word}s'}"


def duration(seconds: float) -> str:
    """Return such as `11 s`, `4 min` or `3 h`: the largest unit of which there are two."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def from_now(seconds: float) -> str:
    """Return such as `in 11 s`, or `now`."""
    return f"in {duration(seconds)}" if round(seconds) > 0 else "now"
