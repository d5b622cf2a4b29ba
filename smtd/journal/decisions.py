"""What users decided about single records, and what waits for a user's decision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from smtd.journal import checkpoint
from smtd.journal.orientation import PairPart
from smtd.merge.reasons import Reason
from smtd.merge.sides import Both, Side
from smtd.records.canonical import Digest
from smtd.records.record import Key


class Choice(Enum):
    """A decision about a key."""

    HELD = "held"  # a deletion that waits for a user's decision
    APPROVE = "approve"  # the deletion is carried out on the other side
    REJECT = "reject"  # the record is restored on the side that deleted it
    LEFT = "left"  # what the left side has goes to the right
    RIGHT = "right"
    BOTH = "both"  # one record gets an alias, and both go to both sides
    REST = "rest"  # both sides stay as they are, because a cycle was undone


@dataclass(frozen=True, slots=True)
class Decision:
    """A choice for *key*, valid as long as the sides have the same *digests* as then (None: absent).

    If both records are kept, that of the side *aliased* gets the label *alias*. *why*: why it is held.
    """

    key: Key
    choice: Choice
    digests: Both[Digest | None]
    alias: str = ""
    why: Reason | None = None
    aliased: Side = Side.RIGHT


#: The column's word for BOTH, by its word for the side whose record gets the alias.
_BOTH = {"right": Choice.BOTH.value, "left": "both-turned"}
_ALIASED = {word: side for side, word in _BOTH.items()}
#: Choices that name a side.
_SIDED = (Choice.LEFT.value, Choice.RIGHT.value)


class Decisions(PairPart):
    """The decisions of one pair. Every method is one transaction, whole or not at all."""

    async def all(self) -> Mapping[Key, Decision]:
        """Return every decision by its key."""
        return {
            Key(project, label): self._decision(Key(project, label), *rest)
            for project, label, *rest in await self._db.fetch(
                "SELECT project, label, choice, left_digest, right_digest, alias, why FROM decision"
                " WHERE pair = ?",
                (self._pair,),
            )
        }

    def _decision(
        self, key: Key, word: str, left: Digest | None, right: Digest | None, alias: str, why: str
    ) -> Decision:
        aliased = self._sides.side(_ALIASED.get(word, "right"))
        if word in _ALIASED:
            word = Choice.BOTH.value
        elif word in _SIDED:
            word = self._sides.side(word).value
        reason = self._sides.reason(why) if why else None
        return Decision(key, Choice(word), self._sides.both(left, right), alias, reason, aliased)

    def _word(self, decision: Decision) -> str:
        word = decision.choice.value
        if decision.choice is Choice.BOTH:
            return _BOTH[self._sides.word(decision.aliased)]
        return self._sides.word(Side(word)) if word in _SIDED else word

    async def put(self, decisions: Iterable[Decision], void: Iterable[Key] = ()) -> None:
        """Store *decisions*, each in place of an older one of its key, and delete those of *void*.

        The next cycle then looks again, even if neither store has changed.
        """
        async with self._db.transaction():
            await checkpoint.reopen(self._db, self._pair)
            await self._db.run_many(
                "DELETE FROM decision WHERE pair = ? AND project = ? AND label = ?",
                [(self._pair, *key) for key in void],
            )
            await self._db.run_many(
                "INSERT OR REPLACE INTO decision"
                " (pair, project, label, choice, left_digest, right_digest, alias, why)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        self._pair,
                        *each.key,
                        self._word(each),
                        *self._sides.columns(each.digests),
                        each.alias,
                        "" if each.why is None else self._sides.text(each.why),
                    )
                    for each in decisions
                ],
            )
