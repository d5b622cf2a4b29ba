"""What the journal remembers of each pair, and how to forget one: its baselines, its history and its indexes.

No store changes. If the pair is synced again, it is adopted anew. `forget` refuses while a crash has left
writes open: the only copy of a record may be in an intent. (`PairJournal.forget_all` deletes intents, too.)
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from smtd.errors import UsageError
from smtd.journal import entries
from smtd.journal.history import History
from smtd.journal.pair import KNOWLEDGE
from smtd.merge.sides import Both
from smtd.sqlite import Connection

#: The tables with rows of a pair, in an order in which they can be emptied; the history is apart.
_TABLES = (*KNOWLEDGE, "files", "forgotten", "figures", "cycle")
_PAIRS = """
SELECT p.id, p.name, p.left_location, p.right_location,
    (SELECT count(*) FROM agreed WHERE pair = p.id), (SELECT count(*) FROM intent WHERE pair = p.id),
    count(h.id), ifnull(sum(length(h.record)), 0), min(h.at), max(h.at)
FROM pair p LEFT JOIN cycle c ON c.pair = p.id LEFT JOIN history h ON h.cycle = c.id AND h.landed
GROUP BY p.id ORDER BY p.id
"""


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is remembered of a pair.

    *name* is its last name in the configuration (None: it had none). *stores* are the identities of its
    stores, *baselines* counts their records with a baseline, *unfinished* the writes that a crash left open.
    The history has *entries*, with *size* bytes of overwritten and deleted records, from *since* to *until*
    (ISO 8601 in UTC; None: no entries).
    """

    number: int
    name: str | None
    stores: Both[str]
    baselines: int
    unfinished: int
    entries: int
    size: int
    since: str | None
    until: str | None

    @property
    def called(self) -> str:
        """What people call the pair: its name, else its stores."""
        return self.name or f"{self.stores.left} {self.stores.right}"


async def pairs(db: Connection) -> list[Remembered]:
    """Return what the journal remembers, one for each pair."""
    return [
        Remembered(number, name, Both(left, right), *counts)
        for number, name, left, right, *counts in await db.fetch(_PAIRS)
    ]


async def forget(db: Connection, number: int) -> None:
    """Delete all that is known of the pair *number*, in one transaction; nothing else of the journal changes.

    The pair must be locked. Raises UsageError if a crash left writes of it open, and JournalError if the
    history was altered: it cannot be sealed again then.
    """
    async with db.transaction():
        if await db.value("SELECT 1 FROM intent WHERE pair = ? LIMIT 1", (number,)):
            raise UsageError(
                "a crash interrupted writes of this pair, and the journal may have the only copy of a record:"
                " sync the pair once more before smtd forgets it"
            )
        await History(db).check()
        first = await db.value(
            "SELECT min(h.id) FROM history h JOIN cycle c ON c.id = h.cycle WHERE c.pair = ?", (number,)
        )
        await db.run("DELETE FROM history WHERE cycle IN (SELECT id FROM cycle WHERE pair = ?)", (number,))
        if first is not None:
            await _seal_again(db, first)
        stores = await db.fetch("SELECT left_location, right_location FROM pair WHERE id = ?", (number,))
        for table in _TABLES:
            await db.run(f"DELETE FROM {table} WHERE pair = ?", (number,))
        await db.run("DELETE FROM pair WHERE id = ?", (number,))
        for location in {place for pair in stores for place in pair}:
            await _forget_unused_index(db, location)


async def _seal_again(db: Connection, first: int) -> None:
    """Seal the history again from the entry *first* on, which is gone."""
    seals = await db.fetch("SELECT last, hash FROM seal ORDER BY last")
    before = seals[0][1]
    for (start, _), (last, known) in pairwise(seals):
        if last < first:
            before = known
            continue
        sealed, count = await History(db).sealed(start, last, before)
        if count:
            await db.run("UPDATE seal SET hash = ? WHERE last = ?", (sealed, last))
            before = sealed
        else:
            await db.run("DELETE FROM seal WHERE last = ?", (last,))


async def _forget_unused_index(db: Connection, location: str) -> None:
    """Delete the index of the store at *location*, unless another pair has that store."""
    if await db.value("SELECT 1 FROM pair WHERE ? IN (left_location, right_location) LIMIT 1", (location,)):
        return
    for (store,) in await db.fetch("SELECT id FROM store WHERE location = ?", (location,)):
        await entries.clear(db, store)
        await db.run("DELETE FROM store WHERE id = ?", (store,))
