"""Lay out lines for a terminal of some width, in columns. Pure; no slow imports."""

from __future__ import annotations

import re

#: The fewest columns that are used for text, however narrow a terminal claims to be.
NARROWEST = 20
_WORDS = re.compile(r" *[^ ]+| +$")


def columns(text: str) -> int:
    """Return how many columns *text* takes; it must be shown already (`smtd/text.py`)."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def padded(text: str, width: int, *, right: bool = False) -> str:
    """Return *text* with blanks up to *width* columns, after it or, with *right*, before it."""
    blanks = " " * (width - columns(text))
    return blanks + text if right else text + blanks


def wrapped(text: str, width: int, indent: str = "  ") -> list[str]:
    """Return *text* as lines of at most *width* columns; all but the first begin with *indent*.

    Lines break at blanks. A longer word breaks after a slash, else anywhere; no character is lost but the
    blanks at a break.
    """
    width = max(width, NARROWEST)
    lines, line = [], ""
    for word in _WORDS.findall(text):
        if columns(line + word) <= width:
            line += word
            continue
        if line.strip():
            lines.append(line)
            line = indent + word.lstrip(" ")
        else:
            line += word
        while columns(line) > width:
            cut = _cut(line, width, len(indent))
            lines.append(line[:cut])
            line = indent + line[cut:]
    return [*lines, line]


def _cut(line: str, width: int, least: int) -> int:
    """Return how many characters of *line* fit, up to a slash if there is one after the first *least*."""
    taken = 0
    for number, character in enumerate(line):
        taken += _columns(character)
        if taken > width:
            slash = line.rfind("/", least + 1, number)
            return number if slash < 0 else slash + 1
    return len(line)


def _columns(character: str) -> int:
    if character.isascii():
        return 1
    import unicodedata  # most text does not need it

    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
