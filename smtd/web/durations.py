"""Spans of time and sizes, in the words that the pages use. Pure."""

from __future__ import annotations

#: The size of each unit in seconds, and how many seconds are said in it.
_UNITS = ((86_400.0, 172_800.0, "d"), (3600.0, 7200.0, "h"), (60.0, 120.0, "min"))


def duration(seconds: float) -> str:
    """Return a span of time to two digits: 20 ms, 0.3 s, 45 s, 12 min, 3 h, 2 d."""
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    for size, least, unit in _UNITS:
        if seconds >= least:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def size(count: float) -> str:
    """Return a number of bytes to three digits: 12 kB, 3.4 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if count >= 9.95 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
