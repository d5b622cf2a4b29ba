"""What becomes true for one pair in one step, recorded in the journal as one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ParamSpec

from smtd.journal import checkpoint
from smtd.journal.checkpoint import Checkpoint, Checkpoints
from smtd.journal.decisions import Choice
from smtd.journal.index import Cursor, StoreIndex
from smtd.journal.orientation import Orientation, PairPart
from smtd.journal.record_codec import pack
from smtd.journal.write_log import Landed, WriteLog
from smtd.merge.sides import Both, Side
from smtd.records.canonical import Digest
from smtd.records.record import Key, Record
from smtd.sqlite import Connection
from smtd.stores.base import Token
from smtd.stores.index import Entry

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Baseline:
    """A key on which both sides agree: their digests, and the record (*encoded*: the same, if known)."""

    key: Key
    digests: Both[Digest]
    record: Record
    encoded: bytes | None = None


class Transaction(PairPart):
    """The notes of one step, which `PairJournal.transaction` writes together when its block ends.

    *cycle* is the current cycle (None: none has begun).
    """

    def __init__(
        self,
        db: Connection,
        pair: int,
        sides: Orientation,
        cycle: int | None,
        indexes: Both[StoreIndex],
    ) -> None:
        super().__init__(db, pair, sides)
        self._cycle = cycle
        self._indexes = indexes
        self._notes: list[Callable[[], Awaitable[object]]] = []
        self._rests = False

    async def write(self) -> None:
        """Write all notes, in their order, in one transaction."""
        async with self._db.transaction():
            for note in self._notes:
                await note()
        if self._rests:
            await self._db.release()

    def _add(self, note: Callable[P, Awaitable[object]], *args: P.args, **kwargs: P.kwargs) -> None:
        self._notes.append(partial(note, *args, **kwargs))

    def set_baselines(self, baselines: Sequence[Baseline]) -> None:
        """Record that both sides agree on the records of these keys."""
        self._add(
            self._db.run_many,
            "INSERT OR REPLACE INTO agreed VALUES (?, ?, ?, ?, ?, ?)",
            [(self._pair, *each.key, *self._sides.columns(each.digests), self._cycle) for each in baselines],
        )
        self._add(
            self._db.run_many,
            "INSERT OR REPLACE INTO ancestor VALUES (?, ?, ?, ?)",
            [(self._pair, *each.key, pack(each.record, each.encoded)) for each in baselines],
        )

    def drop_baselines(self, keys: Iterable[Key]) -> None:
        """Record that the sides no longer have anything in common under these keys, and drop logged writes.

        A deletion that may still be on its way stays logged.
        """
        gone = [(self._pair, *key) for key in keys]
        of_key = "pair = ? AND project = ? AND label = ?"
        for table, which in (
            ("agreed", ""),
            ("ancestor", ""),
            ("written", " AND (seen OR after_digest <> x'')"),
        ):
            self._add(self._db.run_many, f"DELETE FROM {table} WHERE {of_key}{which}", gone)

    def note(self, side: Side, found: Mapping[Key, Entry]) -> None:
        """Record in the index that *side* holds the entries *found* now."""
        self._add(self._indexes[side].note, found)

    def set_head(self, side: Side, projects: Collection[str] | None, head: Token, at: Cursor) -> None:
        """Record *head* as the token of *side* with its entries of *projects* (None: all) up to *at*."""
        self._add(self._indexes[side].put_head, projects, head, at)

    def rest(self) -> None:
        """Release the cached pages of the database, two megabytes: the pair has nothing to do for now."""
        self._rests = True

    def save(self, checkpoint: Checkpoint, out_of_sync: Collection[Key]) -> None:
        """Record *checkpoint*, with the keys *out_of_sync*."""
        self._add(Checkpoints(self._db, self._pair, self._sides).put, checkpoint, out_of_sync)

    def reopen(self, keys: Collection[Key]) -> None:
        """Make the next cycle decide these keys, even if no store has changed."""
        self._add(checkpoint.add, self._db, self._pair, keys)
        self._add(checkpoint.reopen, self._db, self._pair)

    def log_writes(self, landed: Sequence[Landed]) -> None:
        """Log writes that other programs may undo later, as one batch."""
        self._add(WriteLog(self._db, self._pair, self._sides).append, landed)

    def finish(self, keys: Iterable[Key]) -> None:
        """End the intents of these keys."""
        self._add(
            self._db.run_many,
            "DELETE FROM intent WHERE pair = ? AND project = ? AND label = ?",
            [(self._pair, *key) for key in keys],
        )

    def set_landed(self, entries: Iterable[int]) -> None:
        """Record that the writes of these entries of the history have landed."""
        self._add(
            self._db.run_many, "UPDATE history SET landed = 1 WHERE id = ?", [(entry,) for entry in entries]
        )

    def end_decisions(self, keys: Iterable[Key]) -> None:
        """Delete the decisions about these keys, which were carried out.

        They must not apply again if the sides ever hold the same records again.
        """
        self._add(
            self._db.run_many,
            "DELETE FROM decision WHERE pair = ? AND project = ? AND label = ? AND choice != ?",
            [(self._pair, *key, Choice.REST.value) for key in keys],
        )

    def set_store_marks(self, marks: Both[str]) -> None:
        """Record the current marks of the stores."""
        row = self._sides.columns(marks)
        self._add(self._db.run_many, "INSERT OR REPLACE INTO files VALUES (?, ?, ?)", [(self._pair, *row)])
