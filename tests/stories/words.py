"""Every word that users write, and whether it may be gone.

A word is a text that is written once in the whole story. The test looks for it where a user would: in the
reasons, outcomes and tags of all records, whatever their labels are by then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from smtd.merge.sides import SIDES, Both, Side
from smtd.records.record import Key, Record

_WORD = re.compile(r"word\d+x")


def words(records: Iterable[Record]) -> set[str]:
    """Return the words in *records*."""
    return {
        word
        for record in records
        for text in (record.reason or "", record.outcome or "", *record.tags)
        for word in _WORD.findall(text)
    }


@dataclass
class Words:
    """What users wrote, and what they removed again."""

    #: Every word that is, or once was, in a store.
    written: set[str] = field(default_factory=set)
    #: Where a user removed each word; other words were never removed.
    removed: dict[str, set[Side]] = field(default_factory=dict)
    #: The words that were on both sides at some time.
    shared: set[str] = field(default_factory=set)
    _count: int = 0

    def new(self) -> str:
        """Return a word that was not used yet."""
        self._count += 1
        return f"word{self._count}x"

    def edited(self, side: Side, before: Iterable[Record], after: Iterable[Record]) -> None:
        """Record what a user wrote to *side*, and what they removed there."""
        before, after = list(before), list(after)
        self.written |= words(after)
        for word in words(before) - words(after):
            self.removed.setdefault(word, set()).add(side)

    def note(self, held: Both[dict[Key, Record]]) -> None:
        """Record the words on both sides."""
        self.shared |= words(held.left.values()) & words(held.right.values())

    def lost(self, held: Iterable[Record], history: Iterable[Record], *, by_rule: bool) -> dict[str, str]:
        """Return the words that are gone from both sides and should not be, each with what is wrong.

        *by_rule*: the pair may resolve conflicts without asking; the *history* has what it then overwrote.
        """
        old = words(history)
        gone = self.written - words(held)
        wrong = {}
        for word in sorted(gone):
            if word not in self.removed and not (by_rule and word in old):
                wrong[word] = "nobody took it away"
            elif word in self.shared and word not in old and self.removed.get(word, set()) != set(SIDES):
                wrong[word] = "smtd took it away, and the history has it not"
        return wrong
