"""Tags as Sumatra's stores hold them, and the life cycle of a run that some of them show.

Sumatra's relational store joins a record's tags with commas and lets django-tagging split them
again, so `my tag` alone becomes two tags and `a,b` becomes two; a shelf keeps them as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

#: The tags that Sumatra 0.8 sets during a run, in order (sumatra/records.py, `Record.run`).
_STAGES = {
    "_initialized_": 0,
    "_pre_run_": 1,
    "_running_": 2,
    "_finished..._": 3,
    "_failed..._": 3,
    "_killed..._": 3,
    "_finished_": 4,
    "_failed_": 4,
    "_killed_": 4,
    "_succeeded_": 4,
    "_crashed_": 4,
}
STATUS_TAGS = frozenset(_STAGES)


class Stage(IntEnum):
    """How far a run has come; FINAL also stands for a record without any status."""

    INITIALIZED = 0
    PRE_RUN = 1
    RUNNING = 2
    GATHERING = 3
    FINAL = 4


def stage(tags: Iterable[str]) -> Stage | None:
    """Return the furthest stage in *tags*, or None if they have no status."""
    stages = [_STAGES[tag] for tag in tags if tag in _STAGES]
    return Stage(max(stages)) if stages else None


def split(text: str) -> frozenset[str]:
    """Split a tags column as django-tagging does (sumatra/recordstore/django_store).

    Quoted parts stay whole; the rest is split at commas if it has any, else at spaces.
    """
    pieces = text.split('"')
    quoted, loose = pieces[1::2], pieces[0::2]
    if len(pieces) % 2 == 0:  # the last quote was never closed
        loose.append(quoted.pop())
    delimiter = "," if any("," in piece for piece in loose) else " "
    words = quoted + [word for piece in loose for word in piece.split(delimiter)]
    return frozenset(stripped for word in words if (stripped := word.strip()))


def normalized(tags: Iterable[str]) -> frozenset[str]:
    """Return what *tags* become after a relational store has saved them any number of times."""
    now = frozenset(tags)
    if not any(tag != tag.strip() or not tag or _special(tag) for tag in now):
        return now
    while (folded := split(",".join(sorted(now)))) != now:
        now = folded
    return now


def _special(tag: str) -> bool:
    return " " in tag or "," in tag or '"' in tag
