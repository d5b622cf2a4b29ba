"""Every word that people write, and whether one may be gone.

A word is a text that is written once in all the story. It is looked for where a person would look: in the
reasons, outcomes and tags of all records, whatever their labels are by now.
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
    """What people wrote, and what they took away again."""

    #: Every word that stands, or once stood, in a store.
    written: set[str] = field(default_factory=set)
    #: Where a person took each word away; a word that is no key was never taken away.
    removed: dict[str, set[Side]] = field(default_factory=dict)
    #: The words that stood on both sides at some time.
    shared: set[str] = field(default_factory=set)
    _count: int = 0

    def new(self) -> str:
        """Return a word that nobody has written yet."""
        self._count += 1
        return f"word{self._count}x"

    def edited(self, side: Side, before: Iterable[Record], after: Iterable[Record]) -> None:
        """Note what a person wrote to *side*, and what they took away from it."""
        before, after = list(before), list(after)
        self.written |= words(after)
        for word in words(before) - words(after):
            self.removed.setdefault(word, set()).add(side)

    def note(self, held: Both[dict[Key, Record]]) -> None:
        """Note what stands on both sides."""
        self.shared |= words(held.left.values()) & words(held.right.values())

    def lost(self, held: Iterable[Record], history: Iterable[Record], *, by_rule: bool) -> dict[str, str]:
        """Return what is gone from both sides and should not be, each with what is wrong.

        *by_rule*: the pair may decide conflicts without asking; then what it overwrote is in the *history*.
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
