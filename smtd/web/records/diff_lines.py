"""The lines of a diff, with what each does. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_HEADERS = ("diff ", "index ", "--- ", "+++ ", "Index: ", "===", "new file", "deleted file", "# ")


class DiffLine(NamedTuple):
    """A line; *kind*: `added`, `removed`, `place`, `header` or empty."""

    kind: str
    text: str


def lines(diff: str) -> Iterator[DiffLine]:
    """Yield the lines of *diff*."""
    for line in diff.split("\n"):
        yield DiffLine(_kind(line), line)


def _kind(line: str) -> str:
    if line.startswith("@@"):
        return "place"
    if line.startswith(_HEADERS):
        return "header"
    return {"+": "added", "-": "removed"}.get(line[:1], "")
