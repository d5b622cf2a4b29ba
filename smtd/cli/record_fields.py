"""A record field by field, as `smtd-ctl show` prints it: first what differs. No slow imports."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

#: The most lines of a value that are shown, and the most characters of a line.
LINES, WIDTH = 12, 160
#: Characters before the first difference that are shown of a long line.
BEFORE = 40

Shown = dict[str, Any]


def lines(found: Shown) -> Iterator[str]:
    """Yield the record that the daemon has *found*; each line still has to be escaped."""
    # Every record has a timestamp: a version without one does not exist.
    there = [name for name, value in found["fields"]["timestamp"].items() if value is not None]
    differing = [*found["differing"], *(name for name in found["fields"] if name not in found["differing"])]
    differing = [name for name in differing if not _is_same(found["fields"][name], there)]
    if found["differing"]:
        yield f"the sides differ in {', '.join(found['differing'])}"
    elif differing:
        yield f"the versions differ in {', '.join(differing)}"
    for name in sorted({"left", "right", "agreed"} - {*there}):
        yield "there is no agreed version" if name == "agreed" else f"the {name} store has no such record"
    for field in differing:
        values = found["fields"][field]
        texts = [_text(values[name]) for name in there]
        start = _first_difference(texts)
        for name, text in zip(there, texts, strict=True):
            yield from _value(f"{field} ({name})", text, start)
    if differing:
        yield ""
        yield "the same:"
    for field, values in found["fields"].items():
        if field not in differing:
            yield from _value(field, _text(values[there[0]]))


def _is_same(values: Shown, there: Sequence[str]) -> bool:
    return len({json.dumps(values[name]) for name in there}) == 1


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _value(name: str, text: str, start: int = 0) -> Iterator[str]:
    """Yield *text* from the character *start* on, as far as there is room for it."""
    if start:
        yield f"{name}: … {start:,} equal characters, then"
        text = text[start:]
    shown = text.split("\n", LINES)
    more = text.count("\n") + 1 - LINES
    first, *others = [_cut(line) for line in shown[:LINES]]
    yield f"    {first}" if start else f"{name}: {first}"
    for line in others:
        yield f"    {line}"
    if more > 0:
        yield f"    … {more:,} more lines"


def _cut(line: str) -> str:
    more = len(line) - WIDTH
    return f"{line[:WIDTH]} … {more:,} more characters" if more > 0 else line


def _first_difference(texts: Sequence[str]) -> int:
    """Return where to begin so that a difference of *texts* shows: 0, a line, or shortly before it."""
    low, high = 0, min(map(len, texts))
    while low < high:  # as fast for megabytes as for a line
        middle = (low + high + 1) // 2
        if len({text[:middle] for text in texts}) == 1:
            low = middle
        else:
            high = middle - 1
    line = texts[0].rfind("\n", 0, low) + 1
    if low - line > WIDTH // 2:
        return low - BEFORE
    return line if texts[0].count("\n", 0, line) > 1 else 0
