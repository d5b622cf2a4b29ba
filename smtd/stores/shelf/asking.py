"""Asks child processes about many pickles: about small ones together, about a large one alone.

One process costs some 80 ms, whatever it is asked. Limits hold for each process, so a pickle that asks
for too much can take its neighbours with it; each of them is then asked for alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TypeAlias, TypeVar

from smtd.errors import StoreRefused
from smtd.stores.shelf import child, groups, messages

#: Bytes of pickles and new records that one process is asked about; a single larger pickle has one alone.
LARGE = 2_000_000

_Expected = TypeVar("_Expected", messages.Records, messages.Written, messages.Probed)
_Group: TypeAlias = dict[str, messages.One]


async def ask_each(
    requests: Mapping[str, messages.One], expected: type[_Expected], *, shelf: str
) -> dict[str, _Expected | StoreRefused]:
    """Return what is answered to the request about each project, or why there is no answer.

    A pickle that is broken, or asks for too much, is the failure of its project alone.
    """
    answers: dict[str, _Expected | StoreRefused] = {}
    sized = ((project, request, messages.size(request)) for project, request in requests.items())
    for group in groups.limited(sized, LARGE):
        answers |= await _together(group, expected, shelf)
        for project in group.keys() - answers.keys():
            answers[project] = await _alone(project, group[project], expected, shelf)
    return answers


async def _together(group: _Group, expected: type[_Expected], shelf: str) -> dict[str, _Expected]:
    """Let one process answer the whole *group*; what it cannot answer is left out."""
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
