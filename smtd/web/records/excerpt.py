"""Shorten what a page shows of a record, by the bytes that it takes in the page. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from markupsafe import escape

from smtd.text import shown_lines

T = TypeVar("T")


class Excerpt(NamedTuple):
    """A part of a text of *total* characters; *is_cut*: it is not all of it."""

    text: str
    total: int
    is_cut: bool

    @property
    def shortened(self) -> str:
        """The text, which ends in dots if it is cut."""
        return f"{self.text}…" if self.is_cut else self.text


@dataclass(frozen=True, slots=True)
class Some(Generic[T]):
    """The first *items* of a list of *total*."""

    items: Sequence[T]
    total: int

    @property
    def left_out(self) -> int:
        """How many are not shown."""
        return self.total - len(self.items)


def cost(text: str) -> int:
    """Return about how many bytes *text* takes in a page: one character can take thirty."""
    return len(escape(shown_lines(text)).encode("utf-8", "replace"))


def excerpt(text: str | None, most: int, *, end: bool = False) -> Excerpt:
    """Return the first part of *text* that takes at most *most* bytes in a page; with *end*, the last."""
    whole = text or ""
    part = _part(whole, most, end=end)
    while (size := cost(part)) > most:
        part = _part(part, len(part) * most // size - 1, end=end)
    return Excerpt(part, len(whole), len(part) < len(whole))


def _part(text: str, length: int, *, end: bool) -> str:
    length = max(length, 0)
    return text[max(len(text) - length, 0) :] if end else text[:length]


def some(items: Iterable[T], total: int, most: int, size: Callable[[T], int]) -> Some[T]:
    """Return the first of *items*, whose *size* in a page together is at most *most* bytes."""
    found: list[T] = []
    for item in items:
        most -= size(item)
        if most < 0:
            break
        found.append(item)
    return Some(found, total)
