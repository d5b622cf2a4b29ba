"""The status of all pairs as text: a table, or blocks where that does not fit. No slow imports."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import Any

from smtd.output.counts import duration, from_now, plural
from smtd.output.layout import columns, padded, wrapped
from smtd.output.local_time import local_time, with_local_times
from smtd.output.waited_for import waited_for
from smtd.text import shown

#: Colours, as codes for ANSI terminals.
_RED, _GREEN, _YELLOW, _FAINT = "31", "32", "33", "2"
_STATES = {"idle": _GREEN, "offline": _YELLOW, "paused": _YELLOW, "halted": _RED}
#: The direction of each mode.
ARROWS = {"two-way": "<->", "left-to-right": "-->", "right-to-left": "<--"}
_COUNTS = ("in_sync", "pending", "conflicts", "held", "failed")
_HEAD = (
    *("pair", "state", "in sync", "pending", "conflicts", "held", "failed", "lag"),
    *("last cycle", "next cycle", "stores"),
)
#: Columns whose cells are aligned to the right.
_NUMBERS = range(2, 8)
NO_PAIRS = "no pairs: smtd mirror sets one up; if only smtd serve runs here, start smtd run"

Pair = dict[str, Any]


def status_lines(pairs: list[Pair], *, width: int | None = None, colour: bool = False) -> list[str]:
    """Return a row for each pair, and below the table what is wrong with it, waits, or needs the user.

    If a row has more than *width* columns (None: there is no limit), each pair is a block of lines instead,
    with its notes. No line has more than *width* columns, and nothing is left out.
    """
    if not pairs:
        return [NO_PAIRS] if width is None else wrapped(NO_PAIRS, width)
    rows = [_HEAD, *map(_row, pairs)]
    widths = [max(columns(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = [_line(row, widths) for row in rows]
    if width is not None and max(map(columns, lines)) > width:
        return _blocks(pairs, width, colour)
    if colour:
        lines[0] = _painted(lines[0], _FAINT)
        for number, pair in enumerate(pairs, 1):
            before, state, after = lines[number].partition(f"  {rows[number][1]}")
            lines[number] = before + _painted(state, _STATES.get(pair["state"])) + after
    notes = [f"{shown(pair['pair'])}: {note}" for pair in pairs for note in _notes(pair)]
    if width is not None:
        notes = [line for note in notes for line in wrapped(note, width)]
    return [*lines, *([""] if notes else []), *notes]


def progress(pair: Pair) -> str:
    """Return the state of a pair, with the progress of its cycle, in a few words."""
    state = str(pair["state"])
    if not pair["total"] or pair["pending"] is None or state not in ("scanning", "applying", "proving"):
        return state
    return f"{state} {pair['total'] - pair['pending']:,}/{pair['total']:,}"


def is_left(pairs: Sequence[Pair]) -> bool:
    """Say whether something remains to be done: a conflict, a hold, a failed record, a problem."""
    names = ("conflicts", "held", "failed", "problem")
    return any(any(pair[name] for name in names) or pair["proven"]["findings"] for pair in pairs)


def counts(pair: Pair) -> str:
    """Return the counts of a pair that are not 0, in words, and how many records are in sync."""
    parts = [f"{pair['in_sync']:,} in sync"]
    if pair["conflicts"]:
        parts.append(plural(pair["conflicts"], "conflict"))
    parts += [f"{pair[name]:,} {name}" for name in ("held", "failed") if pair[name]]
    if pair["pending"]:
        parts.append(f"{pair['pending']:,} pending")
    return ", ".join(parts)


def _blocks(pairs: Sequence[Pair], width: int, colour: bool) -> list[str]:
    lines: list[str] = []
    for number, pair in enumerate(pairs):
        head, *more = wrapped(shown(f"{pair['pair']}: {progress(pair)}"), width)
        if colour and not more:
            name, state = head.rsplit(": ", 1)
            head = f"{name}: {_painted(state, _STATES.get(pair['state']))}"
        lines += [*([""] if number else []), head, *more]
        for text in _block(pair):
            lines += wrapped(f"  {text}", width, "    ")
    return lines


def _block(pair: Pair) -> Iterator[str]:
    """Yield all about a pair but its name and state."""
    yield counts(pair)
    lag = f", {_lag(pair)} behind" if pair["lag_seconds"] else ""
    yield f"last cycle {_ago(pair['last_cycle'])}, next {_due(pair)}{lag}"
    yield f"left {_side(pair['left'])}"
    yield f"right {_side(pair['right'])}"
    if pair["mode"] != "two-way":
        yield f"changes go {pair['mode']} only"
    yield from _notes(pair)


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    cells = [
        padded(cell, width, right=column in _NUMBERS)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def _row(pair: Pair) -> tuple[str, ...]:
    numbers = ["?" if pair[name] is None else f"{pair[name]:,}" for name in _COUNTS]
    stores = f"{_side(pair['left'])} {ARROWS[pair['mode']]} {_side(pair['right'])}"
    times = (_lag(pair), _ago(pair["last_cycle"]), _due(pair))
    return (shown(pair["pair"]), progress(pair), *numbers, *times, stores)


def _side(side: Pair) -> str:
    location = shown(str(side["location"]))
    home = os.path.expanduser("~") + os.sep
    if location.startswith(home):
        location = f"~{os.sep}{location.removeprefix(home)}"
    return location if side["records"] is None else f"{location} ({side['records']:,})"


def _lag(pair: Pair) -> str:
    return f"{pair['lag_seconds']:.1f} s"


def _ago(moment: str | None) -> str:
    if moment is None:
        return "never"
    return f"{duration((datetime.now(timezone.utc) - datetime.fromisoformat(moment)).total_seconds())} ago"


def _due(pair: Pair) -> str:
    """Return when the next cycle begins, unless one runs already or the pair waits for a person."""
    if pair["next_cycle"] is None:
        return "on request" if pair["state"] == "paused" else "-"
    wait = (datetime.fromisoformat(pair["next_cycle"]) - datetime.now(timezone.utc)).total_seconds()
    return from_now(wait)


def _notes(pair: Pair) -> Iterator[str]:
    """Yield what is wrong with a pair, waits, or needs the user, each with the next step."""
    return map(shown, map(with_local_times, _sentences(pair)))


def _sentences(pair: Pair) -> Iterator[str]:
    name = pair["pair"]
    if pair["problem"]:
        yield f"{pair['problem']}{_backlog(pair)}{_next_try(pair)}"
    elif waits := waited_for(pair):
        yield f"{waits}; if it goes on, check the server and the network"
    yield from _waiting(pair)
    for failure in pair["failures"]:
        yield f"{failure['project']}/{failure['label']} failed: {failure['error']}"
    if (more := pair["failed"] - len(pair["failures"])) > 0:
        yield f"and {more:,} more failed (smtd sync now --json lists all)"
    for found in pair["findings"]:
        yield f"{found['project']}/{found['label']}: {found['what']}; {found['next']}"
    if (more := pair["proven"]["findings"] - len(pair["findings"])) > 0:
        yield f"and {more:,} more unexpected differences (smtd verify {name} lists all)"


def _waiting(pair: Pair) -> Iterator[str]:
    """Yield how many records are in conflict or held, why, and until when."""
    for count, kind in (("conflicts", "conflict"), ("held", "hold")):
        see = f"see smtd {kind}s {pair['pair']}"
        rest = pair[count]
        for group in pair.get("waiting", ()):
            if (group["kind"] == "conflict") is (kind == "conflict"):
                until = f" (until {local_time(group['until'])})" if group["until"] else ""
                rest -= group["records"]
                yield f"{plural(group['records'], kind)}: {group['reason']}{until}; {see}"
        if rest > 0:
            yield f"{plural(rest, kind)}: {see}"


def _backlog(pair: Pair) -> str:
    """Return how many records changed since the last sync, while a store of the pair is unreachable."""
    if pair["state"] != "offline" or pair["pending"] is None:
        return ""
    return f"; {plural(pair['pending'], 'record')} changed since the last sync"


def _next_try(pair: Pair) -> str:
    """Return when smtd next tries a pair with an unreachable store; without a next cycle one runs."""
    if pair["state"] != "offline":
        return ""
    return f"; next try {'now' if pair['next_cycle'] is None else _due(pair)}"


def _painted(text: str, code: str | None) -> str:
    return f"\033[{code}m{text}\033[0m" if code else text
