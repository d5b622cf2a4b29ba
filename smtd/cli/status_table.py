"""The status of all pairs as a readable table. No slow imports."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from smtd.output.counts import plural
from smtd.text import shown

#: Colours, as codes for ANSI terminals.
_RED, _GREEN, _YELLOW, _FAINT = "31", "32", "33", "2"
_STATES = {"idle": _GREEN, "offline": _YELLOW, "paused": _YELLOW, "halted": _RED}
_ARROWS = {"two-way": "<->", "left-to-right": "-->", "right-to-left": "<--"}
_COUNTS = ("in_sync", "pending", "conflicts", "held", "failed")
_HEAD = ("pair", "state", "in sync", "pending", "conflicts", "held", "failed", "lag", "last cycle", "stores")
#: Columns whose cells are aligned to the right.
_NUMBERS = range(2, 8)

Pair = dict[str, Any]


def table(pairs: list[Pair], *, colour: bool) -> str:
    """Return a row for each pair, and a line for each problem that needs the user."""
    if not pairs:
        return "no pairs: add one with smtd-ctl pair add or in the configuration"
    rows = [_HEAD, *map(_row, pairs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = [_line(row, widths) for row in rows]
    if colour:
        lines[0] = _painted(lines[0], _FAINT)
        for number, pair in enumerate(pairs, 1):
            paint = _STATES.get(pair["state"])
            state = rows[number][1]
            lines[number] = (
                lines[number].replace(state, _painted(state, paint), 1) if paint else lines[number]
            )
    notes = [shown(note) for pair in pairs for note in _notes(pair)]
    return "\n".join(lines + ([""] if notes else []) + notes)


def progress(pair: Pair) -> str:
    """Return the state of a pair, with the progress of its cycle, in a few words."""
    state = str(pair["state"])
    if not pair["total"] or pair["pending"] is None or state not in ("scanning", "applying", "proving"):
        return state
    return f"{state} {pair['total'] - pair['pending']:,}/{pair['total']:,}"


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    cells = [
        cell.rjust(width) if column in _NUMBERS else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def _row(pair: Pair) -> tuple[str, ...]:
    counts = ["?" if pair[name] is None else f"{pair[name]:,}" for name in _COUNTS]
    stores = f"{_side(pair['left'])} {_ARROWS[pair['mode']]} {_side(pair['right'])}"
    lag = f"{pair['lag_seconds']:.1f} s"
    return (shown(pair["pair"]), progress(pair), *counts, lag, _ago(pair["last_cycle"]), stores)


def _side(side: Pair) -> str:
    location = shown(str(side["location"]))
    home = os.path.expanduser("~") + os.sep
    if location.startswith(home):
        location = f"~{os.sep}{location.removeprefix(home)}"
    return location if side["records"] is None else f"{location} ({side['records']:,})"


def _ago(moment: str | None) -> str:
    if moment is None:
        return "never"
    seconds = (datetime.now(timezone.utc) - datetime.fromisoformat(moment)).total_seconds()
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{max(0.0, seconds):.0f} s ago"


def _notes(pair: Pair) -> Iterator[str]:
    """Yield what is wrong with a pair or needs the user, each with the next step."""
    name = pair["pair"]
    if pair["problem"]:
        yield f"{name}: {pair['problem']}{_waiting(pair)}{_next_try(pair)}"
    for count, kind in (("conflicts", "conflict"), ("held", "hold")):
        if number := pair[count]:
            yield f"{name}: {plural(number, kind)}: see smtd-ctl {kind}s {name}"
    for failure in pair["failures"]:
        yield f"{name}: {failure['project']}/{failure['label']} failed: {failure['error']}"
    if (more := pair["failed"] - len(pair["failures"])) > 0:
        yield f"{name}: and {more:,} more failed (smtd-ctl sync now --json lists all)"
    yield from _found(pair)


def _waiting(pair: Pair) -> str:
    """Return how many records changed since the last sync, while a store of the pair is unreachable."""
    if pair["state"] != "offline" or pair["pending"] is None:
        return ""
    return f"; {plural(pair['pending'], 'record')} changed since the last sync"


def _next_try(pair: Pair) -> str:
    """Return when smtd next tries a pair with an unreachable store."""
    if pair["state"] != "offline" or pair["next_cycle"] is None:
        return ""
    wait = (datetime.fromisoformat(pair["next_cycle"]) - datetime.now(timezone.utc)).total_seconds()
    return f"; next try in {max(0.0, wait):.0f} s"


def _found(pair: Pair) -> Iterator[str]:
    """Yield the findings of a scrub, and how many more there are."""
    name = pair["pair"]
    for found in pair["findings"]:
        yield f"{name}: {found['project']}/{found['label']}: {found['what']}; {found['next']}"
    if (more := pair["proven"]["findings"] - len(pair["findings"])) > 0:
        yield f"{name}: and {more:,} more unexpected differences (smtd-ctl verify {name} lists all)"


def _painted(text: str, code: str) -> str:
    return f"\033[{code}m{text}\033[0m"
