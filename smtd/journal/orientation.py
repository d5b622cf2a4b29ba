"""The sides of a pair as the journal names them: the one place where they are mapped to columns."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from smtd.merge.reasons import Code, Reason, because
from smtd.merge.sides import Both, Side
from smtd.records.record import BAD_BYTES
from smtd.sqlite import Connection

T = TypeVar("T")

_STORE = r"the (?P<side>left|right) store "
#: The English sentences that smtd stored until version 8 of the journal.
_EARLIER = [
    (Code.NEW, re.compile(r"new on the (?P<side>left|right)")),
    (Code.CHANGED, re.compile(r"changed on the (?P<side>left|right)")),
    (Code.DELETED, re.compile(r"deleted on the (?P<side>left|right)")),
    (Code.NEWEST_RUN, re.compile(r"conflict: the (?P<side>left|right) side wins \(newest\)")),
    (Code.SIDE_PREFERRED, re.compile(r"conflict: the (?P<side>left|right) side wins \(\w+\)")),
    (Code.REFUSED, re.compile(_STORE + r"cannot hold it: (?P<value>.*)", re.DOTALL)),
    (
        Code.ALTERED,
        re.compile(_STORE + r"keeps it otherwise than written: (?P<value>.*)"),
    ),
    (
        Code.STILL_AS_BEFORE,
        re.compile(_STORE + r"reported success, but still shows .*"),
    ),
    (Code.STILL_THERE, re.compile(_STORE + r"reported success, but still has .*")),
    (Code.NOT_THERE, re.compile(_STORE + r"reported success, but does not .*")),
    (Code.CYCLE_UNDONE, re.compile(r"cycle (?P<value>\d+) was undone")),
    (Code.MANY_GONE, re.compile(r"(?P<value>\d+) of (?P<other>\d+) records are gone at once")),
    (Code.ALL_GONE, re.compile(r"none of the records that it held before is there any more")),
    (Code.PROJECT_GONE, re.compile(r"none of the records of (?P<value>.*) that it held before is .*")),
]


@dataclass(frozen=True, slots=True)
class Orientation:
    """Whether the journal names the sides of a pair as the caller does, or the other way round (*mirrored*).

    The first sync of two stores decides which one the journal calls left. A caller that names them the other
    way round later sees only sides in its own order.
    """

    mirrored: bool = False

    def side(self, word: str) -> Side:
        """Return the side that a column names."""
        return Side(word).other if self.mirrored else Side(word)

    def word(self, side: Side) -> str:
        """Return the column value for *side*."""
        return (side.other if self.mirrored else side).value

    def both(self, left: T, right: T) -> Both[T]:
        """Return the values of the two columns *left* and *right* by side."""
        return Both(right, left) if self.mirrored else Both(left, right)

    def columns(self, both: Both[T]) -> tuple[T, T]:
        """Return the values for the left and the right column."""
        return (both.right, both.left) if self.mirrored else (both.left, both.right)

    def reason(self, text: str) -> Reason:
        """Return the reason in a column, which may be an English sentence of an earlier version of smtd."""
        try:
            found = msgspec.json.decode(text, type=Reason) if text.startswith("{") else _earlier(text)
        except BAD_BYTES:
            found = because(Code.TEXT, None, text)
        return found.mirrored if self.mirrored else found

    def text(self, reason: Reason) -> str:
        """Return the column value for *reason*."""
        return msgspec.json.encode(reason.mirrored if self.mirrored else reason).decode()


#: The sides in the journal's own order.
STRAIGHT = Orientation()


class PairPart:
    """A part of what the journal *db* has of one *pair*, whose sides *sides* names."""

    def __init__(self, db: Connection, pair: int, sides: Orientation) -> None:
        self._db = db
        self._pair = pair
        self._sides = sides


def _earlier(text: str) -> Reason:
    for code, pattern in _EARLIER:
        if found := pattern.fullmatch(text):
            named = found.groupdict()
            side = named.pop("side", None)
            return because(code, None if side is None else Side(side), *named.values())
    return because(Code.TEXT, None, text)
