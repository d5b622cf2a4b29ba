"""Send requests about many pickles to child processes: small pickles together, a large one alone.

A process costs some 80 ms, whatever the request. The limits apply to the whole process, so a pickle that
needs too much also fails the others in it; then each of them gets a process of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TypeAlias, TypeVar

from smtd.errors import StoreRefused
from smtd.stores.shelf import child, messages

#: The most bytes of pickles and new records for one process; a larger pickle gets a process of its own.
LARGE = 2_000_000

_Expected = TypeVar("_Expected", messages.Records, messages.Written)
_Group: TypeAlias = dict[str, messages.One]
T = TypeVar("T")


def groups(sized: Iterable[tuple[str, T, int]], most: int) -> Iterator[dict[str, T]]:
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


async def ask_each(
    requests: Mapping[str, messages.One], expected: type[_Expected], *, shelf: str
) -> dict[str, _Expected | StoreRefused]:
    """Return the answer to the request about each project, or why there is none.

    A pickle that is broken, or needs too much, fails its own project only.
    """
    answers: dict[str, _Expected | StoreRefused] = {}
    sized = ((project, request, messages.size(request)) for project, request in requests.items())
    for group in groups(sized, LARGE):
        answers |= await _together(group, expected, shelf)
        for project in group.keys() - answers.keys():
            answers[project] = await _alone(project, group[project], expected, shelf)
    return answers


async def _together(group: _Group, expected: type[_Expected], shelf: str) -> dict[str, _Expected]:
    """Have one process answer the whole *group*; leave out the projects that it cannot answer."""
    found: dict[str, _Expected] = {}
    if len(group) > 1:
        several = messages.Several(list(group.values()))
        with suppress(StoreRefused):
            reply = await child.ask(several, messages.Answered, what="the records", shelf=shelf)
            for project, answer in zip(group, reply.answers, strict=True):
                if isinstance(answer, expected):
                    found[project] = answer
    return found


async def _alone(
    project: str, request: messages.One, expected: type[_Expected], shelf: str
) -> _Expected | StoreRefused:
    try:
        return await child.ask(request, expected, what=f"the records of project {project!r}", shelf=shelf)
    except StoreRefused as exc:
        return exc
