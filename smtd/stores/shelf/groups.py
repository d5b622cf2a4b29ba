"""Put projects into groups of a limited size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def limited(sized: Iterable[tuple[str, T, int]], most: int) -> Iterator[dict[str, T]]:
    """Yield the items of *sized*, by project, in groups of at most *most* bytes; a larger item is alone.

    *sized* has tuples of a project, its item, and the size of that in bytes.
    """
    group: dict[str, T] = {}
    size = 0
    for project, item, added in sized:
        if group and size + added > most:
            yield group
            group, size = {}, 0
        group[project] = item
        size += added
    if group:
        yield group
