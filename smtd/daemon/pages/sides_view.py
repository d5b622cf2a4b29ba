"""On which sides of a pair a record is, and what smtd says of it, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from smtd.journal.history import HistoryEntry
from smtd.merge.sides import Both
from smtd.output.english import sentence
from smtd.stores.index import Entry, State
from smtd.web.records.catalog import PastWrite, Sides

#: The most characters of a sentence.
_LONGEST = 400
_WORDS = {
    State.ABSENT: "does not have it",
    State.FINAL: "has it",
    State.UNFINISHED: "has it; its run is not over",
}


def sides(pair: str, entries: Both[Entry], agreed: str | None, past: Sequence[HistoryEntry]) -> Sides:
    """Return what the page of a record shows of *pair*: *entries* are what its sides had at the last look."""
    left, right = _words(entries.left), _words(entries.right)
    if entries.left.is_readable and entries.right.is_readable and entries.left.digest != entries.right.digest:
        right = f"{right}, with another content"
    return Sides(pair, left, right, agreed, "", "", [_past(each) for each in past])


def explained(found: Sides, answer: Mapping[str, Any]) -> Sides:
    """Return *found* with what the *answer* to `explain` says."""
    rule, then = answer["rule"][:_LONGEST], answer["next"] or ""
    return found._replace(
        rule=f"{rule[:1].upper()}{rule[1:]}", next="" if then == "nothing" else then[:_LONGEST]
    )


def _past(entry: HistoryEntry) -> PastWrite:
    reason = sentence(entry.reason)[:_LONGEST]
    return PastWrite(entry.cycle, entry.at, entry.action, entry.side.value, reason, before="")


def _words(entry: Entry) -> str:
    return _WORDS.get(entry.state) or f"cannot read it: {entry.problem[:_LONGEST]}"
