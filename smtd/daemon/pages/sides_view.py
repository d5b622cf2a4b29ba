"""On which sides of a pair a record is, and what smtd says of it, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from smtd.daemon.pages.decide_view import past_writes
from smtd.merge.sides import Both
from smtd.stores.index import Entry, State
from smtd.web.records.catalog import Sides

#: The most characters of a sentence.
_LONGEST = 400
_WORDS = {
    State.ABSENT: "does not have it",
    State.FINAL: "has it",
    State.UNFINISHED: "has it; its run is not over",
}


def sides(
    pair: str, entries: Both[Entry], agreed: str | None, explained: Mapping[str, Any] | None, problem: str
) -> Sides:
    """Return what the page of a record shows of *pair*: *entries* are what its sides had at the last look.

    *explained*: the answer to `explain` (None: there is none, as *problem* says).
    """
    left, right = _words(entries.left), _words(entries.right)
    if entries.left.is_readable and entries.right.is_readable and entries.left.digest != entries.right.digest:
        right = f"{right}, with another content"
    if explained is None:
        return Sides(pair, left, right, agreed, "", "", (), problem[:_LONGEST])
    rule = explained["rule"][:_LONGEST]
    return Sides(
        pair,
        left,
        right,
        agreed,
        f"{rule[:1].upper()}{rule[1:]}",
        "" if explained["next"] == "nothing" else (explained["next"] or "")[:_LONGEST],
        past_writes(explained),
    )


def _words(entry: Entry) -> str:
    return _WORDS.get(entry.state) or f"cannot read it: {entry.problem[:_LONGEST]}"
