"""Projects in groups of a limited size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def limited(sized: Iterable[tuple[str, T, int]], most: int) -> Iterator[dict[str, T]]:
    """Give what is for each project, in groups of at most so many bytes; what is larger is a group alone.

    *sized* gives a project, what is for it, and its size in bytes.
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
