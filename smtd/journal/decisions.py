"""What a person decided of single records, and what waits for a person to decide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from smtd.merge.sides import Both
from smtd.records.canonical import Digest
from smtd.records.record import Key
from smtd.sqlite import Connection


class Choice(Enum):
    """What is to become of a key."""

    HELD = "held"  # a deletion that waits for a person
    APPROVE = "approve"  # that deletion may travel
    REJECT = "reject"  # the record comes back to where it was deleted
    LEFT = "left"  # what the left side has goes to the right
    RIGHT = "right"
    BOTH = "both"  # the right record gets an alias, and both go to both sides
    BOTH_TURNED = "both-turned"  # the left one does: a person calls it right
    REST = "rest"  # both sides stay as they are: a cycle was undone


@dataclass(frozen=True, slots=True)
class Decision:
    """A choice for *key*, which holds as long as the sides hold what they held then (None: nothing).

    *alias* is the label under which one record is kept, too, if both are; *why* is a sentence.
    """

    key: Key
    choice: Choice
    digests: Both[Digest | None]
    alias: str = ""
    why: str = ""


class Decisions:
    """The decisions of one pair. Every method is one transaction, whole or not at all."""

    def __init__(self, db: Connection, pair: int) -> None:
        self._db = db
        self._pair = pair

    async def all(self) -> Mapping[Key, Decision]:
        """Return every decision by its key."""
        return {
            Key(project, label): Decision(Key(project, label), Choice(choice), Both(left, right), alias, why)
            for project, label, choice, left, right, alias, why in await self._db.fetch(
                "SELECT project, label, choice, left_digest, right_digest, alias, why FROM decision"
                " WHERE pair = ?",
                (self._pair,),
            )
        }

    async def put(self, decisions: Iterable[Decision], void: Iterable[Key] = ()) -> None:
        """Remember *decisions*, each in place of an older one of its key, and forget those of *void*.

        The next cycle has something to do then, though neither store has changed.
        """
        async with self._db.transaction():
            await self._db.run("DELETE FROM quiet WHERE pair = ?", (self._pair,))
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
                        each.choice.value,
                        each.digests.left,
                        each.digests.right,
                        each.alias,
                        each.why,
                    )
                    for each in decisions
                ],
            )
